"""The embedded processor: reads all that its payload names, and writes products that tell what was read.

What it makes is a function of what it reads and of the payload: run again, it writes the same bytes to the same places.
It can be told to misbehave, so that what depends on processors can be tried.
"""

import hashlib
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import partial
from threading import Event
from typing import Any

import numpy as np

from platform_assets.dpr import moments
from platform_assets.dpr.errors import quoted
from platform_assets.dpr.payload import Output
from platform_assets.dpr.places import Buckets, Content, File, content_of, files_at, is_readable, write
from platform_assets.dpr.processors import SIMULATOR, Order, Processed, ProcessorFailed
from platform_assets.dpr.workflow import Entry, WorkflowStep, read_workflow
from platform_assets.dpr.zarr_store import Array, Object, store_objects

VERSION = "1.0"
"""Raised when other products come of the same payload."""

Read = Callable[[File], Content]
Map = Callable[[Read, Sequence[File]], list[Content]]

# A session's orbit follows its time without anything between.
_TIME = re.compile(r"(?<!\d)(\d{8})T?(\d{6})(\d{6})?(?!\d)")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SEVERAL = re.compile(r"(?<!\\)[*+]")
_FOREVER_S = 30 * 86_400.0


class Fault(StrEnum):
    """A way to misbehave."""

    FAIL = "fail"
    HANG = "hang"
    CRASH = "crash"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Faults:
    """Which runs misbehave, and how: always the same ones for the same seed.

    Attributes:
        share: How many of the requests, from 0 to 1.
        kinds: The ways, of which the seed chooses one a request.
        seed: Chooses.
        attempts: How many attempts at such a request misbehave; after these it is run as it should be.
        requests: Only requests whose identifier matches; `*` and `?` are wildcards.
    """

    share: float = 0.0
    kinds: tuple[Fault, ...] = tuple(Fault)
    seed: int = 0
    attempts: int = 1
    requests: str = "*"

    def of(self, request_id: str, attempt: int) -> Fault | None:
        """Return how an attempt misbehaves, if it does."""
        digest = hashlib.sha256(f"{self.seed}/{request_id}".encode()).digest()
        is_chosen = int.from_bytes(digest[:8], "big") / 2**64 < self.share and fnmatchcase(request_id, self.requests)
        return self.kinds[digest[8] % len(self.kinds)] if is_chosen and attempt <= self.attempts and self.kinds else None


def one_by_one(read: Read, files: Sequence[File]) -> list[Content]:
    """Read files in this process."""
    return [read(file) for file in files]


@dataclass(frozen=True, slots=True)
class Simulator:
    """The processor that is there when no other is.

    A step's parameter `simulator` may have `seconds`, how long the step takes at least, and `products`, how many products
    it makes of an output that is a folder.

    Attributes:
        buckets: Where buckets are.
        faults: Which runs misbehave.
        map: What has files read, such as by other workers.
    """

    buckets: Buckets
    faults: Faults = field(default_factory=Faults)
    map: Map = one_by_one

    def run(self, order: Order) -> Processed:
        """Run a payload; see `Processor`.

        Raises:
            ProcessorFailed: Something that it names is not there, or it was told to fail.
        """
        return _Run(self, order).result()


