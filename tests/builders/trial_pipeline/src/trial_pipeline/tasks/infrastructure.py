"""Tasks that exercise the interface and nothing else."""

from dkist_processing_core import TaskBase


class NoOp(TaskBase):
    def run(self) -> None:
        pass


class TransferInput(NoOp):
    retries = 2
    retry_delay_seconds = 1


class TransferOutput(TransferInput):
    pass


class SubmitMetadata(NoOp):
    pass


class Publish(NoOp):
    pass


class Fail(TaskBase):
    def run(self) -> None:
        raise RuntimeError("Failure is guaranteed")
