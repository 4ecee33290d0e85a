"""Workflows as manifests describe them, of a package that nobody has."""

from platform_assets.workflows.model import TaskSpec, WorkflowSpec

PARAMETERS = {
    "type": "object",
    "required": ["how"],
    "properties": {
        "how": {"enum": ["fast", "well"]},
        "gain": {"type": "number", "default": 1.0},
        "rounds": {"type": "integer", "default": 3},
        "dry": {"type": "boolean", "default": False},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "bands": {"type": "array", "items": {"type": "string"}, "default": ["red"]},
        "level": {"enum": [1, 2], "default": 1},
    },
}


def task(name: str, *upstreams: str, queue: str = "default", retries: int = 0, parameters: dict | None = None) -> TaskSpec:
    return TaskSpec(name, "camera.tasks", f"Do {name}.", upstreams, ("frozen",), queue, retries, 60.0, None, None, parameters)


def workflow(version: str, *names: str) -> WorkflowSpec:
    given = [task(name) for name in names] or [
        task("Parse"),
        task("Flat", "Parse", queue="high_memory", retries=2),
        task("Dark", "Parse", queue="gpu"),
        task("Combine", "Flat", "Dark", parameters=PARAMETERS),
    ]
    tags = ("camera", "l1", "raw", "with space", version)
    return WorkflowSpec("raw_to_l1_camera", version, "raw", "l1", "camera", "", tags, "camera", tuple(given))
