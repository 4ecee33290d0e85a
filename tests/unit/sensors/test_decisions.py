from hypothesis import given
from hypothesis import strategies as st

from sensors.decisions import BatchRun, Plan, next_steps

RUNS = st.lists(st.builds(BatchRun, st.integers(1, 4), st.booleans(), st.just(value=False)), max_size=12)


def test_every_batch_of_a_new_manifest_is_requested_once() -> None:
    assert next_steps(3, set(), [], 5) == Plan(request=((1, 1), (2, 1), (3, 1)))


def test_a_batch_that_is_in_work_or_over_is_left_alone() -> None:
    assert next_steps(3, {1}, [BatchRun(1, True), BatchRun(2, False)], 5) == Plan(request=((3, 1),))


def test_an_interrupted_batch_is_requested_again_and_at_last_given_up() -> None:
    interrupted = [BatchRun(1, True)]
    assert next_steps(1, set(), interrupted, 5) == Plan(request=((1, 2),))
    assert next_steps(1, set(), interrupted * 5, 5) == Plan(give_up=((1, "5 runs of its batch were interrupted before it ended"),))


def test_a_canceled_batch_is_not_started_against_the_will_of_who_canceled_it() -> None:
    assert next_steps(1, set(), [BatchRun(1, True, canceled=True)], 5) == Plan(give_up=((1, "its run was canceled"),))


def test_a_manifest_whose_batches_are_all_over_is_settled() -> None:
    assert next_steps(2, {1, 2}, [BatchRun(1, True), BatchRun(2, True)], 5) == Plan(settle=True)


@given(st.integers(1, 4), st.sets(st.integers(1, 4)), RUNS, st.integers(1, 5))
def test_each_batch_is_over_in_work_requested_or_given_up_and_never_two_of_them(
    batches: int, ended: set[int], runs: list[BatchRun], most: int
) -> None:
    plan = next_steps(batches, ended & set(range(1, batches + 1)), runs, most)
    requested, given_up = {number for number, _ in plan.request}, {number for number, _ in plan.give_up}
    for number in range(1, batches + 1):
        active = any(run.batch == number and not run.finished for run in runs)
        assert (number in ended or active) != (number in requested or number in given_up)
    assert not requested & given_up
    assert all(attempt <= most for _, attempt in plan.request)
