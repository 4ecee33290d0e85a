"""Downloads from simulated stations that fail in every way they know."""

import hashlib
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from platform_assets.common.errors import ConfigurationError
from platform_assets.dpr import odata, sample
from platform_assets.dpr.transfer import Checksum, CorruptTransfer, Expected, FileGone, StationRefused, StationTimeout, StationUnavailable
from resources.http_files import HttpFiles, Retries
from resources.station_faults import Fault, FaultSchedule, FaultyStation
from resources.station_simulator import FileContent, Question, serving
from resources.station_simulator_cadip import CadipSimulator

QUICK = Retries(attempts=3, pause_s=0.01)
SESSION = sample.make_session(block_bytes=400 << 10)
NAME = next(iter(SESSION.blocks))
ROW = next(row for row in SESSION.row["Files"] if row["Name"] == NAME)
EXPECTED = Expected(ROW["Size"], odata.checksum(ROW))
VALUE = f"/odata/v1/Files({ROW['Id']})/$value"


@contextmanager
def station(*kinds: Fault, authorization: str = "", retry_after_s: int = 0) -> Iterator[tuple[CadipSimulator, str]]:
    schedule = FaultSchedule(rate=1.0, kinds=kinds, retry_after_s=retry_after_s)
    simulator = CadipSimulator([SESSION], schedule)
    with serving(simulator, authorization=authorization) as url:
        yield simulator, url


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.ERROR, Fault.TRUNCATE, Fault.CORRUPT])
def test_a_file_arrives_whole_whatever_fails_once(fault: Fault, tmp_path: Path) -> None:
    with station(fault) as (simulator, url):
        received = HttpFiles(url, retries=QUICK).download(url + VALUE, tmp_path / "block", EXPECTED)
    assert simulator.faults.happened[fault] == 1
    assert (tmp_path / "block").read_bytes() == SESSION.blocks[NAME]
    assert (received.attempts, received.resumed) == (2, fault is Fault.TRUNCATE)
    assert [path.name for path in tmp_path.iterdir()] == ["block"]


def test_all_faults_together_cost_attempts_and_nothing_else(tmp_path: Path) -> None:
    with station(*Fault) as (_, url), pytest.raises(FileGone):
        HttpFiles(url, retries=QUICK).download(url + VALUE, tmp_path / "block", EXPECTED)
    every = (Fault.THROTTLE, Fault.ERROR, Fault.TRUNCATE, Fault.CORRUPT)
    with station(*every) as (simulator, url):
        HttpFiles(url, retries=Retries(attempts=6, pause_s=0.01)).download(url + VALUE, tmp_path / "block", EXPECTED)
    assert simulator.faults.happened == dict.fromkeys(every, 1)


def test_a_station_that_says_when_to_come_again_is_given_that_time(tmp_path: Path) -> None:
    with station(Fault.THROTTLE, retry_after_s=1) as (_, url):
        began = time.monotonic()
        HttpFiles(url, retries=QUICK).download(url + VALUE, tmp_path / "block", EXPECTED)
    assert time.monotonic() - began > 1.0


class Scripted:
    """A station with one file, of which each request has the next content and fault of a script; the last one stays."""

    def __init__(self, *script: tuple[bytes, Fault | None]) -> None:
        self.faults = FaultyStation(FaultSchedule())
        self.faults.next_fault = lambda name, *, listing=False: self.now[1]  # type: ignore[method-assign]
        self.script = list(script)
        self.now: tuple[bytes, Fault | None] = script[0]

    def answer(self, _: Question) -> FileContent:
        self.now = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return FileContent("file", self.now[0])


ONE, OTHER = bytes(4 << 20), b"x" * (4 << 20)


def fetch(script: Scripted, path: Path, expected: Expected | None = None) -> int:
    with serving(script) as url:
        return HttpFiles(url, retries=QUICK).download(f"{url}/file", path, expected or Expected()).attempts


