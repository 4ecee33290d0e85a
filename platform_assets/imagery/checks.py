"""Asset checks: what was checked of every image before it was published, told once a run.

An image that fails a check is not published and ends as failed, so a check that is not passed names the images it stopped.
"""

import re
from collections.abc import Iterable, Sequence

import dagster as dg

from platform_assets.common.errors import CheckFailed
from platform_assets.common.values import Outcome, State
from platform_assets.imagery.model import Product
from platform_assets.imagery.specs import wanted_products

_CHECKS = {
    ("cog", "cog_valid"): "The file is a valid cloud-optimised GeoTIFF by rio-cogeo's strict validator.",
    ("cog", "pixels_equal"): "Windows of the COG, its corners among them, equal the raw image's: exactly, when the profile is lossless.",
    ("cog", "georeferencing_kept"): "Reference system, transform and control points are the raw image's.",
    ("thumbnail", "thumbnail_not_blank"): "The thumbnail shows something when the image does.",
}
_NAMED = re.compile(r"check (\w+) failed")
_MOST_NAMED = 100

specs = [dg.AssetCheckSpec(name, asset=asset, description=description) for (asset, name), description in _CHECKS.items()]


def evaluations(outcomes: Sequence[Outcome], selected: Iterable[dg.AssetKey]) -> list[dg.AssetCheckEvaluation]:
    """Return how the checks of the selected assets came out over the images of a run; none for a run that converted none."""
    wanted = wanted_products(selected)
    converted = sum(outcome.state is State.DONE for outcome in outcomes)
    return [
        _evaluation(asset, name, converted, [outcome.key for outcome in outcomes if _failed(outcome) == name])
        for asset, name in _CHECKS
        if Product(asset) in wanted and any(outcome.state is State.DONE or _failed(outcome) for outcome in outcomes)
    ]


def _failed(outcome: Outcome) -> str | None:
    if outcome.failure and outcome.failure.code == CheckFailed.code and (named := _NAMED.search(outcome.failure.message)):
        return named[1]
    return None


def _evaluation(asset: str, name: str, converted: int, stopped: list[str]) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=not stopped,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"images_checked": converted + len(stopped), "images_stopped": dg.MetadataValue.json(stopped[:_MOST_NAMED])},
    )
