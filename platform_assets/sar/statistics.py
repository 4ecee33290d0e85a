"""Statistics of backscatter, as people read them: in decibels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (1, 5, 50, 95, 99)


def decibels(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return values in decibels; NaN for those that are not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, 10 * np.log10(values), np.nan)


def statistics_db(values: NDArray[Any]) -> dict[str, float | None]:
    """Return statistics of backscatter, rounded to thousandths.

    Args:
        values: Linear; NaN for none.

    Returns:
        `mean_db` (of the linear mean), `min_db`, `max_db`, `p1_db` to `p99_db`, None where there is nothing positive;
        `nan_share` and `negative_share`, 0 to 1.
    """
    finite = values[np.isfinite(values)].astype("float64")
    shares = {
        "nan_share": round(1 - finite.size / values.size, 6),
        "negative_share": round(float((finite < 0).sum()) / values.size, 6),
    }
    in_db = decibels(finite)
    in_db = in_db[np.isfinite(in_db)]
    if not in_db.size:
        return dict.fromkeys(("mean_db", "min_db", "max_db", *(f"p{share}_db" for share in PERCENTILES))) | shares
    mean = decibels(finite.mean(keepdims=True))[0]
    found = {"mean_db": mean, "min_db": in_db.min(), "max_db": in_db.max()}
    found |= {f"p{share}_db": value for share, value in zip(PERCENTILES, np.percentile(in_db, PERCENTILES), strict=True)}
    return {name: round(float(value), 3) if np.isfinite(value) else None for name, value in found.items()} | shares
