"""Validates STAC documents with stac-validator and the vendored schemas, never over the network."""

import copy
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # says that the distribution has another name now
    from stac_validator.validate import StacValidate

_FOLDER = Path(__file__).parent / "schemas"
_SPECS = {"catalog": "catalog-spec", "collection": "collection-spec"}


def _schemas() -> dict[str, str]:
    core = "https://schemas.stacspec.org/v1.1.0/{}/json-schema/{}.json"
    found = {core.format(_SPECS.get(path.stem, "item-spec"), path.stem): str(path) for path in (_FOLDER / "stac-v1.1.0").glob("*.json")}
    found |= {f"https://geojson.org/schema/{path.name}": str(path) for path in (_FOLDER / "geojson").glob("*.json")}
    for path in _FOLDER.glob("*-v*.json"):
        extension, _, version = path.stem.rpartition("-")
        found[f"https://stac-extensions.github.io/{extension}/{version}/schema.json"] = str(path)
    return found


SCHEMAS = _schemas()


def validation_error(document: dict[str, Any]) -> str:
    """Return what stac-validator says is wrong with a document; empty when it is valid."""
    unknown = set(document.get("stac_extensions", ())) - SCHEMAS.keys()
    assert not unknown, f"no vendored schema for {unknown}"
    validator = StacValidate(schema_map=dict(SCHEMAS))
    valid = validator.validate_dict(copy.deepcopy(document))
    return "" if valid else str(validator.message)
