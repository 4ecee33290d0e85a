"""What environment variables configure, as the reference reads them: their names in any case, services in a mesh."""

import json
from collections.abc import Mapping


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with all names in upper case; a name that is written so counts more than another spelling."""
    spelled = {name.upper(): value for name, value in environment.items()}
    return spelled | {name: value for name, value in environment.items() if name.isupper()}


def mesh_address(environment: Mapping[str, str], service: str) -> str:
    """Return where `MESH_CONFIG` says that a service is, such as `localhost:4318`; empty where it does not.

    Args:
        environment: With its names in upper case.
        service: The service's name.

    Raises:
        ValueError: The variable is not a JSON object of `{service: {"mesh_address": ..., "mesh_port": ...}}`.
    """
    text = environment.get("MESH_CONFIG")
    if not text:
        return ""
    try:
        found = json.loads(text).get(service)
        return "" if found is None else f"{found['mesh_address']}:{int(found['mesh_port'])}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f'MESH_CONFIG is not a JSON object of {{"{service}": {{"mesh_address": "host", "mesh_port": 4318}}}}: {error!r}'
        ) from None
