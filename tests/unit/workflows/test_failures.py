from dataclasses import replace

import pytest

from platform_assets.workflows.failures import FailedTask, Problem, Sign, StepSign, TaskName, failed_steps, message

NAME = TaskName("raw_to_l1_camera", "1.0.0", "Flat")
LAMP = Problem("RuntimeError", "the lamp was off", "task_failed")
FAILED = FailedTask(NAME, LAMP, 2, 7, "run-1", "http://127.0.0.1:3000/runs/run-1", 1_795_187_339.0)
KILLED = Problem("RunFailed", "its worker is gone")


def signs(*told: tuple[str, Sign] | tuple[str, Sign, Problem]) -> list[StepSign]:
    return [StepSign(*one) for one in told]


def test_f1_f7_the_message_has_all_that_is_known_of_the_task():
    told = message(FAILED)
    assert len(told.pop("conversationId")) == 32
    assert told == {
        "text": "raw_to_l1_camera 1.0.0, recipe run 7: Flat failed after 2 attempts: RuntimeError: the lamp was off "
        "http://127.0.0.1:3000/runs/run-1",
        "workflowName": "raw_to_l1_camera",
        "workflowVersion": "1.0.0",
        "taskName": "Flat",
        "recipeRunId": 7,
        "dagRunId": "run-1",
        "logUrl": "http://127.0.0.1:3000/runs/run-1",
        "attempts": 2,
        "errorCode": "task_failed",
        "errorType": "RuntimeError",
        "errorText": "the lamp was off",
        "failedAt": "2026-11-20T15:08:59Z",
    }


def test_f1_the_conversation_id_is_of_the_task_in_its_run_and_of_no_other():
    same = replace(FAILED, failed_s=0.0, log_url=None)
    others = [
        replace(FAILED, run_id="run-2"),
        replace(FAILED, name=replace(NAME, task="Dark")),
        replace(FAILED, name=replace(NAME, version="2")),
    ]
    ids = [message(failed)["conversationId"] for failed in (FAILED, same, *others)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_f2_n8_a_failure_without_a_run_has_neither_run_id_nor_log_url():
    told = message(FailedTask(NAME, LAMP))
    assert (told["dagRunId"], told["logUrl"], told["recipeRunId"]) == (None, None, None)
    assert told["text"] == "raw_to_l1_camera 1.0.0: Flat failed: RuntimeError: the lamp was off"


def test_a_run_that_failed_before_any_task_is_told_of_as_a_whole():
    told = message(replace(FAILED, name=replace(NAME, task=""), problem=KILLED, attempts=0, log_url=None))
    assert told["text"] == "raw_to_l1_camera 1.0.0, recipe run 7: the run failed: RunFailed: its worker is gone"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\ud800"])
def test_whatever_a_task_raises_can_be_sent(text):
    told = message(replace(FAILED, problem=Problem("E", text)))
    assert len(told["errorText"].encode()) < 20_000
    assert len(told["text"]) < 500


def test_f4_a_task_that_succeeded_at_last_has_not_failed():
    told = signs(
        ("a", Sign.STARTED),
        ("a", Sign.WILL_RETRY, LAMP),
        ("a", Sign.STARTED),
        ("a", Sign.ENDED),
        ("b", Sign.STARTED),
        ("b", Sign.FAILED, LAMP),
    )
    assert failed_steps(told, KILLED) == {"b": (LAMP, 1)}


def test_f4_a_task_that_failed_at_last_has_the_error_of_its_last_attempt():
    first = replace(LAMP, text="the lamp was dim")
    told = signs(("a", Sign.STARTED), ("a", Sign.WILL_RETRY, first), ("a", Sign.STARTED), ("a", Sign.FAILED, LAMP))
    assert failed_steps(told, KILLED) == {"a": (LAMP, 2)}


def test_f5_each_task_that_failed_is_told_of():
    told = signs(("a", Sign.STARTED), ("b", Sign.STARTED), ("b", Sign.FAILED, LAMP), ("a", Sign.FAILED, LAMP))
    assert set(failed_steps(told, KILLED)) == {"a", "b"}


def test_f6_a_task_that_was_under_way_when_its_run_was_killed_has_failed():
    told = signs(("a", Sign.STARTED), ("a", Sign.ENDED), ("b", Sign.STARTED))
    assert failed_steps(told, KILLED) == {"b": (replace(KILLED, code="interrupted"), 1)}


def test_f6_a_task_that_waited_for_its_next_attempt_when_its_run_was_killed_has_failed():
    assert failed_steps(signs(("a", Sign.STARTED), ("a", Sign.WILL_RETRY, LAMP)), KILLED) == {"a": (LAMP, 1)}


def test_a_run_in_which_nothing_began_has_no_failed_task():
    assert failed_steps([], KILLED) == {}
