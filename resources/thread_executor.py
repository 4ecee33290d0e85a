"""An executor whose steps run beside each other in threads of the run's process, for steps that only wait.

A task of a workflow is a process of its own already. Dagster's in-process executor would run branches one after the other, and
a process a step costs a second of CPU or two (measured: 2.05 CPU-s a step spawned, 0.13 in process).
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.compute_logs import create_compute_log_file_key
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext, StepExecutionContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.execute_plan import _trigger_hook, dagster_event_sequence_for_step
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor

_LOOK_S = 0.5
"""Between two looks at steps that wait for their next attempt or for a slot of their pool."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A thread whose step is over.

    Attributes:
        context: The step's.
        events: All that the step told.
        error: What the thread raised; None unless that ends the run.
    """

    context: StepExecutionContext
    events: list[DagsterEvent]
    error: BaseException | None = None


class ThreadExecutor(Executor):
    """Runs steps in threads.

    Args:
        most: How many at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most

    @property
    def retries(self) -> RetryMode:
        """Steps are tried again as their policies say."""
        return RetryMode.ENABLED

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Run the steps of a plan, and yield what they tell."""
        marker = EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute)
        yield DagsterEvent.engine_event(plan_context, f"Executing steps in threads (pid: {os.getpid()})", marker)
        manager = PlanExecutionContextManager(
            job=plan_context.job,
            retry_mode=plan_context.retry_mode,
            execution_plan=execution_plan,
            run_config=plan_context.run_config,
            dagster_run=plan_context.dagster_run,
            instance=plan_context.instance,
            raise_on_error=plan_context.raise_on_error,
            output_capture=plan_context.output_capture,
        )
        yield from ExecuteRunWithPlanIterable(execution_plan, self._iterate, manager)
        yield DagsterEvent.engine_event(plan_context, f"Finished steps in threads (pid: {os.getpid()})", marker)

    def _iterate(self, job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        with ExitStack() as stack:
            slots = stack.enter_context(InstanceConcurrencyContext(job_context.instance, job_context.dagster_run))
            active = stack.enter_context(
                execution_plan.start(job_context.retry_mode, max_concurrent=self._most, instance_concurrency_context=slots)
            )
            # What steps print is captured for the process, all of it in one log.
            key = job_context.instance.compute_log_manager.build_log_key_for_run(job_context.run_id, create_compute_log_file_key())  # type: ignore[no-untyped-call]
            captured = stack.enter_context(job_context.instance.compute_log_manager.capture_logs(key))
            steps = [step.key for step in execution_plan.get_steps_to_execute_in_topo_order()]
            yield DagsterEvent.capture_logs(job_context, steps, key, captured)
            yield from _Steps(job_context, active).run()


class _Steps:
    """The steps of a run."""

    def __init__(self, job_context: PlanExecutionContext, active: ActiveExecution) -> None:
        self._job_context, self._active = job_context, active
        self._told: SimpleQueue[DagsterEvent | _Ended] = SimpleQueue()
        self._threads: dict[str, Thread] = {}
        self._error: BaseException | None = None

    def run(self) -> Iterator[DagsterEvent]:
        while self._threads or (self._error is None and not self._active.is_complete):
            if self._error is None:
                self._start()
                yield from self._active.concurrency_event_iterator(self._job_context)
            told = self._next()
            if isinstance(told, DagsterEvent):
                yield told
                self._active.handle_event(told)
            elif told:
                yield from self._end(told)
        if self._error is not None:
            self._active.mark_interrupted()
            raise self._error

    def _start(self) -> None:
        for step in self._active.get_steps_to_execute():
            context = self._job_context.for_step(step, self._active.get_known_state())
            thread = Thread(target=self._carry_out, args=(context,), name=step.key, daemon=True)
            self._threads[step.key] = thread
            thread.start()

    def _carry_out(self, context: Any) -> None:
        events: list[DagsterEvent] = []
        error = None
        try:
            for event in dagster_event_sequence_for_step(context):
                events.append(event)
                self._told.put(event)
        except BaseException as raised:  # noqa: BLE001 - raised again in the run's own thread
            error = raised
        self._told.put(_Ended(context, events, error))

    def _next(self) -> DagsterEvent | _Ended | None:
        try:
            with raise_execution_interrupts():
                return self._told.get(timeout=_LOOK_S)
        except Empty:
            return None
        except (DagsterExecutionInterruptedError, KeyboardInterrupt) as interrupt:
            self._interrupt(interrupt)
            return None

    def _interrupt(self, interrupt: BaseException) -> None:
        """Raise an interrupt in all steps, as Python does it in the main thread; the run ends when they have."""
        self._error = interrupt
        for thread in self._threads.values():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(type(interrupt)))

    def _end(self, ended: _Ended) -> Iterator[DagsterEvent]:
        key = ended.context.step.key
        self._threads.pop(key).join()
        if ended.error is not None:
            self._error = self._error or ended.error
            return
        self._active.verify_complete(self._job_context, key)
        yield from self._active.plan_events_iterator(self._job_context)
        yield from _trigger_hook(ended.context, ended.events)


@dg.executor(name="threads", config_schema={"max_concurrent": dg.Field(dg.Int, default_value=4, description="Steps at once.")})
def thread_executor(context: dg.InitExecutorContext) -> ThreadExecutor:
    """Run steps beside each other in threads of the run's process."""
    return ThreadExecutor(int(str(context.executor_config["max_concurrent"])))
