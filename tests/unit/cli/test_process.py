"""One supervised process: started, found dead, started again, ended with its children, its log kept small."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from platform_assets.cli import process as process_module
from platform_assets.cli.process import HOME_VARIABLE, Service, ServiceFailed, Supervised, end_left_overs
from tests.builders.servers import wait_for

SLEEPS = "import time; time.sleep(600)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Supervised]]:
    every: list[Supervised] = []
    yield every
    for supervised in every:
        supervised.stop()


def supervise(
    started: list[Supervised], tmp_path: Path, code: str, *, ready=lambda _: True, told: list[str] | None = None, **options
) -> Supervised:
    service = Service("svc", "test service", (sys.executable, "-S", "-c", code), dict(os.environ), ready, **options)
    supervised = Supervised(service, tmp_path, tmp_path, (told if told is not None else []).append)
    started.append(supervised)
    supervised.start()
    return supervised


def tend_until(supervised: Supervised, condition) -> None:
    def tended() -> bool:
        supervised.tend()
        return bool(condition())

    wait_for(tended, "what was waited for", 20)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_process_that_dies_is_started_again_with_growing_delays(tmp_path, started):
    told: list[str] = []
    supervised = supervise(started, tmp_path, "raise SystemExit(3)", told=told)
    tend_until(supervised, lambda: len(told) >= 3)
    delays = [line.split(" in ")[1].split(" s")[0] for line in told if "started again" in line]
    assert delays[:3] == ["0.5", "1.0", "2.0"]
    assert "test service ended with code 3" in told[0]
    assert str(tmp_path / "svc.log") in told[0]


def test_a_process_that_is_back_is_told_when_it_is_ready_not_when_it_runs(tmp_path, started):
    told: list[str] = []
    flag = tmp_path / "flag"
    supervised = supervise(started, tmp_path, SLEEPS, ready=lambda _: flag.exists(), told=told)
    first = supervised.pid
    assert first
    os.kill(first, 9)
    tend_until(supervised, lambda: supervised.pid not in (None, first))
    supervised.tend()
    assert [line for line in told if "is back" in line] == []
    flag.touch()
    supervised.tend()
    assert told[-1] == "The test service is back."
    assert "was killed by SIGKILL" in told[0]


def test_a_process_that_comes_back_but_does_not_get_ready_is_ended(tmp_path, started):
    supervised = supervise(started, tmp_path, SLEEPS, ready=lambda _: False, start_s=0.2)
    first = supervised.pid
    assert first
    os.kill(first, 9)
    tend_until(supervised, lambda: supervised.pid not in (None, first))
    second = supervised.pid
    tend_until(supervised, lambda: supervised.pid not in (None, second))


def test_what_a_dead_process_left_behind_is_ended_with_it(tmp_path, started):
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-S', '-c', {SLEEPS!r}]).pid, flush=True); {SLEEPS}"
    supervised = supervise(started, tmp_path, code)
    wait_for(lambda: (tmp_path / "svc.log").read_text().strip().isdigit(), "start of the child")
    child = int((tmp_path / "svc.log").read_text())
    assert supervised.pid
    os.kill(supervised.pid, 9)
    tend_until(supervised, lambda: not alive(child))


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path, started):
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEPS}"
    supervised = supervise(started, tmp_path, code, grace_s=0.2)
    wait_for(lambda: (tmp_path / "svc.log").read_text() == "deaf\n", "start")
    pid = supervised.pid
    assert pid
    supervised.stop()
    assert not alive(pid)
    assert supervised.pid is None


def test_a_start_that_fails_shows_the_errors_of_the_log_and_of_this_start_only(tmp_path, started):
    (tmp_path / "svc.log").write_text("RuntimeError: of last year\n")
    supervised = supervise(
        started, tmp_path, "print('about to fail', flush=True); raise ValueError('the setting X is wrong')", ready=lambda _: False
    )
    with pytest.raises(ServiceFailed, match="ended with code 1 while it started") as failed:
        supervised.wait_until_ready(lambda: False)
    text = str(failed.value)
    assert "about to fail" in text
    assert "ValueError: the setting X is wrong" in text
    assert "last year" not in text
    assert "File " not in text
    assert str(tmp_path / "svc.log") in text


def test_a_start_that_takes_too_long_fails(tmp_path, started):
    supervised = supervise(started, tmp_path, SLEEPS, ready=lambda _: False, start_s=0.2)
    with pytest.raises(ServiceFailed, match="was not ready after 0 s"):
        supervised.wait_until_ready(lambda: False)


def test_waiting_ends_when_the_platform_is_stopped(tmp_path, started):
    supervise(started, tmp_path, SLEEPS, ready=lambda _: False).wait_until_ready(lambda: True)


def test_readiness_is_judged_by_when_the_process_was_started(tmp_path, started):
    before = time.time()
    asked: list[float] = []
    supervised = supervise(started, tmp_path, SLEEPS, ready=lambda since: not asked.append(since))
    supervised.wait_until_ready(lambda: False)
    assert before <= asked[0] <= time.time()


def test_signs_of_the_last_life_are_removed_before_a_start(tmp_path, started):
    sign = tmp_path / "sign"
    sign.touch()
    supervise(started, tmp_path, SLEEPS, stale=(sign,))
    assert not sign.exists()


def test_a_log_that_grows_is_moved_aside_while_it_is_written(tmp_path, started, monkeypatch):
    monkeypatch.setattr(process_module, "_LOG_BYTES", 1000)
    code = f"print('x' * 2000, flush=True); input() if False else None; import time; time.sleep(0.5); print('after', flush=True); {SLEEPS}"
    supervised = supervise(started, tmp_path, code)
    log, old = tmp_path / "svc.log", tmp_path / "svc.log.1"
    tend_until(supervised, old.exists)
    assert old.read_text() == "x" * 2000 + "\n"
    wait_for(lambda: log.read_text() == "after\n", "the lines after the move")


def test_left_overs_of_another_home_are_left_alone(tmp_path):
    mine, other = (
        subprocess.Popen([sys.executable, "-S", "-c", SLEEPS], env=os.environ | {HOME_VARIABLE: str(tmp_path / name)})
        for name in ("mine", "other")
    )
    try:
        assert end_left_overs(tmp_path / "mine") == 1
        assert mine.wait(10) == -9
        assert other.poll() is None
        assert end_left_overs(tmp_path / "mine") == 0
    finally:
        other.kill()
        other.wait()
