"""Brings auxiliary files from stations to the output bucket: each once, however many requests want it at the same time.

Whoever is first takes a lease, fetches the files of an item, and writes the item last: it is what tells the others that all is
there. Files that arrived are kept when another one fails, and a failure is told to those who waited for the same item.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import uuid4

from platform_assets.common import lease, stac
from platform_assets.common.errors import GroundtrackError, PermanentError, TransientError
from platform_assets.common.lease import Lease, LeaseLost
from platform_assets.common.store import Bucket
from platform_assets.dpr import archives, naming, staged
from platform_assets.dpr.archives import Limits
from platform_assets.dpr.bucket_catalogue import BucketCatalogue, placed
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.items import Item
from platform_assets.dpr.staged import Asset, Wanted
from platform_assets.dpr.transfer import Expected


class Station(Protocol):
    """Where auxiliary files come from."""

    @property
    def name(self) -> str:
        """What messages and items call it."""

    def search(self, search: Search, place: str, *, timeout_s: float | None) -> Sequence[Item]:
        """Return the items that a search finds, in its order.

        Args:
            search: The search.
            place: What messages call it.
            timeout_s: How long it may take; None for as long as it takes.

        Raises:
            StationUnavailable: The station does not answer.
            StationTimeout: It does not answer in time.
            StationRefused: It refuses.
            InvalidQuery: It cannot search so.
        """

    def fetch(self, href: str, path: Path, expected: Expected) -> None:
        """Write a file that is whole and as expected.

        Raises:
            StationUnavailable: The station does not answer.
            CorruptTransfer: It always sends something else.
            StationRefused: It refuses.
            FileGone: It does not have the file.
        """


def _nobody(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Staging:
    """Where staged files lie, and how long is waited for those who stage; picklable when `is_dead` is.

    Attributes:
        bucket: The output bucket.
        prefix: The output prefix.
        owner: Who stages, such as a run id; begins the name of each holder of a lease.
        lease_s: After how long silence another one takes over.
        poll_s: How often one who waits looks.
        scratch: The folder for files on their way; None for the system's.
        limits: What archives may unpack to.
        is_dead: Tells that the holder of a lease is known to be dead.
    """

    bucket: Bucket
    prefix: str = ""
    owner: str = ""
    lease_s: float = 30.0
    poll_s: float = 1.0
    scratch: str | None = None
    limits: Limits = field(default_factory=Limits)
    is_dead: Callable[[str], bool] = field(default=_nobody, repr=False)

    def stage(self, station: Station, collection: str, items: Sequence[Item], assets: Sequence[str] | None = None) -> list[Item]:
        """Return items whose assets lie in the bucket.

        Args:
            station: Where they come from.
            collection: The collection that they become items of.
            items: What the station found.
            assets: The assets that are wanted; None for all.

        Raises:
            TransientError: A file was not had this time; all others were.
            PermanentError: A file cannot be had, is not as announced, or is an archive that is not unpacked; all others were.
            UnsafeKey: An item has no safe name.
        """
        done: list[Item] = []
        failures: list[GroundtrackError] = []
        for item in items:
            try:
                done.append(_Work(self, station, collection, item, staged.wanted(item, assets)).staged())
            except GroundtrackError as error:
                failures.append(error)
        if failures:
            raise _worst(failures)
        return done


@dataclass
class _Work:
    """One item on its way to the bucket.

    Attributes:
        depot: Where it goes.
        station: Where it comes from.
        collection: The collection that it becomes an item of.
        item: The station's item.
        wanted: The assets that are wanted.
        kept: The assets that are there already, as they will stand in the item.
    """

    depot: Staging
    station: Station
    collection: str
    item: Item
    wanted: Mapping[str, Wanted]
    kept: dict[str, Asset] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.item["id"])

    def staged(self) -> Item:
        key = naming.item_key(self.collection, self.id, self.depot.prefix)
        lease_key = naming.lease_key(key, self.depot.prefix)
        began_s = time.time()
        holder = f"{self.depot.owner}:{uuid4().hex}"
        while True:
            if found := self.found():
                return found
            note = (lease.read(self.depot.bucket, lease_key) or {}).get("note", {})
            _fail_together(note.get("failure"), began_s)
            held = lease.acquire(
                self.depot.bucket, lease_key, holder, ttl_s=self.depot.lease_s, now_s=time.time(), is_dead=self.depot.is_dead
            )
            if held:
                self.kept = dict(note.get("assets", {}))
                return self.fetched(held, key)
            time.sleep(self.depot.poll_s)

    def found(self) -> Item | None:
        """Return the item if all that is wanted is there; one that was not staged is somebody's own, and taken as it is."""
        there = self.there()
        if there is None or staged.is_foreign(there):
            return there
        assets = staged.matching(there["assets"], self.wanted)
        if assets is None or not all(self.is_there(asset) for asset in assets.values()):
            return None
        return {**there, "assets": assets}

    def there(self) -> Item | None:
        return BucketCatalogue(self.depot.bucket, self.depot.prefix).item(self.collection, self.id)

    def is_there(self, asset: Asset) -> bool:
        ref = self.depot.bucket.stat(asset[staged.ORIGIN]["key"])
        return ref is not None and ref.etag == asset[staged.ETAG]

    def fetched(self, held: Lease, key: str) -> Item:
        """Fetch what is missing and return the item, which was written; whatever happens, the lease is given up."""
        failures: list[GroundtrackError] = []
        try:
            with _renewed(held, self.depot.lease_s / 6, lambda: {"assets": dict(self.kept)}):
                if found := self.found():
                    self.kept = {}
                    return found
                for name, wanted in self.wanted.items():
                    self.fetch(name, wanted, failures)
                if failures:
                    raise _worst(failures)
                written = self.commit(key)
            self.kept = {}
            return written
        finally:
            failure = {"failure": _told(_worst(failures))} if failures else {}
            held.release({"assets": self.kept} | failure if self.kept or failures else {})

    def fetch(self, name: str, wanted: Wanted, failures: list[GroundtrackError]) -> None:
        there = staged.matching(self.kept, {name: wanted})
        if there and all(self.is_there(asset) for asset in there.values()):
            return
        try:
            with TemporaryDirectory(prefix="groundtrack-adf-", dir=self.depot.scratch) as folder:
                path = Path(folder) / "fetched" / wanted.file_name
                path.parent.mkdir()
                self.station.fetch(wanted.href, path, wanted.expected)
                stored, asset = self.stored(name, wanted, path, Path(folder) / "unpacked")
        except GroundtrackError as error:
            said = f"{wanted.file_name} of {self.id}, from {self.station.name}, was not correctly staged: {error}"
            failures.append(type(error)(said, code=error.code, remedy=error.remedy))
        else:
            self.kept[stored] = asset

    def stored(self, name: str, wanted: Wanted, path: Path, folder: Path) -> tuple[str, Asset]:
        """Upload a file, or what is in it if it is an archive; return the name and the fields of its asset."""
        place = staged.Place(self.depot.bucket, self.depot.prefix, self.collection, self.id)
        if not archives.is_archive(wanted.file_name):
            return name, staged.upload(place, wanted, path)
        unpacked = archives.unpack(path, folder, self.depot.limits)
        path.unlink()
        bare = archives.stripped(name)
        return name if bare in self.item["assets"] else bare, staged.upload_unpacked(place, wanted, unpacked)

    def commit(self, key: str) -> Item:
        """Write the item, with what it had before of other assets."""
        before = BucketCatalogue(self.depot.bucket, self.depot.prefix).item(self.collection, self.id)
        document = staged.document(
            self.item, self.collection, key, {**((before or {}).get("assets") or {}), **self.kept}, self.station.name
        )
        self.depot.bucket.write(key, stac.to_json(document), content_type=stac.GEOJSON)
        item = placed(document, self.depot.bucket.name, key)
        return {**item, "assets": staged.matching(item["assets"], self.wanted)}


