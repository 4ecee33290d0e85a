"""The products that a processor wrote: found by listing, and looked at before anything of them is published."""

import json
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.common.errors import CheckFailed, ConfigurationError
from platform_assets.common.store import Bucket
from platform_assets.common.values import ObjectRef
from platform_assets.dpr import zarr
from platform_assets.dpr.errors import PayloadError, choice, quoted
from platform_assets.dpr.payload import BEFORE, CPM3, Output, Payload

_S3 = "s3://"
_DOCUMENT_BYTES = 64 << 20
_MOST_TOLD = 5
_PARALLEL = 16


class MissingOutput(CheckFailed):
    """A processor ended well, but did not write what it must."""

    code = "missing_output"
    remedy = "Read the processor's log: it says what was made. Nothing was published."


class UnreadableProduct(CheckFailed):
    """A product is not what a reader of it needs."""

    code = "unreadable_product"
    remedy = "Read the processor's log for why it wrote such a product. Nothing was published."


class NotPublishable(ConfigurationError):
    """A final product would go where nothing is published from."""

    code = "not_publishable"
    remedy = "Give the product an object store in the storage configuration, or `final_product: false` in the task table."


@dataclass(frozen=True, slots=True)
class FoundProduct:
    """A product in a bucket.

    Attributes:
        output: The output that it is of.
        bucket: The bucket's name.
        folder: The key of its folder, without a slash at the end.
        marker: The object that makes the folder a product: it has the attributes of the Zarr store's root.
        sizes: Size in bytes of each object, by path in the folder.
    """

    output: Output
    bucket: str
    folder: str
    marker: ObjectRef
    sizes: Mapping[str, int]

    @property
    def name(self) -> str:
        """The folder's name; the item's identifier."""
        return self.folder.rpartition("/")[2]

    @property
    def href(self) -> str:
        """Where it lies."""
        return f"{_S3}{self.bucket}/{self.folder}"

    @property
    def size_bytes(self) -> int:
        """Of all objects together."""
        return sum(self.sizes.values())


def place(path: str) -> tuple[str, str]:
    """Return bucket and key of an address such as `s3://bucket/a/b.zarr`; the key has no slash at its ends."""
    bucket, _, key = path.removeprefix(_S3).partition("/")
    return bucket, key.strip("/")


def final_outputs(payload: Payload) -> tuple[Output, ...]:
    """Return the outputs that are published.

    Raises:
        PayloadError: The payload does not say what comes and goes.
        NotPublishable: One of them goes to a disk.
    """
    if not any(payload.document.get(key) for key in (CPM3, BEFORE)):
        raise PayloadError(f"the payload has neither {quoted(CPM3)} nor {quoted(BEFORE)}: its inputs and outputs are missing")
    final = tuple(output for output in payload.outputs if output.is_final)
    if on_disk := [output for output in final if not output.path.startswith(_S3)]:
        raise NotPublishable(
            f"the final product {quoted(on_disk[0].name)} goes to the disk {on_disk[0].path}, from where nothing is published"
        )
    return final


def discover(bucket: Bucket, output: Output) -> list[FoundProduct]:
    """Return the products that lie at an output's path: the folder itself, or folders in it or in `products/` in it.

    Args:
        bucket: The bucket of the path.
        output: The output.
    """
    base = f"{place(output.path)[1]}/"
    objects = {ref.key.removeprefix(base): ref for ref in bucket.list(base)}
    markers = _markers(objects)
    sizes: dict[str, dict[str, int]] = {root: {} for root in markers}
    for path, ref in objects.items():
        if (root := _root_of(path, markers)) is not None:
            sizes[root][path.removeprefix(f"{root}/")] = ref.size_bytes
    return [FoundProduct(output, bucket.name, f"{base}{root}".rstrip("/"), markers[root], sizes[root]) for root in markers]


def check_outputs(outputs: Iterable[Output], found: Sequence[FoundProduct]) -> None:
    """Check that every mandatory output was made.

    Raises:
        MissingOutput: One was not.
    """
    made = {product.output.name for product in found}
    lacking = [output for output in outputs if output.is_mandatory and output.name not in made]
    if lacking:
        places = ", ".join(f"{quoted(output.name)} at {output.path}" for output in lacking[:_MOST_TOLD])
        raise MissingOutput(f"the processor ended well, but there is no product of {places}; {choice('products', sorted(made))}")


def check_product(bucket: Bucket, product: FoundProduct) -> Mapping[str, Any]:
    """Check that a product can be read, and return what it says of itself for discovery: a STAC item but for its place.

    Raises:
        UnreadableProduct: It cannot.
    """
    marker = product.marker.key.rpartition("/")[2]
    discovery = _discovery(_read(bucket, product, marker), marker)
    if discovery is None:
        raise UnreadableProduct(f"{product.href}/{marker} is no JSON with stac_discovery.properties")
    wrong = list(zarr.faults(lambda path: _read(bucket, product, path), product.sizes))
    if wrong:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        raise UnreadableProduct(f"{product.href}: {'; '.join(wrong[:_MOST_TOLD])}{more}")
    return discovery


def remove(bucket: Bucket, path: str) -> None:
    """Delete the folder or object at a path; that there is none is no error."""
    if key := place(path)[1]:  # an address without a key is the whole bucket
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(bucket.delete, [key, *(ref.key for ref in bucket.list(f"{key}/"))]))


def clean_folders(folders: Iterable[Path]) -> Iterator[str]:
    """Delete folders of intermediate products on disks; yield what could not be deleted, and why: that fails nothing."""
    for folder in folders:
        if not folder.exists():
            yield f"{folder} is not there to be deleted: the disk may be another machine's"
        elif not folder.is_dir() or folder.is_symlink():
            yield f"{folder} is no folder, and is not deleted"
        else:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                yield f"{folder} is not deleted: {error.strerror or error}"


def _markers(objects: Mapping[str, ObjectRef]) -> dict[str, ObjectRef]:
    """Return the objects that make folders products, by folder; Zarr 3 wins where both formats are."""
    found: dict[str, ObjectRef] = {}
    for name in (zarr.V2, zarr.V3):
        for path, ref in objects.items():
            folder, _, last = path.rpartition("/")
            if last == name and (folder.count("/") == 0 or (folder.startswith("products/") and folder.count("/") == 1)):
                found[folder] = ref
    if "" in found:
        return {"": found[""]}
    # A group in a product is none itself.
    return {folder: ref for folder, ref in sorted(found.items()) if "/" not in folder or "products" not in found}


def _root_of(path: str, roots: Container[str]) -> str | None:
    """Return the product that an object belongs to."""
    first, _, rest = path.partition("/")
    return next((root for root in ("", first, f"{first}/{rest.partition('/')[0]}") if root in roots), None)


def _read(bucket: Bucket, product: FoundProduct, path: str) -> bytes:
    return bucket.read(f"{product.folder}/{path}", limit_bytes=_DOCUMENT_BYTES)[0]


def _discovery(data: bytes, name: str) -> Mapping[str, Any] | None:
    try:
        found = zarr.attributes(json.loads(data), name).get("stac_discovery")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("properties"), dict) else None
