"""Jobs of the executor that runs steps in threads; what their ops do is in the file that their configuration names."""

import os
import time
from pathlib import Path

import dagster as dg

from resources.thread_executor import thread_executor


@dg.op
def first() -> str:
    return "first"


@dg.op(config_schema={"folder": str, "others": int}, ins={"before": dg.In(str)})
def beside(context: dg.OpExecutionContext, before: str) -> None:
    """Wait until so many others have started."""
    folder = Path(context.op_config["folder"])
    (folder / context.op_handle.name).touch()
    print(f"{context.op_handle.name} prints in process {os.getpid()}", flush=True)
    deadline = time.monotonic() + 20
    while len(list(folder.iterdir())) < context.op_config["others"]:
        if time.monotonic() > deadline:
            raise TimeoutError("the others did not start")
        time.sleep(0.01)


@dg.job(executor_def=thread_executor)
def branches():
    start = first()
    beside.alias("left")(start)
    beside.alias("right")(start)


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1, delay=0.1))
def moody(context: dg.OpExecutionContext) -> str:
    if context.retry_number == 0:
        raise dg.Failure("not in the mood")
    return "better"


@dg.op
def broken() -> str:
    raise ValueError("broken")


@dg.op
def behind(before: str) -> None:
    """Do nothing."""


@dg.job(executor_def=thread_executor)
def troubles():
    behind.alias("behind_moody")(moody())
    behind.alias("behind_broken")(broken())


@dg.op(config_schema={"folder": str})
def patient(context: dg.OpExecutionContext) -> None:
    """Wait for an interrupt, and tell of it."""
    folder = Path(context.op_config["folder"])
    (folder / "started").touch()
    try:
        while True:
            time.sleep(0.05)
    except BaseException:
        (folder / "interrupted").touch()
        raise


@dg.job(executor_def=thread_executor)
def waits():
    patient()


@dg.op(pool="narrow", config_schema={"folder": str})
def alone(context: dg.OpExecutionContext) -> None:
    """Fail when another one is in the folder."""
    note = Path(context.op_config["folder"], "occupied")
    note.touch(exist_ok=False)
    time.sleep(0.2)
    note.unlink()


@dg.job(executor_def=thread_executor)
def narrow():
    for name in ("a", "b", "c"):
        alone.alias(name)()
