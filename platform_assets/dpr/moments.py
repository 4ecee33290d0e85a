"""Moments as on-demand processing writes them: UTC, milliseconds, cut off, not rounded."""

import re
from datetime import UTC, datetime

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([zZ]|[+-]\d\d:?\d\d)?")


def written(moment: datetime) -> str:
    """Return a moment such as `2026-05-01T04:10:00.000Z`; one without a zone is in UTC."""
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def read(text: str) -> datetime | None:
    """Return the moment that a text is, in UTC, or None when it is something else."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
