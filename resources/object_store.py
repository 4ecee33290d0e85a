"""S3, wrapped so that the same code is right on AWS, Ceph, Swift and the embedded server.

What differs between servers, and what is done about it here:

* radosgw takes `IfMatch` only without quotes, the others take both forms: none are sent.
* A lost race answers 409, 412 or (radosgw) 500: all three mean conflict, and the object is read back to see who won.
* boto3 spends 50 us of CPU on each listed key, most of it on dates: `s3_pages` parses pages, five times cheaper, and pages
  without any key that is wanted are not parsed at all. Servers that allow more than 1,000 keys a page are asked for 10,000.
"""

import hashlib
import os.path
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as BotoConnectionError

from platform_assets.common.errors import ConfigurationError, InputChanged, LimitExceeded, MissingInput, PermanentError, StoreUnavailable
from platform_assets.common.keys import shown
from platform_assets.common.store import Level
from platform_assets.common.values import ObjectRef
from resources.s3_pages import bare, folders_of, next_token, objects_of, seconds

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1 << 20
_PAGE_KEYS = 10_000
_SINGLE_LOOKUPS = 100
_PARALLEL_LOOKUPS = 16
_CONFLICTS = frozenset({409, 412})
_PLAIN = re.compile(r"[A-Za-z0-9._-]*")
_GONE = frozenset({"404", "NoSuchKey", "NotFound"})
# 64 MB parts, one at a time: a worker uploads beside other workers, and the embedded server holds a part in memory.
_TRANSFER = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=64 << 20, use_threads=False)