def test_a_file_that_is_replaced_while_it_is_fetched_is_begun_anew(tmp_path: Path) -> None:
    fetch(Scripted((ONE, Fault.TRUNCATE), (OTHER, None)), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == OTHER


def test_a_connection_that_breaks_off_again_and_again_does_no_harm_as_long_as_more_arrives(tmp_path: Path) -> None:
    assert fetch(Scripted(*[(ONE, Fault.TRUNCATE)] * 4, (ONE, None)), tmp_path / "file", Expected(len(ONE))) == 5


def test_a_file_that_breaks_off_and_is_corrupt_in_turns_is_given_up(tmp_path: Path) -> None:
    script = Scripted(*[(ONE, Fault.TRUNCATE), (ONE, Fault.CORRUPT)] * 20)
    with pytest.raises((CorruptTransfer, StationUnavailable)):
        fetch(script, tmp_path / "file", Expected(len(ONE), Checksum("md5", hashlib.md5(ONE).hexdigest())))
    assert len(script.script) > 30


def test_a_file_that_is_gone_is_asked_for_once(tmp_path: Path) -> None:
    with station(Fault.VANISH) as (simulator, url), pytest.raises(FileGone, match="404"):
        HttpFiles(url, retries=QUICK).download(url + VALUE, tmp_path / "block", EXPECTED)
    assert simulator.faults.happened[Fault.VANISH] == 1


def test_a_file_that_is_never_as_announced_is_refused_and_not_left_behind(tmp_path: Path) -> None:
    wrong = Expected(EXPECTED.size_bytes, Checksum("md5", "0" * 32))
    with station() as (_, url), pytest.raises(CorruptTransfer, match="announced is 0000"):
        HttpFiles(url, retries=QUICK).download(url + VALUE, tmp_path / "block", wrong)
    with station() as (_, url), pytest.raises(CorruptTransfer, match="7 are announced"):
        HttpFiles(url, retries=QUICK).download(url + VALUE, tmp_path / "block", Expected(7))
    assert not list(tmp_path.iterdir())


def test_a_station_that_is_down_is_unavailable_after_all_attempts(tmp_path: Path) -> None:
    with station() as (_, url):
        files = HttpFiles(url, retries=QUICK)
    with pytest.raises(StationUnavailable, match="ConnectionError"):
        files.download(url + VALUE, tmp_path / "block")


def test_credentials_go_to_the_station_and_to_nobody_else() -> None:
    with station(authorization="Bearer canary") as (_, mine), station(authorization="Bearer canary") as (_, other):
        files = HttpFiles(mine, "Bearer canary", QUICK)
        assert files.get_json(f"{mine}/odata/v1/Sessions")["value"]
        with pytest.raises(StationRefused, match="401"):
            files.get_json(f"{other}/odata/v1/Sessions")
        assert "canary" not in repr(files)
        assert pickle.loads(pickle.dumps(files)) == files


def test_an_answer_that_takes_too_long_is_a_timeout() -> None:
    began = time.monotonic()
    with station(Fault.THROTTLE, retry_after_s=5) as (_, url), pytest.raises(StationTimeout):
        HttpFiles(url, retries=QUICK).get_json(f"{url}/odata/v1/Sessions", until=began + 0.5)
    assert time.monotonic() - began < 4  # the pause that is asked for would be longer


def test_a_query_that_the_station_does_not_understand_is_refused_with_its_answer() -> None:
    with station() as (_, url), pytest.raises(StationRefused, match="an operator is expected"):
        HttpFiles(url, retries=QUICK).get_json(f"{url}/odata/v1/Sessions", odata.options(filter_text="Satellite is 'S1A'"))


def test_an_address_with_credentials_in_it_is_refused_without_showing_them() -> None:
    with pytest.raises(ConfigurationError) as refused:
        HttpFiles("http://ana:canary@127.0.0.1/odata/v1")
    assert "canary" not in str(refused.value)
