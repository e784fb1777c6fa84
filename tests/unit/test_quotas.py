"""What API keys may use: counted, refused with the wait that is enough, and let pass when it cannot be counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.desk import ApiKey, Quota, Role
from core.errors import BrokerDown, QuotaExceeded, TooLarge
from core.meters.memory import MemoryMeter
from core.runtime.wiring import Parts
from core.types import KeyId, Tenant
from tests.doubles import toy_parts
from workers import keys
from workers.keys import charge

ours = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def meter(self) -> MemoryMeter:
        return MemoryMeter(lambda: round(self.seconds * 1e9))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(keys, "monotonic", lambda: made.seconds)
    return made


@pytest.fixture
def open_(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Parts]]:
    opened: list[Parts] = []

    def make(**said: Any) -> Parts:
        parts = toy_parts(tmp_path, **said)
        parts.__dict__["meter"] = clock.meter()
        opened.append(parts)
        return parts

    yield make
    for parts in opened:
        parts.close()


@pytest.fixture
def parts(open_: Callable[..., Parts]) -> Parts:
    return open_()


def key(key_id: str = "abcdefghijkl", **quota: Any) -> ApiKey:
    return ApiKey(
        id=KeyId(key_id),
        tenant=Tenant("me"),
        name="web",
        roles=frozenset({Role.READER}),
        quota=Quota(**quota),
        created_at=datetime.now(UTC),
        expires_at=None,
    )


def refused(parts: Parts, who: ApiKey, **used: int) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        charge(parts, who, **used)
    return caught.value


def test_twice_the_rate_may_come_at_once_and_the_wait_that_is_told_is_enough(parts, clock):
    web = key(queries_per_second=5)
    for _ in range(10):
        charge(parts, web, queries=1)
    fault = refused(parts, web, queries=1)
    assert "5 queries a second" in str(fault)
    assert "'web'" in str(fault)
    assert 0 < fault.retry_after <= 0.2
    clock.seconds += fault.retry_after
    charge(parts, web, queries=1)
    refused(parts, web, queries=1)


def test_a_rate_below_one_lets_one_come_at_a_time(parts, clock):
    slow = key(queries_per_second=0.1)
    charge(parts, slow, queries=1)
    assert 9.9 < refused(parts, slow, queries=1).retry_after <= 10
    clock.seconds += 10
    charge(parts, slow, queries=1)
    charge(parts, key(queries_per_second=1e-300), assets=1)


def test_days_are_counted_for_assets_and_bytes(parts, clock):
    web = key(assets_per_day=4, bytes_per_day=1000)
    charge(parts, web, assets=4, bytes=100)
    fault = refused(parts, web, assets=1)
    assert "4 assets a day" in str(fault)
    assert 21_000 < fault.retry_after <= 21_600
    assert "1,000 bytes a day" in str(refused(parts, web, bytes=901))
    clock.seconds += 86_400
    charge(parts, web, assets=4, bytes=1000)


def test_what_is_refused_for_one_quota_takes_nothing_of_another(parts):
    web = key(assets_per_day=3, bytes_per_day=10)
    charge(parts, web, assets=1, bytes=10)
    for _ in range(5):
        refused(parts, web, assets=1, bytes=1)
    charge(parts, web, assets=2)
    refused(parts, web, assets=1)


def test_more_at_once_than_there_ever_is_is_too_large_and_takes_nothing(parts):
    web = key(assets_per_day=3, bytes_per_day=10)
    for _ in range(3):
        with pytest.raises(TooLarge, match="10 bytes a day"):
            charge(parts, web, assets=3, bytes=11)
    charge(parts, web, assets=3, bytes=10)


def test_what_a_key_does_not_say_the_settings_say_and_nothing_is_no_limit(open_):
    parts = open_(key_queries_per_second=1, key_assets_per_day=1, key_bytes_per_day=1)
    charge(parts, key(), queries=2, assets=1, bytes=1)
    for used in ({"queries": 1}, {"assets": 1}, {"bytes": 1}):
        refused(parts, key(), **used)
    free = key(queries_per_second=0, assets_per_day=0, bytes_per_day=0)
    for _ in range(3):
        charge(parts, free, queries=10**6, assets=10**6, bytes=10**12)
    charge(open_(), key(), queries=10**6, assets=10**6, bytes=10**12)


def test_keys_are_charged_apart(parts):
    first, second = key("a" * 12, assets_per_day=1), key("b" * 12, assets_per_day=1)
    charge(parts, first, assets=1)
    refused(parts, first, assets=1)
    charge(parts, second, assets=1)


class Dying:
    """A meter that does not answer when it is told not to."""

    def __init__(self, inner: MemoryMeter) -> None:
        self.inner, self.down, self.asked = inner, False, 0

    def spend(self, name: str, amount: float, *, most: float, per: timedelta) -> timedelta:
        self.asked += 1
        if self.down:
            raise BrokerDown
        return self.inner.spend(name, amount, most=most, per=per)

    def close(self) -> None:
        self.inner.close()


def dying(parts: Parts, clock: Clock) -> Dying:
    meter = Dying(clock.meter())
    parts.__dict__["meter"] = meter
    return meter


uses = st.tuples(st.booleans(), st.floats(0, 4), st.integers(0, 6), st.integers(0, 3))


@ours
@given(steps=st.lists(uses, max_size=30))
def test_a_meter_that_is_down_refuses_nobody_and_one_that_is_up_again_refuses_again(open_, clock, steps):
    parts = open_()
    meter, web = dying(parts, clock), key(queries_per_second=2, assets_per_day=3)
    for down, pause, queries, assets in steps:
        clock.seconds += pause
        meter.down, asked = down, meter.asked
        try:
            charge(parts, web, queries=min(queries, 4), assets=assets)
        except QuotaExceeded:
            assert not down
            assert meter.asked > asked
    meter.down = False
    clock.seconds += 86_400
    charge(parts, web, assets=3)
    refused(parts, web, assets=1)


def test_a_meter_that_is_down_is_left_alone_for_five_seconds_and_logged_once_a_minute(parts, clock, caplog):
    meter, web = dying(parts, clock), key(queries_per_second=1)
    meter.down = True
    with caplog.at_level(logging.WARNING, logger="workers.keys"):
        for _ in range(240):  # a minute
            charge(parts, web, queries=1)
            clock.seconds += 0.25
    assert meter.asked == 12
    assert len(caplog.records) == 1
    assert "quotas of API keys are not kept" in caplog.text
    with caplog.at_level(logging.WARNING, logger="workers.keys"):
        charge(parts, web, queries=1)
    assert len(caplog.records) == 2
