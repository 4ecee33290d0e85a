from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.common.values import Failure, State, Work
from platform_assets.execution.plan import UNEXPECTED, Groups, RetryPolicy
from platform_assets.execution.progress import Progress

PASSING = Failure("stage_in", "store_unavailable", "", transient=True)
FINAL = Failure("inspect", "corrupt_image", "", transient=False)
BUG = Failure("convert", UNEXPECTED, "", transient=True)


@given(st.lists(st.floats(0, 10), max_size=200), st.floats(0.1, 5), st.integers(1, 70), st.floats(0, 100))
def test_every_item_is_in_exactly_one_group(costs: list[float], target_s: float, most_items: int, seconds: float) -> None:
    works = [Work(str(number), None, cost) for number, cost in enumerate(costs)]
    groups = Groups(works, target_s=target_s, most_items=most_items)
    taken: list[Work] = []
    while groups:
        group = groups.next()
        assert 0 < len(group) <= most_items
        groups.learn(group, seconds)
        taken += group
    assert Counter(work.key for work in taken) == Counter(work.key for work in works)


def test_large_items_go_first_and_alone() -> None:
    works = [Work("small", None, 0.1), Work("large", None, 9.0), Work("tiny", None, 0.01)]
    groups = Groups(works, target_s=2.0, most_items=64)
    groups.learn([Work("", None, 1.0)], 1.0)
    assert [[work.key for work in groups.next()] for _ in range(2)] == [["large"], ["small", "tiny"]]
    assert not groups


def test_the_first_groups_are_small_and_the_next_as_large_as_they_showed() -> None:
    groups = Groups([Work(str(number), None, 0.125) for number in range(100)], target_s=1.0, most_items=64)
    assert len(groups.next()) == 1
    groups.learn([Work("", None, 1.0)], 1.0)
    assert len(groups.next()) == 8
    groups.learn([Work("", None, 1.0)], 3.0)
    assert len(groups.next()) == 5


def test_waits_double_and_end_at_the_longest() -> None:
    policy = RetryPolicy(attempts=10, first_delay_s=2.0, longest_delay_s=10.0)
    assert [policy.delay_s(PASSING, attempts, 0.0, 0.999999) for attempts in (1, 2, 3, 4)] == pytest.approx([2, 4, 8, 10], rel=1e-3)


@given(st.floats(0, 0.999), st.integers(1, 9))
def test_luck_spreads_a_wait_over_its_second_half(luck: float, attempts: int) -> None:
    delay = RetryPolicy(attempts=10).delay_s(PASSING, attempts, 0.0, luck)
    full = min(120.0, 2.0 * 2 ** (attempts - 1))
    assert delay is not None
    assert full / 2 <= delay <= full


@pytest.mark.parametrize(
    ("failure", "attempts", "since_s", "again"),
    [(PASSING, 3, 0, True), (PASSING, 4, 0, False), (FINAL, 1, 0, False), (BUG, 1, 0, True), (BUG, 2, 0, False), (PASSING, 1, 3600, False)],
)
def test_only_what_may_pass_is_tried_again_and_only_so_often(failure: Failure, attempts: int, since_s: float, again: bool) -> None:
    assert (RetryPolicy().delay_s(failure, attempts, since_s, 0.5) is not None) == again


def test_progress_tells_rate_and_time_left_by_cost() -> None:
    progress = Progress(total=3, cost_s=12.0)
    assert progress.left_s(5.0) is None
    progress.count(State.DONE, Work("a", None, 8.0))
    progress.count(State.FAILED, Work("b", None, 2.0))
    assert progress.left_s(20.0) == pytest.approx(4.0)
    assert progress.rate_per_min(20.0) == pytest.approx(6.0)
    assert progress.line(20.0) == "2 of 3 ended (1 done, 1 failed), 6.0/min, about 4 s left"


def test_items_found_done_do_not_flatter_the_rate() -> None:
    progress = Progress(total=10, cost_s=1.0)
    for _ in range(9):
        progress.count(State.CARRIED_OVER)
    assert progress.rate_per_min(60.0) == 0.0
    assert progress.ended == 9
