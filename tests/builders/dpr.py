"""Documents of on-demand processing: a small processor of our own invention, its requests, storage and items.

The processor `wave` calibrates a strip, renders terrain, and maps the one with the other:

    Calib(slc; ORB, GAIN) -> cal     Terrain(slc) -> DEM     Geo(cal, dem) -> geo, log
"""

import copy
import json
from typing import Any

Document = dict[str, Any]

_RESOURCES = {
    "dask": {"worker_cpu": 1, "worker_ram": "2GB", "worker_thread_count": 1, "worker_count": 1},
    "disk": {"size_per_worker": "1GB"},
}
START, END = "{external_variable.start_datetime}", "{external_variable.end_datetime}"


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def product(name: str, **fields: Any) -> Document:
    return {"name": name, "mandatory": True, **fields}


def unit(name: str, inputs: list[Any], outputs: list[Any], adfs: list[Any] | None = None) -> Document:
    lists = {"input_products": inputs, "input_adfs": adfs or [], "output_products": outputs}
    return {
        "name": name,
        "module": f"wave.{name.lower()}",
        "resources_min": copy.deepcopy(_RESOURCES),
        **{key: [product(row) if isinstance(row, str) else row for row in rows] for key, rows in lists.items()},
    }


def step(number: int, name: str, inputs: Document, outputs: Document, **fields: Any) -> Document:
    return {"unit_name": name, "step_id": number, "input_products": inputs, "output_products": outputs, **fields}


def alternative(order: int, product_type: str, query: str = "ValCover", **parameters: Any) -> Document:
    given = {"product_type": product_type, "start_datetime": START, "end_datetime": END, "dTa": 60, "dTb": 0, **parameters}
    return {"order": order, "timeout_seconds": 0, "query": {"name": query, "parameters": given}}


def val_cover() -> Document:
    """A query for what is valid for the whole time and some seconds beyond; the newest of it."""
    shifted = [{"op": "-", "args": ["{start_datetime}", "{dTa}"]}, {"op": "+", "args": ["{end_datetime}", "{dTb}"]}]
    own = {"interval": [{"property": "start_datetime"}, {"property": "end_datetime"}]}
    covers = {"op": "t_contains", "args": [own, {"interval": shifted}]}
    is_type = {"op": "=", "args": [{"property": "product:type"}, "{product_type}"]}
    return {
        "name": "ValCover",
        "parameters": ["product_type", "start_datetime", "end_datetime", "dTa", "dTb"],
        "stac": {
            "filter": {"op": "and", "args": [is_type, covers]},
            "sortby": [{"field": "created", "direction": "desc"}],
            "limit": 1,
        },
    }


def full_steps() -> list[Document]:
    return [
        step(1, "Calib", {"slc": "pipeline_input"}, {"cal": "pipeline_internal"}, parameters={"day": START, "looks": 3}),
        step(2, "Terrain", {"slc": "pipeline_input"}, {"DEM": "pipeline_internal"}),
        step(3, "Geo", {"cal": "Calib.1.cal", "dem": "Terrain.2.DEM"}, {"geo": "pipeline_output", "log": "pipeline_output"}),
    ]


def task_table(steps: list[Document] | None = None) -> Document:
    """A task table of specification 2.0."""
    return {
        "$schema": "TaskTable.schema.json",
        "tasktable": {
            "name": "wave",
            "version": "1.2",
            "specification_version": "2.0_draftA",
            "update_datetime": "2026-05-01T00:00:00Z",
            "configuration_path": {},
        },
        "external_variables": ["start_datetime", "end_datetime"],
        "external_modules": [{"name": "wave.readers", "star_import": True}],
        "units": [
            unit("Calib", ["slc"], ["cal"], ["ORB", product("GAIN", mandatory=False), product("INTERNAL", mandatory=False)]),
            unit("Terrain", ["slc"], ["DEM"]),
            unit("Geo", ["cal", "dem"], [product("geo", regex="^final_.*"), product("log", mandatory=False, mode="nrt")]),
        ],
        "io": {
            "input": [
                {"name": "slc", "type": "folder", "engine": "cpm_safe"},
                {"name": "dem", "type": "file", "engine": "cpm_zarr"},
            ],
            "adfs": [
                {"name": "ORB", "type": "file", "alternatives": [alternative(2, "ORB_PRE"), alternative(1, "ORB_RES")]},
                {"name": "GAIN", "type": "folder", "alternatives": [alternative(1, "AUX_GAIN")]},
                {"name": "INTERNAL", "type": "file"},
            ],
            "output": [
                {"name": "cal", "type": "file", "engine": "cpm_zarr"},
                {"name": "DEM", "type": "file", "engine": "cpm_zarr"},
                {"name": "geo", "type": "folder", "engine": "cpm_zarr", "writer_params": {"mode": "w"}},
                {"name": "log", "type": "file", "engine": "s3_cache"},
            ],
        },
        "queries": [val_cover()],
        "pipelines": [{"name": "full", "description": "All of it", "steps": full_steps() if steps is None else steps}],
    }


