"""Asset checks: what was checked of every request's products before they were published, told once a run."""

from collections.abc import Iterable, Sequence

import dagster as dg

from platform_assets.common.values import Outcome, State
from platform_assets.dpr.specs import PRODUCTS

_MOST_NAMED = 100
_STAGE = "check"
_CHECK = "products_verified"

specs = [
    dg.AssetCheckSpec(
        _CHECK,
        asset=PRODUCTS,
        description="Every final output of the plan is there, can be opened, and says what a STAC item needs.",
    )
]


def evaluations(outcomes: Sequence[Outcome], selected: Iterable[dg.AssetKey]) -> list[dg.AssetCheckEvaluation]:
    """Return how the check came out over the requests of a run; none for a run that processed none."""
    stopped = [outcome.key for outcome in outcomes if outcome.failure and outcome.failure.stage == _STAGE]
    processed = sum(outcome.state is State.DONE for outcome in outcomes)
    if dg.AssetKey(PRODUCTS) not in set(selected) or not (stopped or processed):
        return []
    return [
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(PRODUCTS),
            check_name=_CHECK,
            passed=not stopped,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"requests_checked": processed + len(stopped), "requests_stopped": dg.MetadataValue.json(stopped[:_MOST_NAMED])},
        )
    ]
