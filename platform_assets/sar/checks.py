"""Asset checks: what was checked of every product before it was published, told once a run."""

from collections.abc import Iterable, Sequence

import dagster as dg

from platform_assets.common.errors import CheckFailed
from platform_assets.common.values import Outcome, State
from platform_assets.sar.specs import L1B

_MOST_NAMED = 100
_CHECK = "l1b_verified"

specs = [
    dg.AssetCheckSpec(
        _CHECK,
        asset=L1B,
        description="An independent reader opens the file: dimensions, values, share of finite ones, coordinates and their order.",
    )
]


def evaluations(outcomes: Sequence[Outcome], selected: Iterable[dg.AssetKey]) -> list[dg.AssetCheckEvaluation]:
    """Return how the checks of the selected assets came out over the products of a run; none for a run that processed none."""
    stopped = [outcome.key for outcome in outcomes if outcome.failure and outcome.failure.code == CheckFailed.code]
    processed = sum(outcome.state is State.DONE for outcome in outcomes)
    if dg.AssetKey(L1B) not in set(selected) or not (stopped or processed):
        return []
    return [
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(L1B),
            check_name=_CHECK,
            passed=not stopped,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"products_checked": processed + len(stopped), "products_stopped": dg.MetadataValue.json(stopped[:_MOST_NAMED])},
        )
    ]
