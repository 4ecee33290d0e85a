"""Tasks that do a little."""

from importlib.metadata import version

from dkist_processing_core import TaskBase


class ScienceBase(TaskBase):
    def __init__(self, recipe_run_id: int, workflow_name: str, workflow_version: str):
        super().__init__(recipe_run_id=recipe_run_id, workflow_name=workflow_name, workflow_version=workflow_version)
        self.frames = list(range(self.recipe_run_id))

    def pre_run(self) -> None:
        if version("trial-pipeline") != self.workflow_version:
            raise RuntimeError("the environment has another version than the workflow")

    def __exit__(self, exc_type, exc_val, exc_tb):
        super().__exit__(exc_type, exc_val, exc_tb)
        del self.frames


class ParseInput(ScienceBase):
    def run(self) -> None:
        with self.telemetry_span("Sort frames"):
            self.frames.sort()


class Calibrate(ScienceBase):
    def run(self) -> None:
        with self.telemetry_span("Subtract the dark", attributes={"frames": len(self.frames)}):
            self.frames = [frame - 1 for frame in self.frames]

    def post_run(self) -> None:
        if -1 not in self.frames:
            raise RuntimeError("a frame was lost")


class WriteL1(Calibrate):
    pass


class MakeMovieFrames(Calibrate):
    pass


class AssembleMovie(Calibrate):
    pass


class QualityL0(ParseInput):
    pass


class QualityL1(ParseInput):
    pass


class AssembleQuality(ParseInput):
    def rollback(self) -> None:
        super().rollback()
