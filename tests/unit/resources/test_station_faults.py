from collections import Counter

from resources.station_faults import OF_REQUESTS, Fault, FaultSchedule, FaultyStation

NAMES = [f"block-{number}" for number in range(400)]


def faults(schedule: FaultSchedule) -> list[list[Fault | None]]:
    station = FaultyStation(schedule)
    return [[station.next_fault(name) for _ in range(3)] for name in NAMES]


def test_the_same_seed_brings_the_same_faults_in_any_order_of_requests() -> None:
    one, other = FaultyStation(FaultSchedule(seed=7, rate=0.5)), FaultyStation(FaultSchedule(seed=7, rate=0.5))
    first = {name: one.next_fault(name) for name in NAMES}
    assert {name: other.next_fault(name) for name in reversed(NAMES)} == first
    assert faults(FaultSchedule(seed=7, rate=0.5)) != faults(FaultSchedule(seed=8, rate=0.5))


def test_each_kind_happens_to_its_share_of_files() -> None:
    schedule = FaultSchedule(rate=0.25)
    counts = Counter(kind for name in NAMES for kind in Fault if schedule.has(kind, name))
    assert all(60 < counts[kind] < 140 for kind in Fault)


def test_a_file_has_each_fault_once_and_then_none() -> None:
    station = FaultyStation(FaultSchedule(rate=1.0))
    met = [station.next_fault("block") for _ in range(6)]
    assert set(met[:4]) == set(OF_REQUESTS)
    assert met[4:] == [None, None]


def test_a_late_file_is_listed_after_some_looks() -> None:
    station = FaultyStation(FaultSchedule(rate=1.0, kinds=(Fault.LATE,), late_looks=2))
    assert [station.is_listed("block") for _ in range(4)] == [False, False, True, True]


def test_faults_happen_to_the_files_that_are_named_alone() -> None:
    schedule = FaultSchedule(rate=1.0, only="ch1")
    assert schedule.has(Fault.VANISH, "x_ch1_y")
    assert not schedule.has(Fault.VANISH, "x_ch2_y")
    assert FaultyStation(schedule).next_fault("GET /odata/v1/Sessions", listing=True)


def test_a_listing_that_fails_is_had_by_asking_again() -> None:
    station = FaultyStation(FaultSchedule(rate=1.0))
    met = [station.next_fault("/odata/v1/Sessions", listing=True) for _ in range(4)]
    assert met == [Fault.THROTTLE, None, Fault.THROTTLE, None]
