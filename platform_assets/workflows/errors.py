"""What goes wrong round a task, apart from the task itself."""

from platform_assets.common.errors import PermanentError


class InvalidWorkflow(PermanentError):
    """A package whose workflows cannot be exported."""

    code = "invalid_workflow"
    remedy = "Correct the package, build it again, and validate again."


class InvalidManifest(PermanentError):
    """A file that is no workflow manifest, or was changed by hand."""

    code = "invalid_manifest"
    remedy = "Export the workflow again: `groundtrack workflows export`."


class InvalidRun(PermanentError):
    """A run that the workflow does not allow: refused before anything is started."""

    code = "invalid_run"
    remedy = "Correct what the message names."
