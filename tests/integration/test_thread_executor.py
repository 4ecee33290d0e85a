"""Steps in threads: beside each other, tried again, left out behind failures, interrupted."""

import os
import signal
import threading
import time

import dagster as dg
import pytest

from tests.builders.threaded_jobs import branches, narrow, troubles, waits


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def test_branches_run_at_the_same_time(instance, tmp_path):
    folder = tmp_path / "met"
    folder.mkdir()
    config = {"config": {"folder": str(folder), "others": 2}}
    with dg.execute_job(dg.reconstructable(branches), instance, run_config={"ops": {"left": config, "right": config}}) as result:
        assert result.success
        assert {event.step_key for event in result.all_events if event.is_step_success} == {"first", "left", "right"}


def test_one_at_a_time_when_that_is_asked_for(instance, tmp_path):
    folder = tmp_path / "met"
    folder.mkdir()
    config = {"config": {"folder": str(folder), "others": 1}}
    run_config = {"ops": {"left": config, "right": config}, "execution": {"config": {"max_concurrent": 1}}}
    with dg.execute_job(dg.reconstructable(branches), instance, run_config=run_config) as result:
        order = [(event.step_key, event.event_type_value) for event in result.all_events if event.is_step_start or event.is_step_success]
    assert [step for step, _ in order] == ["first", "first", "left", "left", "right", "right"]


def test_a_failed_step_is_tried_again_and_what_is_behind_one_that_fails_for_good_does_not_run(instance):
    with dg.execute_job(dg.reconstructable(troubles), instance) as result:
        assert not result.success
        assert {event.step_key for event in result.all_events if event.is_step_success} == {"moody", "behind_moody"}
        assert [event.step_key for event in result.all_events if event.is_step_failure] == ["broken"]
        assert [event.step_key for event in result.all_events if event.is_step_up_for_retry] == ["moody"]


def test_an_interrupt_reaches_the_steps(instance, tmp_path):
    def interrupt():
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with dg.execute_job(
        dg.reconstructable(waits), instance, run_config={"ops": {"patient": {"config": {"folder": str(tmp_path)}}}}
    ) as result:
        assert not result.success
        assert [event.step_key for event in result.all_events if event.is_step_failure] == ["patient"]
    thread.join()
    assert (tmp_path / "interrupted").exists()


def test_a_pool_limits_how_many_of_its_steps_run_at_once(instance, tmp_path):
    instance.event_log_storage.set_concurrency_slots("narrow", 1)
    config = {name: {"config": {"folder": str(tmp_path)}} for name in ("a", "b", "c")}
    with dg.execute_job(dg.reconstructable(narrow), instance, run_config={"ops": config}) as result:
        assert result.success