@contextmanager
def _renewed(held: Lease, every_s: float, note: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """Keep a lease until the end of the block. To lose it does no harm: the other one writes the same."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(every_s):
            try:
                held.renew(time.time(), note())
            except LeaseLost:
                return
            except TransientError:
                continue

    thread = threading.Thread(target=renew, name="groundtrack-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _worst(failures: Sequence[GroundtrackError]) -> GroundtrackError:
    """Return the failure that speaks for all: one that does not pass, if there is one."""
    worst = next((error for error in failures if isinstance(error, PermanentError)), failures[0])
    if len(failures) == 1:
        return worst
    return type(worst)(f"{worst}; and {len(failures) - 1} more", code=worst.code, remedy=worst.remedy)


def _told(error: GroundtrackError) -> Mapping[str, Any]:
    passes = not isinstance(error, PermanentError)
    return {"at_s": time.time(), "message": str(error), "code": error.code, "remedy": error.remedy, "passes": passes}


def _fail_together(failure: Mapping[str, Any] | None, since_s: float) -> None:
    """Raise what the one who fetched the item told, if one has waited for it."""
    if failure and failure["at_s"] >= since_s:
        kind = TransientError if failure["passes"] else PermanentError
        raise kind(failure["message"], code=failure["code"], remedy=failure["remedy"])
