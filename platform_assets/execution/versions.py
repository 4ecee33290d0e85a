"""The tags by which Dagster tells which materializations are out of date."""

from collections.abc import Mapping


def version_tags(code_version: str, version: str | None, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a materialization.

    Args:
        code_version: Of the code that made it.
        version: Of what was made, such as a checksum; None for none.
        inputs: Versions of what it was made from, by asset.
    """
    tags = {"dagster/code_version": code_version} | ({"dagster/data_version": version} if version else {})
    tags |= {f"dagster/input_data_version/{name}": value for name, value in inputs.items()}
    # Without the inputs' place in the event log, which is not known before they are written, Dagster calls them new.
    return tags | {f"dagster/input_event_pointer/{name}": "NULL" for name in inputs}
