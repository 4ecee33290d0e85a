import pytest

from platform_assets.common import lease
from platform_assets.common.lease import LeaseLost
from tests.builders.bucket import MemoryBucket


def take(bucket: MemoryBucket, holder: str, now_s: float, *, dead: str = "") -> lease.Lease | None:
    return lease.acquire(bucket, "x/lease.json", holder, ttl_s=60.0, now_s=now_s, is_dead=lambda other: other == dead)


def test_a_lease_has_one_holder_until_it_expires() -> None:
    bucket = MemoryBucket()
    assert take(bucket, "a", 0.0)
    assert take(bucket, "b", 59.0) is None
    assert take(bucket, "b", 61.0)
    assert take(bucket, "a", 62.0) is None


def test_renewing_prolongs_and_leaves_a_note() -> None:
    bucket = MemoryBucket()
    held = take(bucket, "a", 0.0)
    assert held
    held.renew(50.0, {"done": 7})
    assert take(bucket, "b", 100.0) is None
    assert lease.read(bucket, "x/lease.json") == {"holder": "a", "expires_s": 110.0, "note": {"done": 7}}


def test_who_lost_the_lease_is_told_at_the_next_renewal() -> None:
    bucket = MemoryBucket()
    held = take(bucket, "a", 0.0)
    assert held
    assert take(bucket, "b", 100.0)
    with pytest.raises(LeaseLost, match="a lost the lease"):
        held.renew(101.0, {})
    held.release({})
    assert take(bucket, "c", 102.0) is None


def test_a_holder_that_is_known_to_be_dead_need_not_expire() -> None:
    bucket = MemoryBucket()
    assert take(bucket, "a", 0.0)
    assert take(bucket, "b", 1.0, dead="c") is None
    assert take(bucket, "b", 1.0, dead="a")


def test_a_released_lease_is_free_at_once() -> None:
    bucket = MemoryBucket()
    held = take(bucket, "a", 0.0)
    assert held
    held.release({})
    assert take(bucket, "b", 1.0)


def test_the_holder_itself_may_take_it_again() -> None:
    bucket = MemoryBucket()
    assert take(bucket, "a", 0.0)
    assert take(bucket, "a", 1.0)


def test_nobody_ever_took_it() -> None:
    assert lease.read(MemoryBucket(), "x/lease.json") is None
