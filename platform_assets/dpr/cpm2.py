"""Payloads as CPM 2 reads them, the version that is on PyPI; ours are those of the Reference System, whose CPM is newer.

What CPM 2.8.1 does otherwise, each seen when it ran such payloads:

* it takes what is before the first dot of a reference for the step, so the names of steps must not have dots;
* entries have `store_type`, `store_params` and `opening_mode`, an `engine` is not known;
* a `regex` is a pattern of file names such as `S1A_*`, and `multiplicity` is a text;
* it does not reach an object store whose endpoint and region are not told;
* the level of its log is `logging.level`;
* it sleeps before it exits, as long as the payload says, for people to look at a dashboard.
"""

import os.path
import re
from collections.abc import Mapping
from typing import Any

from platform_assets.dpr.errors import PayloadError, choice, quoted
from platform_assets.dpr.workflow import section

_STORES = {"cpm_zarr": "zarr", "fast_zarr": "zarr", "cpm_safe": "safe", "cadu": "cadu"}
_MODES = {"w": "CREATE_OVERWRITE", "w-": "CREATE_NO_OVERWRITE", "a": "APPEND", "r+": "UPDATE"}
_NEWER = ("use_obstore", "compute", "mode", "zarr_format")
"""Parameters of reading and writing that newer versions have."""

_GROUP = re.compile(r"\((?P<names>[^()]*)\)")
_SIMPLE = re.compile(r"(?:[\w-]|\\\.|\.\*)+")
_ESCAPED = re.compile(r"\\(.)")


def for_cpm2(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload as CPM 2 reads it.

    Raises:
        PayloadError: It has an engine, or a choice of inputs, that CPM 2 does not have.
    """
    places = section(payload)
    general = {"triggering__use_basic_logging": True, **payload["general_configuration"], "triggering__wait_before_exit": 0}
    if level := general.pop("logging__progress_level", None):
        general["logging"] = {"level": level}
    kept = {name: payload[name] for name in ("dotenv", "breakpoints", "logging", "config", "secret", "eoqc") if name in payload}
    modules = [_module(module) for module in payload.get("external_modules", ())]
    return {
        "general_configuration": general,
        **kept,
        **({"external_modules": modules} if modules else {}),
        "workflow": _workflow(payload["workflow"]),
        "io": {
            "input_products": [_input(entry) for entry in places.get("input_products", ())],
            "output_products": [_output(entry) for entry in places.get("output_products", ())],
            "adfs": [_adf(entry) for entry in places.get("adfs", ())],
        },
    }


def _module(module: Mapping[str, Any]) -> dict[str, Any]:
    return {("nested" if name == "star_import" else name): value for name, value in module.items()}


def _workflow(steps: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    references: dict[str, str] = {}
    for step in steps:
        for key, product in step.get("outputs", {}).items():
            # What a unit calls a product by a pattern is found by where it was written.
            references[f"{step['name']}.{product}"] = f"{_name(step['name'])}.{product}" if key == product else product
    return [
        {
            **step,
            "name": _name(step["name"]),
            **({"inputs": {name: references.get(source, source) for name, source in step["inputs"].items()}} if "inputs" in step else {}),
        }
        for step in steps
    ]


def _name(step: str) -> str:
    return step.replace(".", "_")


def _input(entry: Mapping[str, Any]) -> dict[str, Any]:
    parameters = _parameters(entry, "reader_params")
    several = {name: entry[name] for name in ("regex", "multiplicity") if name in entry}
    parameters |= several
    if "multiplicity" in parameters:
        parameters["multiplicity"] = str(parameters["multiplicity"])
    if "regex" in parameters:
        parameters["regex"] = glob_of(parameters["regex"])
    return {"id": entry["id"], "path": entry["path"], "type": _type(entry), "store_type": _store(entry), "store_params": parameters}


def _output(entry: Mapping[str, Any]) -> dict[str, Any]:
    mode = entry.get("opening_mode") or _MODES.get(entry.get("writer_params", {}).get("mode", "w"), "CREATE_OVERWRITE")
    written = {"id": entry["id"], "path": entry["path"], "type": _type(entry), "store_type": _store(entry), "opening_mode": mode}
    return {**written, "store_params": _parameters(entry, "writer_params"), "apply_eoqc": entry.get("apply_eoqc", False)}


def _adf(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": entry["id"], "path": entry["path"], "store_params": _parameters(entry, "adf_params")}


def _store(entry: Mapping[str, Any]) -> str:
    if entry.get("store_type"):
        return str(entry["store_type"])
    engine = entry.get("engine")
    if engine not in _STORES:
        raise PayloadError(
            f"{quoted(entry['id'])} has the engine {quoted(engine)}, which CPM 2 does not have; {choice('it has', _STORES)}",
            code="unsupported_engine",
            remedy="Run it with a CPM that has it, or give the product another engine in the task table.",
        )
    return _STORES[engine]


def _type(entry: Mapping[str, Any]) -> str:
    kind = entry.get("type", "filename")
    return "filename" if kind == "file" else str(kind)


def _parameters(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    parameters = {**entry.get("store_params", {}), **{key: value for key, value in entry.get(name, {}).items() if key not in _NEWER}}
    if options := parameters.get("storage_options"):
        client = {"region_name": "us-east-1", **options.get("client_kwargs", {})}
        client.setdefault("endpoint_url", f"https://s3.{client['region_name']}.amazonaws.com")
        parameters["storage_options"] = {**options, "client_kwargs": client}
    return parameters


def glob_of(regex: str) -> str:
    """Return a pattern of file names that matches what a list of names, as payloads have it, does; and maybe more.

    Raises:
        PayloadError: The regular expression is no list of names and no pattern.
    """
    match = _GROUP.fullmatch(regex)
    names = [_ESCAPED.sub(r"\1", name) for name in match["names"].split("|")] if match else []
    if names:
        start = os.path.commonprefix(names)  # noqa: RUF071 - names, not paths
        end = os.path.commonprefix([name[::-1] for name in names])[::-1]  # noqa: RUF071
        end = end[: max(0, min(map(len, names)) - len(start))] if len(names) > 1 else ""
        return _literal(start) + (f"*{_literal(end)}" if len(names) > 1 else "")
    if _SIMPLE.fullmatch(regex):
        return regex.replace(r".*", "*").replace(r"\.", ".")
    raise PayloadError(
        f"the inputs that match {quoted(regex)} cannot be told to CPM 2, whose patterns have only * and ?",
        code="unsupported_regex",
        remedy="Give the input a simpler regular expression in the task table, such as S1A_.*",
    )


def _literal(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
