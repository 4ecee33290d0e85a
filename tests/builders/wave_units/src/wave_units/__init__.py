"""The processor `wave` as real units of EOPF CPM; runs in CPM's environment, so it imports nothing of ours."""

import os
import signal
from typing import Any

import numpy as np
from eopf import EOGroup, EOProduct, EOVariable
from eopf.computing import EOProcessingUnit


class Calib(EOProcessingUnit):
    """Multiplies what it reads by the number of looks, and adds the size of the orbit file."""

    def run(self, inputs: Any, adfs: Any = None, looks: int = 1, **_: Any) -> Any:
        with adfs["ORB"].path.open("rb") as file:
            offset = len(file.read())
        products = inputs["slc"] if isinstance(inputs["slc"], list) else [inputs["slc"]]
        counts = sum(np.asarray(product["measurements/counts"].data) for product in products)
        print(f"looks {looks}, offset {offset}")
        return {"cal": product("CAL", counts * looks + offset)}


class Terrain(EOProcessingUnit):
    """Makes terrain of what it reads."""

    def run(self, **parameters: Any) -> Any:
        match parameters.get("do"):
            case "fail":
                raise ValueError(f"the terrain has a hole; I know {parameters['tell']}")
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                print(f"I know {parameters['tell']}")
                signal.pause()
        return {"DEM": product("DEM", np.ones((1, 256), "int64"))}


class Geo(EOProcessingUnit):
    """Maps what it reads with the terrain, into two products and one that nobody asked for."""

    def run(self, inputs: Any, **_: Any) -> Any:
        counts = np.asarray(inputs["cal"]["measurements/counts"].data) + np.asarray(inputs["dem"]["measurements/counts"].data)
        return {name: product(f"S01S{name[-1].upper()}WRAW", counts) for name in ("final_i", "final_e", "other_s")}


def product(kind: str, counts: Any) -> EOProduct:
    properties = {
        "datetime": "2026-05-01T04:10:00.000Z",
        "start_datetime": "2026-05-01T04:10:00.000Z",
        "end_datetime": "2026-05-01T04:22:00.000Z",
        "platform": "sentinel-1c",
        "product:type": kind,
        "product:timeliness_category": "NRT",
        "sat:relative_orbit": 8,
    }
    ring = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    discovery = {"type": "Feature", "id": kind, "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [0, 0, 1, 1]}
    made = EOProduct(kind.lower(), attrs={"stac_discovery": {**discovery, "properties": properties}})
    made["measurements"] = EOGroup()
    made["measurements/counts"] = EOVariable(data=counts, dims=("source", "value"))
    return made
