"""The last task of a workflow: what its recipe run shared is no longer needed."""

from dataclasses import dataclass
from typing import ClassVar

from platform_assets.workflows.sdk.task import TaskBase


class Teardown(TaskBase):
    """Remove all data of a recipe run; its provenance stays.

    Attributes:
        recipe_run_status: What is recorded, before anything is removed.
    """

    recipe_run_status: ClassVar[str] = "COMPLETEDSUCCESSFULLY"

    @dataclass
    class Parameters:
        """What a run chooses.

        Attributes:
            teardown_enabled: Whether data are removed at all.
        """

        teardown_enabled: bool = True

    def run(self) -> None:
        """Record the status, then remove the data where that is wanted."""
        self.add_metadata({"recipe_run_status": self.recipe_run_status})
        if self.parameters.teardown_enabled:
            self.scratch.clear()

    def rollback(self) -> None:
        """Nothing: what was removed is gone."""


class TrialTeardown(Teardown):
    """Remove all data of a recipe run that was a trial."""

    recipe_run_status = "TRIALSUCCESS"