def first_task_table() -> Document:
    """The calibration of the same processor, as specification 1.0 describes it."""
    table = task_table()
    del table["external_modules"]
    table["tasktable"]["specification_version"] = "1.0_draftJ"
    table["units"] = table["units"][:1]
    table["io"] = [
        {"name": "slc", "type": "folder", "store_type": "safe"},
        {"name": "ORB", "type": "filename", "store_type": "safe", "alternatives": [alternative(1, "ORB_RES")]},
        {"name": "GAIN", "type": "folder", "store_type": "safe", "alternatives": [alternative(1, "AUX_GAIN")]},
        {"name": "INTERNAL", "type": "filename", "store_type": "safe"},
        {"name": "cal", "type": "folder", "store_type": "zarr", "store_params": {"consolidate": True}},
    ]
    table["pipelines"] = [
        {"name": "full", "description": "", "steps": [step(1, "Calib", {"slc": "pipeline.input"}, {"cal": "pipeline.output"})]}
    ]
    return table


def request(**changes: Any) -> Document:
    """A request for the whole pipeline; a change to None leaves the field out."""
    document = {
        "processor_name": "wave",
        "processor_version": "1.2",
        "pipeline": "full",
        "owner_id": "ana",
        "satellite": "sentinel-1c",
        "start_datetime": "2026-05-01T04:10:00Z",
        "end_datetime": "2026-05-01T04:22:00Z",
        "input_products": [{"name": "slc", "item_id": "S1C_A", "collection_name": "slcs"}],
        "generated_product_to_collection_identifier": [
            {"name": "geo", "product_type": "*", "collection_name": "maps"},
            {"name": "cal", "product_type": "CAL", "collection_name": "calibrated"},
        ],
        "auxiliary_product_to_collection_identifier": [
            {"product_type": "ORB_RES", "collection_name": "orbits"},
            {"product_type": "*", "collection_name": "aux"},
        ],
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def storage() -> Document:
    """Object store for what comes and goes, a shared disk for what stays inside."""

    def sections(**stores: str) -> list[Document]:
        return [{"section": section, "storage": store} for section, store in stores.items()]

    return {
        "product": {
            "default": {
                "adfs": {"storage": "cloud"},
                "unit": sections(input_products="cloud", output_products="cloud"),
                "pipeline": sections(pipeline_input="cloud", pipeline_output="cloud", other="share"),
            },
            "specific": [],
        },
        "storage_configuration": [
            {
                "name": "cloud",
                "kind": "obs",
                "storage_options": {
                    "key": "${CLOUD_KEY}",
                    "secret": "${CLOUD_SECRET}",
                    "endpoint_url": "https://s3.example.org",
                    "region_name": "north",
                },
            },
            {"name": "share", "kind": "shared_disk", "absolute_path": "/share/work", "autoclean": True},
        ],
    }


def item(identifier: str, collection: str, href: str | None = None, **properties: Any) -> Document:
    """A STAC item whose first asset lies at `href`."""
    given = {"datetime": "2026-05-01T00:00:00Z", "created": "2026-05-01T00:00:00Z", **properties}
    assets = {"data": {"href": href or f"s3://archive/{collection}/{identifier}"}}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": collection,
        "geometry": None,
        "properties": {name.replace("__", ":"): value for name, value in given.items()},
        "links": [],
        "assets": assets,
    }


def auxiliary(identifier: str, collection: str, product_type: str, **properties: Any) -> Document:
    """An auxiliary file that is valid for the day of the request."""
    validity = {"start_datetime": "2026-05-01T00:00:00Z", "end_datetime": "2026-05-02T00:00:00Z"}
    return item(identifier, collection, **{"product__type": product_type, **validity, **properties})


def items() -> list[Document]:
    """What the request needs: no ORB_RES, a newer and an older ORB_PRE, no AUX_GAIN."""
    return [
        item("S1C_A", "slcs", "s3://archive/slcs/S1C_A.SAFE/manifest.safe", start_datetime="2026-05-01T04:10:00Z"),
        auxiliary("ORB_OLD", "aux", "ORB_PRE", created="2026-04-30T00:00:00Z"),
        auxiliary("ORB_NEW", "aux", "ORB_PRE", created="2026-04-30T12:00:00Z"),
        auxiliary("ORB_SHORT", "aux", "ORB_PRE", end_datetime="2026-05-01T04:20:00Z", created="2026-05-01T00:00:00Z"),
    ]