@dataclass(frozen=True, slots=True)
class _Source:
    """All that was read of one input or auxiliary file of a step."""

    name: str
    path: str
    contents: Sequence[Content]

    def to_json(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for content in self.contents:
            digest.update(f"{content.sha256}  {content.file.path}\n".encode())
        size = sum(content.file.size_bytes for content in self.contents)
        return {"name": self.name, "href": self.path, "files": len(self.contents), "bytes": size, "sha256": digest.hexdigest()}

    def counts(self) -> Any:
        return sum((content.counts for content in self.contents), np.zeros(256, np.int64))


class _Run:
    """One payload that is run."""

    def __init__(self, simulator: Simulator, order: Order) -> None:
        self._simulator, self._order = simulator, order
        self._outputs = {output.name: output for output in order.outputs}
        self._fault = simulator.faults.of(order.request_id, order.attempt)
        self._lines: list[str] = []
        self._steps: list[dict[str, Any]] = []

    def result(self) -> Processed:
        order = self._order
        steps = read_workflow(order.payload)
        self._log(f"simulator {VERSION}: {len(steps)} steps, attempt {order.attempt}")
        for number, step in enumerate(steps, 1):
            self._step(step, is_last=number == len(steps))
        self._log("done")
        facts = {"processor": SIMULATOR, "versions": {"simulator": VERSION}, "steps": self._steps}
        return Processed("".join(f"{line}\n" for line in self._lines), facts)

    def _step(self, step: WorkflowStep, *, is_last: bool) -> None:
        told = step.parameters.get("simulator") or {}
        self._log(f"step {step.name}: {step.module}.{step.unit}")
        sources = [self._source(step, "input", name, entry) for name, entry in step.inputs.items()]
        sources += [self._source(step, "auxiliary file", name, entry) for name, entry in step.adfs.items()]
        Event().wait(float(told.get("seconds", 0)))
        if is_last:
            self._misbehave()
        made: list[str] = []
        for number, (pattern, entry) in enumerate(step.outputs.items(), 1):
            whole = not (is_last and number == len(step.outputs) and self._fault is Fault.PARTIAL)
            made += self._output(step, pattern, entry, sources, whole=whole)
        read = [source.to_json() for source in sources]
        self._steps.append({"name": step.name, "read": read, "products": [self._order.shown(path) for path in made]})

    def _misbehave(self) -> None:
        match self._fault:
            case Fault.FAIL:
                self._log("failing, as told")
                raise ProcessorFailed(f"{self._order.request_id}: the simulator failed, as it was told to")
            case Fault.HANG:
                self._log("hanging, as told")
                Event().wait(_FOREVER_S)
            case Fault.CRASH:
                self._log("crashing, as told")
                os.kill(os.getpid(), signal.SIGKILL)

    def _source(self, step: WorkflowStep, what: str, name: str, entry: Entry) -> _Source:
        path = self._order.shown(entry.path)
        if not is_readable(entry.path):
            self._log(f"  {what} {name}: {path} is elsewhere, and is not read")
            return _Source(name, path, ())
        buckets = self._simulator.buckets
        files = files_at(buckets, entry.path, entry.regex)
        if not files:
            among = f" that matches {quoted(entry.regex)}" if entry.regex else ""
            raise ProcessorFailed(f"step {step.name}: {what} {quoted(name)}: there is nothing at {path}{among}", code="missing_input")
        source = _Source(name, path, self._simulator.map(partial(content_of, buckets), files))
        told = source.to_json()
        self._log(f"  {what} {name}: {told['files']} files, {told['bytes']:,} bytes, SHA-256 {told['sha256'][:12]}, at {path}")
        return source

    def _output(self, step: WorkflowStep, pattern: str, entry: Entry, sources: Sequence[_Source], *, whole: bool) -> list[str]:
        made = []
        for name, path in self._products(step, pattern, entry, sources):
            objects = list(self._objects(step, entry, name, sources))
            for key, data in objects if whole else objects[: len(objects) // 2]:
                write(self._simulator.buckets, f"{path}/{key}", data)
            self._log(f"  output {entry.id}: {path}" + ("" if whole else ", in part, as told"))
            made.append(path)
        return made

    def _products(self, step: WorkflowStep, pattern: str, entry: Entry, sources: Sequence[_Source]) -> Iterator[tuple[str, str]]:
        """Yield name and path of the products that are made of an output; a folder has those that the unit names so."""
        base = entry.path.rstrip("/")
        if entry.kind != "folder":
            yield base.rpartition("/")[2].removesuffix(".zarr"), base
            return
        count = int((step.parameters.get("simulator") or {}).get("products", 2 if _SEVERAL.search(pattern) else 1))
        # Of other requests no product has this name; of other versions of this request's document it has.
        parts = [self._order.request_id.rpartition(".")[0] or self._order.request_id, *(source.to_json()["sha256"] for source in sources)]
        digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]
        for number in range(1, count + 1):
            name = f"{self._type(entry)}_{self._interval()[0]:%Y%m%dT%H%M%S}_{digest}_{number:03d}"
            yield name, f"{base}/{name}.zarr"

    def _objects(self, step: WorkflowStep, entry: Entry, name: str, sources: Sequence[_Source]) -> Iterator[Object]:
        counts = np.stack([source.counts() for source in sources] or [np.zeros(256, np.int64)])
        described = {"long_name": "how often each value of a byte was read", "units": "1"}
        arrays = {"measurements/counts": Array(counts, ("source", "value"), described)}
        history = {"processor": SIMULATOR, "version": VERSION, "step": step.name, "module": step.module, "processing_unit": step.unit}
        read = [source.to_json() for source in sources]
        attributes = {"stac_discovery": self._discovery(entry, name), "other_metadata": {"history": [history], "sources": read}}
        yield from store_objects(arrays, attributes, int(entry.parameters.get("zarr_format", 2)))

    def _discovery(self, entry: Entry, name: str) -> dict[str, Any]:
        """Return what a product says of itself, as a STAC item."""
        start, end = self._interval()
        west, south, east, north = bbox = _footprint(f"{self._order.request.satellite}/{start}")
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        properties = {
            "datetime": moments.written(start),
            "start_datetime": moments.written(start),
            "end_datetime": moments.written(end),
            "product:type": self._type(entry),
            "processing:software": {SIMULATOR: VERSION},
        } | ({"platform": self._order.request.satellite} if self._order.request.satellite else {})
        return {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": bbox,
            "properties": properties,
            "links": [],
            "assets": {},
        }

    def _type(self, entry: Entry) -> str:
        output: Output | None = self._outputs.get(entry.id)
        return output.product_type if output and output.product_type not in ("", "*") else entry.id

    def _interval(self) -> tuple[datetime, datetime]:
        """Return the time that is processed: the request's, else the one that an input's name has."""
        request = self._order.request
        start = request.start_datetime or next(filter(None, (_time_in(given.item_id) for given in request.input_products)), _EPOCH)
        return start, request.end_datetime or start + timedelta(minutes=10)

    def _log(self, line: str) -> None:
        shown = self._order.shown(line)
        self._lines.append(shown)
        self._order.log(shown)


def _time_in(text: str) -> datetime | None:
    match = _TIME.search(text)
    digits = match[1] + match[2] if match else ""
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _footprint(seed: str) -> list[float]:
    """Return west, south, east and north of a place, in degrees, that is the same for the same seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    west, south = -170 + digest[0] / 255 * 335, -75 + digest[1] / 255 * 145
    return [round(west, 3), round(south, 3), round(west + 3, 3), round(south + 2, 3)]


def faults_of(document: Mapping[str, Any]) -> Faults:
    """Return faults as settings have them, such as `{"share": 0.1, "kinds": ["crash"], "seed": 7}`."""
    return Faults(**{**document, **({"kinds": tuple(Fault(kind) for kind in document["kinds"])} if "kinds" in document else {})})
