"""A bucket in memory: what `platform_assets.common.store.Bucket` promises, and nothing else."""

import builtins
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from platform_assets.common.errors import InputChanged, LimitExceeded, MissingInput
from platform_assets.common.values import ObjectRef


@dataclass(frozen=True)
class _Object:
    data: bytes
    ref: ObjectRef
    content_type: str
    metadata: Mapping[str, str]


class MemoryBucket:
    """One bucket.

    Attributes:
        name: Its name.
        calls: Names of the verbs that were called, in order.
    """

    def __init__(self, name: str = "bucket") -> None:
        self.name = name
        self.calls: list[str] = []
        self._objects: dict[str, _Object] = {}
        self._lock = threading.RLock()
        self._now = datetime(2026, 4, 1, tzinfo=UTC)

    def list(self, prefix: str = "", *, start_after: str = "", ending: tuple[str, ...] = ("",)) -> Iterator[ObjectRef]:
        with self._lock:
            self.calls.append("list")
            keys = sorted((key for key in self._objects if key.startswith(prefix) and key.endswith(ending)), key=str.encode)
            refs = [self._objects[key].ref for key in keys if key.encode() > start_after.encode()]
        yield from refs

    def level(self, prefix: str) -> tuple[builtins.list[str], builtins.list[ObjectRef]]:
        refs = list(self.list(prefix))
        objects = [ref for ref in refs if "/" not in ref.key.removeprefix(prefix)]
        folders = {prefix + ref.key.removeprefix(prefix).split("/")[0] + "/" for ref in refs if ref not in objects}
        return sorted(folders), objects

    def stat(self, key: str) -> ObjectRef | None:
        with self._lock:
            self.calls.append("stat")
            return self._objects[key].ref if key in self._objects else None

    def stat_many(self, keys: Iterable[str]) -> dict[str, ObjectRef]:
        return {key: ref for key in keys if (ref := self.stat(key))}

    def read(self, key: str, *, limit_bytes: int) -> tuple[bytes, ObjectRef]:
        with self._lock:
            self.calls.append("read")
            found = self._get(key)
        if len(found.data) > limit_bytes:
            raise LimitExceeded(f"{key} has {len(found.data)} bytes; at most {limit_bytes} are read")
        return found.data, found.ref

    def download(self, ref: ObjectRef, path: Path) -> str:
        with self._lock:
            self.calls.append("download")
            found = self._get(ref.key)
        if found.ref.etag != ref.etag:
            raise InputChanged(f"{ref.key} was overwritten")
        path.write_bytes(found.data)
        return hashlib.md5(found.data).hexdigest()

    def write(self, key: str, data: bytes, *, content_type: str) -> str:
        self.calls.append("write")
        return self._put(key, data, content_type, {}).etag

    def create(self, key: str, data: bytes, *, content_type: str) -> bool:
        with self._lock:
            self.calls.append("create")
            if key in self._objects:
                return self._objects[key].data == data
            self._put(key, data, content_type, {})
            return True

    def replace(self, key: str, data: bytes, *, etag: str, content_type: str) -> str | None:
        with self._lock:
            self.calls.append("replace")
            there = self._objects.get(key)
            if there is None or (there.ref.etag != etag and there.data != data):
                return None
            return self._put(key, data, content_type, {}).etag

    def upload(self, path: Path, key: str, *, content_type: str, metadata: Mapping[str, str]) -> ObjectRef:
        self.calls.append("upload")
        return self._put(key, path.read_bytes(), content_type, metadata)

    def metadata(self, key: str) -> Mapping[str, str] | None:
        self.calls.append("metadata")
        return self._objects[key].metadata if key in self._objects else None

    def copy(self, ref: ObjectRef, key: str) -> bool:
        with self._lock:
            self.calls.append("copy")
            there = self._objects.get(ref.key)
            if there is None or there.ref.etag != ref.etag:
                return False
            self._put(key, there.data, there.content_type, there.metadata)
            return True

    def delete(self, key: str) -> None:
        with self._lock:
            self.calls.append("delete")
            self._objects.pop(key, None)

    def _get(self, key: str) -> _Object:
        if key not in self._objects:
            raise MissingInput(f"{key} does not exist")
        return self._objects[key]

    def _put(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str]) -> ObjectRef:
        with self._lock:
            self._now += timedelta(seconds=1)
            modified = self._now.isoformat().replace("+00:00", "Z")
            ref = ObjectRef(key, hashlib.md5(data).hexdigest(), len(data), modified)
            self._objects[key] = _Object(data, ref, content_type, dict(metadata))
            return ref