@dataclass(frozen=True)
class S3Connection:
    """How to reach an S3 server; hashable and picklable, so that it travels to Dask workers.

    Attributes:
        endpoint_url: The server's address; empty for AWS, or for what AWS_ENDPOINT_URL says.
        region: The region; empty for what the AWS configuration says.
        profile: The AWS profile; empty for the default one.
        access_key_id: Explicit credentials, never shown; empty for the usual AWS chain.
        secret_access_key: See `access_key_id`.
        session_token: See `access_key_id`.
        attempts: How often a request is tried.
    """

    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    attempts: int = 5

    def bucket(self, name: str) -> "S3Bucket":
        """Return one bucket of this server; nothing is asked of the server yet."""
        return S3Bucket(self, name)

    def with_credentials(self) -> "S3Connection":
        """Return the connection with the credentials that the AWS chain gives here and now, for workers that lack them.

        Raises:
            ConfigurationError: The chain gives none.
        """
        if self.access_key_id:
            return self
        found = boto3.Session(profile_name=self.profile or None).get_credentials()
        if found is None:
            raise ConfigurationError("no AWS credentials found", remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.")
        frozen = found.get_frozen_credentials()
        return replace(
            self, access_key_id=frozen.access_key or "", secret_access_key=frozen.secret_key or "", session_token=frozen.token or ""
        )

    def client(self) -> "S3Client":
        """Return this process's client; boto3 clients are safe to share between threads.

        Raises:
            ConfigurationError: The endpoint is not an http(s) URL, or no region is known.
        """
        return _client(self)


@lru_cache(maxsize=8)
def _client(connection: S3Connection) -> "S3Client":
    if connection.endpoint_url and urlsplit(connection.endpoint_url).scheme not in ("http", "https"):
        raise ConfigurationError(f"the S3 endpoint {shown(connection.endpoint_url)} is not an http:// or https:// URL")
    session = boto3.Session(
        aws_access_key_id=connection.access_key_id or None,
        aws_secret_access_key=connection.secret_access_key or None,
        aws_session_token=connection.session_token or None,
        region_name=connection.region or None,
        profile_name=connection.profile if connection.profile and not connection.access_key_id else None,
    )
    config = Config(
        retries={"mode": "standard", "max_attempts": connection.attempts},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=_PARALLEL_LOOKUPS,
        # Other servers than AWS rarely answer to bucket names as host names. A CRC-32 goes with every body; signing it as well, as
        # boto3 does over HTTP, takes a sixth of what an upload costs client and server.
        s3={"addressing_style": "path", "payload_signing_enabled": False} if connection.endpoint_url else None,
    )
    try:
        client = session.client(
            "s3", endpoint_url=connection.endpoint_url or None, region_name=session.region_name or "us-east-1", config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"no S3 client: {error}") from error
    client.meta.events.register("before-parse.s3.ListObjectsV2", _keep_page)
    return client


def _keep_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Hand the raw page of a successful listing through botocore, which then has nothing left to parse."""
    if response_dict["status_code"] == 200:
        customized_response_dict["Page"] = response_dict["body"]
        response_dict["body"] = b"<ListBucketResult/>"


@dataclass(frozen=True)
class S3Bucket:
    """One bucket of an S3 server: implements `platform_assets.common.store.Bucket`, whose docstrings are the contract."""

    connection: S3Connection
    name: str

    @property
    def _s3(self) -> "S3Client":
        return self.connection.client()

    def list(self, prefix: str = "", *, start_after: str = "", ending: tuple[str, ...] = ("",)) -> Iterator[ObjectRef]:
        # Servers encode keys, but none encodes these characters.
        plain = b"|".join(re.escape(end.encode()) for end in ending) if all(_PLAIN.fullmatch(end) for end in ending) else b""
        wanted = re.compile(b"(?:%s)</Key>" % plain)
        for page in self._pages(prefix, **({"StartAfter": start_after} if start_after else {})):
            if wanted.search(page):
                yield from (ref for ref in objects_of(page) if ref.key.endswith(ending))

    def level(self, prefix: str) -> Level:
        level: Level = ([], [])
        for page in self._pages(prefix, Delimiter="/"):
            level[0].extend(folders_of(page))
            level[1].extend(objects_of(page))
        return level

    def _pages(self, prefix: str, **options: Any) -> Iterator[bytes]:
        position: dict[str, Any] = options
        while True:
            with _translated(self.name, prefix):
                answer: Any = self._s3.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=_PAGE_KEYS, EncodingType="url", **position)
            page: bytes = answer["Page"]
            yield page
            token = next_token(page)
            if token is None:
                return
            position = {name: value for name, value in options.items() if name != "StartAfter"} | {"ContinuationToken": token}

    def stat(self, key: str) -> ObjectRef | None:
        with _translated(self.name, key):
            try:
                return _ref(key, self._s3.head_object(Bucket=self.name, Key=key))
            except ClientError as error:
                if _is_gone(error):
                    return None
                raise

    def stat_many(self, keys: Iterable[str]) -> dict[str, ObjectRef]:
        wanted = set(keys)
        if len(wanted) > _SINGLE_LOOKUPS:
            return self._stat_by_listing(wanted)
        with ThreadPoolExecutor(_PARALLEL_LOOKUPS) as pool:
            return {ref.key: ref for ref in pool.map(self.stat, wanted) if ref}

    def _stat_by_listing(self, wanted: set[str]) -> dict[str, ObjectRef]:
        """List from the first to the last key, but at most ten objects a wanted key; what is then left is looked up singly."""
        in_order = sorted(wanted, key=str.encode)
        found: dict[str, ObjectRef] = {}
        last = ""
        common = os.path.commonprefix(in_order)  # noqa: RUF071 - keys, not paths
        listing = self.list(common, start_after=_just_before(in_order[0]))
        for ref in islice(listing, 10 * len(wanted)):
            last = ref.key
            if ref.key in wanted:
                found[ref.key] = ref
            if last.encode() >= in_order[-1].encode():
                return found
        rest = [key for key in in_order if key.encode() > last.encode()] if next(listing, None) else []
        with ThreadPoolExecutor(_PARALLEL_LOOKUPS) as pool:
            return found | {ref.key: ref for ref in pool.map(self.stat, rest) if ref}

    def read(self, key: str, *, limit_bytes: int) -> tuple[bytes, ObjectRef]:
        with _translated(self.name, key):
            try:
                answer = self._s3.get_object(Bucket=self.name, Key=key)
            except ClientError as error:
                raise _missing(self.name, key) if _is_gone(error) else error from None
            ref = _ref(key, answer)
            with answer["Body"] as body:
                if ref.size_bytes > limit_bytes:
                    raise LimitExceeded(f"{shown(key)} has {ref.size_bytes:,} bytes; at most {limit_bytes:,} are read")
                return body.read(), ref

    def download(self, ref: ObjectRef, path: Path) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        size = 0
        with _translated(self.name, ref.key):
            try:
                answer = self._s3.get_object(Bucket=self.name, Key=ref.key, IfMatch=ref.etag)
            except ClientError as error:
                raise _missing(self.name, ref.key) if _is_gone(error) else self._changed(error, ref) from None
            with answer["Body"] as body, path.open("wb") as file:
                while chunk := body.read(_CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
        if size != ref.size_bytes or (_etag_is_md5(ref.etag, answer) and digest.hexdigest() != ref.etag):
            arrived, announced = f"{size:,} bytes, MD5 {digest.hexdigest()}", f"{ref.size_bytes:,} bytes, ETag {ref.etag}"
            raise InputChanged(f"{shown(ref.key)}: what arrived ({arrived}) is not what the store announced ({announced})")
        return digest.hexdigest()

    @staticmethod
    def _changed(error: ClientError, ref: ObjectRef) -> Exception:
        if _status(error) == 412:
            return InputChanged(f"{shown(ref.key)} was overwritten after it was claimed: ETag {ref.etag} is no longer there")
        return error

    def write(self, key: str, data: bytes, *, content_type: str) -> str:
        with _translated(self.name, key):
            return bare(self._s3.put_object(Bucket=self.name, Key=key, Body=data, ContentType=content_type)["ETag"])

    def create(self, key: str, data: bytes, *, content_type: str) -> bool:
        return self._write_if(key, data, content_type, {"IfNoneMatch": "*"}) is not None

    def replace(self, key: str, data: bytes, *, etag: str, content_type: str) -> str | None:
        return self._write_if(key, data, content_type, {"IfMatch": etag})

    def _write_if(self, key: str, data: bytes, content_type: str, condition: dict[str, str]) -> str | None:
        with _translated(self.name, key):
            try:
                answer = self._s3.put_object(Bucket=self.name, Key=key, Body=data, ContentType=content_type, **condition)  # type: ignore[arg-type]
                return bare(answer["ETag"])
            except ClientError as error:
                if _status(error) not in _CONFLICTS and _status(error) != 500 and not _is_gone(error):
                    raise
        # The answer of an earlier, successful try may have been lost: who won is what is there.
        try:
            there, ref = self.read(key, limit_bytes=max(len(data), _CHUNK_BYTES))
        except (MissingInput, LimitExceeded):
            return None
        return ref.etag if there == data else None

    def upload(self, path: Path, key: str, *, content_type: str, metadata: Mapping[str, str]) -> ObjectRef:
        extra: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata)}
        size = path.stat().st_size
        if size < _TRANSFER.multipart_threshold:
            with _translated(self.name, key), path.open("rb") as file:
                answer = self._s3.put_object(Bucket=self.name, Key=key, Body=file, **extra)
            return ObjectRef(key, bare(answer["ETag"]), size)
        with _translated(self.name, key):
            self._s3.upload_file(str(path), self.name, key, ExtraArgs=extra, Config=_TRANSFER)
        ref = self.stat(key)
        if ref is None or ref.size_bytes != size:
            raise StoreUnavailable(f"{shown(key)}: {size:,} bytes were uploaded, but the store has {ref.size_bytes if ref else 'none'}")
        return ref

    def metadata(self, key: str) -> Mapping[str, str] | None:
        with _translated(self.name, key):
            try:
                return self._s3.head_object(Bucket=self.name, Key=key)["Metadata"]
            except ClientError as error:
                if _is_gone(error):
                    return None
                raise

    def copy(self, ref: ObjectRef, key: str) -> bool:
        with _translated(self.name, ref.key):
            try:
                self._s3.copy_object(
                    Bucket=self.name, Key=key, CopySource={"Bucket": self.name, "Key": ref.key}, CopySourceIfMatch=ref.etag
                )
            except ClientError as error:
                if _is_gone(error) or _status(error) in _CONFLICTS:
                    return False
                raise
        # radosgw 16.2 takes the condition and ignores it.
        return self.stat(ref.key) == ref

    def delete(self, key: str) -> None:
        with _translated(self.name, key):
            self._s3.delete_object(Bucket=self.name, Key=key)


@lru_cache(maxsize=8)
def check_conditional_writes(bucket: S3Bucket, prefix: str) -> None:
    """Try whether the store decides conditional writes; without them two sensors could claim the same manifest.

    Raises:
        ConfigurationError: It overwrites what must not be overwritten, as rclone, s3rver and Swift do in some cases.
    """
    key = f"{prefix}_groundtrack/probe-{uuid4().hex}"
    try:
        kept = bucket.create(key, b"first", content_type="text/plain") and not bucket.create(key, b"second", content_type="text/plain")
        ref = bucket.stat(key)
        swapped = ref is not None and bucket.replace(key, b"third", etag=ref.etag, content_type="text/plain") is not None
        stale = ref is not None and bucket.replace(key, b"fourth", etag=ref.etag, content_type="text/plain") is not None
    finally:
        bucket.delete(key)
    if not kept or not swapped or stale:
        raise ConfigurationError(
            f"the S3 server of bucket {bucket.name} does not honour conditional writes (If-None-Match and If-Match)",
            remedy="Use one that does, such as AWS, Ceph or MinIO; the platform cannot claim manifests safely without.",
        )


@contextmanager
def _translated(bucket: str, key: str) -> Iterator[None]:
    """Turn botocore's errors into ours: what may pass is transient, what will not is permanent and says what to mend."""
    where = f"s3://{bucket}/{key}"
    try:
        yield
    except (BotoConnectionError, HTTPClientError) as error:
        raise StoreUnavailable(f"{where}: {error}") from error
    except NoCredentialsError as error:
        raise ConfigurationError(f"{where}: no AWS credentials found") from error
    except S3UploadFailedError as error:
        cause = error.__context__
        raise (_from_status(where, cause) if isinstance(cause, ClientError) else StoreUnavailable(f"{where}: {error}")) from error
    except ClientError as error:
        raise _from_status(where, error) from error
    except BotoCoreError as error:
        raise PermanentError(f"{where}: {error}", code="store_error") from error


def _from_status(where: str, error: ClientError) -> Exception:
    status, code = _status(error), error.response.get("Error", {}).get("Code", "")
    text = f"{where}: {code} ({status}) in {error.operation_name}"
    if status >= 500 or status in (408, 429) or code in ("SlowDown", "RequestTimeout", "Throttling", "RequestTimeTooSkewed"):
        return StoreUnavailable(text)
    if code == "NoSuchBucket":
        return ConfigurationError(text, remedy="Create the bucket, or correct the name in the settings.")
    if status in (401, 403):
        return PermanentError(
            text, code="access_denied", remedy="Give these credentials the permission, or use others; `groundtrack doctor` tells which."
        )
    return PermanentError(text, code="store_error", remedy="Look the code up in the S3 server's documentation.")


def _ref(key: str, answer: Any) -> ObjectRef:
    return ObjectRef(key, bare(answer["ETag"]), answer["ContentLength"], seconds(answer["LastModified"].isoformat()))


def _missing(bucket: str, key: str) -> MissingInput:
    return MissingInput(f"s3://{bucket}/{key} does not exist")


def _just_before(key: str) -> str:
    """Return a start for a listing that still lists `key`; S3 starts after what it is given."""
    return key[:-1]


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_gone(error: ClientError) -> bool:
    return _status(error) == 404 and error.response.get("Error", {}).get("Code", "") in _GONE


def _etag_is_md5(etag: str, answer: Any) -> bool:
    """Whether the ETag is the content's MD5: it is not for multipart uploads and for encryption with a customer's key."""
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    return len(etag) == 32 and not encrypted
