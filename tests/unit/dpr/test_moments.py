from datetime import UTC, datetime, timedelta, timezone

import pytest

from platform_assets.dpr import moments


def test_c8_milliseconds_are_cut_off():
    assert moments.written(datetime(2026, 5, 1, 3, 4, 5, 678901, UTC)) == "2026-05-01T03:04:05.678Z"
    assert moments.written(datetime(2026, 5, 1, 3, 4, 5, 999999, UTC)) == "2026-05-01T03:04:05.999Z"


def test_a_moment_of_another_zone_is_written_in_utc():
    assert moments.written(datetime(2026, 5, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2026-04-30T23:00:00.000Z"


@pytest.mark.parametrize("text", ["2026-05-01", "20260501T000000", "2026-13-01T00:00:00Z", "ORB_2026-05-01T00:00:00Z", "..", ""])
def test_what_is_no_moment_is_not_taken_for_one(text):
    assert moments.read(text) is None


@pytest.mark.parametrize("text", ["2026-05-01T00:00:00Z", "2026-05-01T00:00:00", "2026-05-01T02:00:00.000000+02:00", "2026-05-01T00:00Z"])
def test_a_moment_is_read_however_it_is_written(text):
    assert moments.read(text) == datetime(2026, 5, 1, tzinfo=UTC)
