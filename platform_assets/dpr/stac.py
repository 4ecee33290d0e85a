"""Products as STAC items: what the processor says of a product, where it lies, and what it was made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from platform_assets.common import stac
from platform_assets.common.errors import PermanentError
from platform_assets.dpr import documents, items, moments, naming
from platform_assets.dpr.errors import quoted
from platform_assets.dpr.items import Item
from platform_assets.dpr.products import FoundProduct, UnreadableProduct

CODE_VERSION = "1"
"""Raised when the same request would give other items: every request is then processed again."""

ORIGIN, TYPE = "eopf:origin_datetime", "product:type"
REQUEST, OUTPUT = "groundtrack:request", "groundtrack:output"

_SCHEMA = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"
_VERSION = "1.1.0"
_LONGEST_MESSAGE = 200
_TIMES = ("datetime", "start_datetime", "end_datetime")
_OWN_RELATIONS = {"self", "root", "parent", "collection", "derived_from", "processing-execution"}


class NoOrigin(PermanentError):
    """The inputs do not say when what they hold was sensed or received first."""

    code = "no_origin"
    remedy = f"Give the items of the inputs the property {ORIGIN}."


@dataclass(frozen=True, slots=True)
class Origin:
    """What a product comes from.

    Attributes:
        request: The request's identifier.
        run_id: The Dagster run.
        execution: Where the execution is described: the run's page, or its record.
        origin_datetime: The latest `eopf:origin_datetime` of the inputs.
        sources: The items of inputs and auxiliary files; each names its collection.
        software: Versions of what processed, by name.
        prefix: The output prefix.
        now: The time.
    """

    request: str
    run_id: str
    execution: str
    origin_datetime: str
    sources: Sequence[Item]
    software: Mapping[str, str]
    prefix: str
    now: datetime


def collection(collection_id: str) -> stac.CollectionInfo:
    """Return a collection of products or auxiliary files."""
    return stac.CollectionInfo(
        id=collection_id,
        title=collection_id,
        description="Products of on-demand processing, or what they are made of.",
        keywords=("on-demand processing",),
    )


def latest_origin(inputs: Mapping[str, Item | None]) -> str:
    """Return the latest `eopf:origin_datetime` of input items, in UTC, as ISO 8601.

    Args:
        inputs: The items by identifier; None for one that is not there.

    Raises:
        NoOrigin: One is not there, there are none at all, or none has the property.
    """
    missing = [name for name, item in inputs.items() if item is None]
    if missing or not inputs:
        told = f": there is no item {quoted(missing[0])}" if missing else ": there are no inputs"
        raise NoOrigin(f"no valid items found to compute {ORIGIN}{told}")
    texts = [(item or {}).get("properties", {}).get(ORIGIN) for item in inputs.values()]
    found = [moment for text in texts if isinstance(text, str) and (moment := moments.read(text))]
    if not found:
        raise NoOrigin(f"the maximum {ORIGIN} could not be computed: none of {', '.join(map(quoted, inputs))} has one")
    return max(found).isoformat()


def product_type(product: FoundProduct, discovery: Mapping[str, Any]) -> str:
    """Return the type that a product says it is.

    Raises:
        UnreadableProduct: It does not say.
    """
    found = discovery["properties"].get(TYPE)
    if not isinstance(found, str) or not found:
        raise UnreadableProduct(f"{product.href}: its stac_discovery has no {TYPE}")
    return found


def product_item(product: FoundProduct, discovery: Mapping[str, Any], collection_id: str, origin: Origin) -> dict[str, Any]:
    """Return the item of a product.

    Args:
        product: The product.
        discovery: Its `stac_discovery`.
        collection_id: The collection that the item belongs to.
        origin: What the product comes from.

    Raises:
        UnreadableProduct: What the product says of itself makes no valid item.
        UnsafeKey: Product or collection have a name that no key can have.
    """
    key = naming.item_key(collection_id, product.name, origin.prefix)
    box = discovery.get("bbox")
    document = {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": [],
        "id": product.name,
        "collection": collection_id,
        "geometry": discovery.get("geometry"),
        **({"bbox": box} if box and discovery.get("geometry") else {}),
        "properties": _properties(product, discovery["properties"], origin),
        "links": _links(key, discovery, origin),
        "assets": {
            product.name: {"href": product.href, "type": items.ZARR, "roles": ["data", "metadata"], "title": product.output.name},
        },
    }
    if wrong := problems(document):
        raise UnreadableProduct(f"{documents.listed(f'{product.href}: its item would not be valid', wrong)}")
    return document


def problems(item: Mapping[str, Any]) -> list[str]:
    """Return what keeps a document from being a STAC item; extensions are not looked at."""
    if item.get("geometry") and not item.get("bbox"):
        return ["it has a geometry, but no bbox"]  # the schema's own words would blame the geometry
    # Of alternatives that all fail, the one that is nearest to what is there.
    errors = [best_match([error]) for error in _validator().iter_errors(item)]
    found = [f"{documents.path(error.absolute_path) or 'the item'}: {error.message[:_LONGEST_MESSAGE]}" for error in errors]
    properties = item.get("properties") or {}
    times = [(name, properties.get(name)) for name in _TIMES]
    found += [
        f"properties.{name}: {quoted(text)} is no moment"
        for name, text in times
        if text and not (isinstance(text, str) and moments.read(text))
    ]
    return found


def extent(item: Item) -> dict[str, Any]:
    """Return where and when an item is: `bbox` without elevations, `start_datetime`, `end_datetime`; None for what it does not say."""
    box = list(item.get("bbox") or ())
    properties = item.get("properties") or {}
    times = {name: properties.get(name) or properties.get("datetime") for name in _TIMES[1:]}
    read = {name: moments.read(text) if isinstance(text, str) else None for name, text in times.items()}
    flat = [*box[:2], *box[len(box) // 2 :][:2]] or None
    return {"bbox": flat, **{name: moments.written(moment) if moment else None for name, moment in read.items()}}


def _properties(product: FoundProduct, told: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    now = stac.utc(origin.now)
    return {
        # An item has a `datetime`, if only to say that there is none but a begin and an end.
        **({"datetime": None} if told.get("start_datetime") and told.get("end_datetime") else {}),
        **told,
        "created": told.get("created") or now,
        "updated": now,
        "published": now,
        ORIGIN: origin.origin_datetime,
        **({"processing:software": dict(origin.software)} if origin.software else {}),
        REQUEST: origin.request,
        OUTPUT: product.output.name,
        "groundtrack:size_bytes": product.size_bytes,
        "groundtrack:objects": len(product.sizes),
        "groundtrack:run_id": origin.run_id,
        "groundtrack:code_version": CODE_VERSION,
    }


def _links(key: str, discovery: Mapping[str, Any], origin: Origin) -> list[dict[str, Any]]:
    told = discovery.get("links")
    kept = [link for link in told if isinstance(link, dict) and link.get("rel") not in _OWN_RELATIONS] if isinstance(told, list) else []
    derived = {naming.item_key(item["collection"], item["id"], origin.prefix): item["id"] for item in origin.sources}
    return [
        {"rel": "root", "href": "../../catalog.json", "type": stac.JSON},
        {"rel": "collection", "href": "../collection.json", "type": stac.JSON},
        {"rel": "parent", "href": "./catalog.json", "type": stac.JSON},
        *(
            {"rel": "derived_from", "href": stac.relative_href(key, source), "type": stac.GEOJSON, "title": title}
            for source, title in derived.items()
        ),
        {"rel": "processing-execution", "href": origin.execution, "title": f"run {origin.run_id}" if origin.run_id else origin.request},
        *kept,
    ]


@lru_cache(maxsize=1)
def _validator() -> Draft7Validator:
    schemas = get_local_schema_cache()
    resources = [(url, Resource.from_contents(schema, default_specification=DRAFT7)) for url, schema in schemas.items()]
    return Draft7Validator(schemas[_SCHEMA], registry=Registry().with_resources(resources))
