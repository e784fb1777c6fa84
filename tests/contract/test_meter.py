"""The Meter port, over both implementations: what one promises, each keeps."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BrokerDown, Misconfigured
from core.meters.memory import FEW, MemoryMeter
from core.meters.redis import PREFIX, RedisMeter
from core.runtime.wiring import Parts
from tests.contract.meters import MICROSECOND, Served, Timed, served
from tests.doubles import toy_parts

NONE = timedelta(0)
HOUR = timedelta(hours=1)
SLACK = 1 + 1e-9  # of doubles
ours = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[Timed | Served]:
    if request.param == "memory":
        yield Timed()
    else:
        made = Served(request.getfixturevalue("server"))
        yield made
        made.close()


def test_an_allowance_can_be_used_at_once_and_fills_up_evenly(world):
    name, meter = uuid4().hex, world.meter
    assert [meter.spend(name, 1, most=4, per=HOUR) for _ in range(4)] == [NONE] * 4
    wait = meter.spend(name, 1, most=4, per=HOUR)
    assert timedelta(minutes=14) < wait <= timedelta(minutes=15)
    world.advance(timedelta(minutes=30))
    assert [bool(meter.spend(name, 1, most=4, per=HOUR)) for _ in range(3)] == [False, False, True]


def test_names_have_allowances_of_their_own(world):
    first, second = uuid4().hex, uuid4().hex
    assert world.meter.spend(first, 4, most=4, per=HOUR) == NONE
    assert world.meter.spend(first, 4, most=4, per=HOUR) > NONE
    assert world.meter.spend(second, 4, most=4, per=HOUR) == NONE


@pytest.mark.parametrize("most", [1, 3, 7, 0.3, 1e12])
def test_all_that_there_is_can_be_taken_and_more_never(world, most):
    name = uuid4().hex
    assert world.meter.spend(name, most * 1.01, most=most, per=HOUR) == HOUR
    assert world.meter.spend(name, most, most=most, per=HOUR) == NONE
    world.advance(HOUR)
    assert world.meter.spend(name, most, most=most, per=HOUR) == NONE
    assert world.meter.spend(name, most * 1.01, most=most, per=HOUR) == HOUR


def test_of_an_allowance_of_nothing_nothing_can_be_taken(world):
    assert world.meter.spend(uuid4().hex, 1, most=0, per=HOUR) == HOUR
    assert world.meter.spend(uuid4().hex, 0, most=0, per=HOUR) == NONE


def test_what_is_given_back_can_be_taken_again_and_no_more(world):
    name, meter = uuid4().hex, world.meter
    assert meter.spend(name, 3, most=4, per=HOUR) == NONE
    assert meter.spend(name, -2, most=4, per=HOUR) == NONE
    assert meter.spend(name, 3, most=4, per=HOUR) == NONE
    assert meter.spend(name, 1, most=4, per=HOUR) > NONE
    for _ in range(3):
        assert meter.spend(name, -4, most=4, per=HOUR) == NONE
    assert meter.spend(name, 4, most=4, per=HOUR) == NONE
    assert meter.spend(name, 1, most=4, per=HOUR) > NONE


def test_a_quota_made_smaller_holds_nobody_up_for_longer_than_its_period(world):
    name, minute = uuid4().hex, timedelta(minutes=1)
    assert world.meter.spend(name, 1, most=1, per=timedelta(days=1)) == NONE
    assert NONE < world.meter.spend(name, 1, most=10, per=minute) <= minute
    world.advance(minute)
    assert world.meter.spend(name, 1, most=10, per=minute) == NONE


@st.composite
def spending(draw: st.DrawFn) -> tuple[float, timedelta, list[tuple[float, float]]]:
    """An allowance, its period, and how much is asked for after which part of the period."""
    most = draw(st.one_of(st.integers(1, 50), st.floats(0.5, 1e9)))
    per = draw(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=1)))
    shares = st.floats(0, 1.2)
    pauses = st.one_of(st.just(0.0), st.floats(0, 1.5))
    return most, per, draw(st.lists(st.tuples(pauses, shares), min_size=1, max_size=20))


@ours
@given(case=spending())
def test_no_window_sees_more_than_the_allowance_and_what_fills_up_meanwhile(world, case):
    most, per, asked = case
    name = uuid4().hex
    taken: list[tuple[timedelta, timedelta, float]] = []  # before, after, how much
    for pause, share in asked:
        world.advance(per * pause)
        before = world.now()
        if not world.meter.spend(name, share * most, most=most, per=per):
            taken.append((before, world.now(), share * most))
    for at, (begin, _, _) in enumerate(taken):
        total = 0.0
        for _, end, amount in taken[at:]:
            total += amount
            assert total <= (most + most * ((end - begin + MICROSECOND) / per)) * SLACK


@ours
@given(case=spending())
def test_the_wait_that_is_told_is_enough_and_not_too_long(world, case):
    most, per, asked = case
    name, meter = uuid4().hex, world.meter
    for pause, share in asked:
        amount = share * most
        world.advance(per * pause)
        before = world.now()
        wait = meter.spend(name, amount, most=most, per=per)
        assert NONE <= wait <= per
        if amount > most:
            assert wait == per
        elif wait:
            world.advance(wait * 0.5)
            again = meter.spend(name, amount, most=most, per=per)
            spent = world.now() - before
            assert again >= wait - spent - MICROSECOND  # what is left of it: being refused took nothing
            if again:
                world.advance(again)
                assert meter.spend(name, amount, most=most, per=per) == NONE


@ours
@given(case=spending(), refusals=st.integers(1, 5))
def test_being_refused_takes_nothing(world, case, refusals):
    most, per, asked = case
    name, meter = uuid4().hex, world.meter
    for _, share in asked:
        meter.spend(name, share * most, most=most, per=per)
    before = meter.spend(name, most, most=most, per=per)
    if before:
        for _ in range(refusals):
            assert meter.spend(name, most, most=most, per=per) <= before
        world.advance(before)
        assert meter.spend(name, most, most=most, per=per) == NONE


def test_threads_that_spend_at_once_never_exceed_the_allowance(world):
    name, most, taken = uuid4().hex, 200, []
    before = world.now()

    def hammer() -> None:
        meter = world.another()
        taken.append(sum(not meter.spend(name, 1, most=most, per=HOUR) for _ in range(most // 2)))
        meter.close()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=hammer) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert most <= sum(taken) <= most + most * ((world.now() - before) / HOUR)


HAMMER = """
import sys
from datetime import timedelta
from core.meters.redis import RedisMeter

url, name = sys.argv[1:]
meter = RedisMeter(url)
print("ready", flush=True)
sys.stdin.readline()
print(sum(not meter.spend(name, 1, most=100, per=timedelta(days=1)) for _ in range(90)))
"""


def test_processes_that_spend_at_once_never_exceed_the_allowance(server):
    name = uuid4().hex
    said = [sys.executable, "-c", HAMMER, server, name]
    children = [
        subprocess.Popen(said, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    taken = [int(child.communicate(timeout=60)[0]) for child in children]
    assert sum(taken) == 100  # another would be there after a quarter of an hour


# Of memory alone


def test_names_whose_allowance_is_full_again_are_forgotten():
    now = 0
    meter = MemoryMeter(lambda: now)
    for at in range(5 * FEW):
        now += 1_000_000_000
        assert meter.spend(str(at), 1, most=1, per=timedelta(seconds=10)) == NONE
        assert at < 9 or meter.spend(str(at - 9), 1, most=1, per=timedelta(seconds=10)) > NONE, "it is not full yet"
    assert len(meter) <= 2 * FEW


def test_rounding_to_microseconds_never_gives_more_than_there_is():
    world, per = Timed(), timedelta(milliseconds=3)
    assert 1000 < sum(not world.meter.spend("a", 1, most=2000, per=per) for _ in range(3000)) <= 2000
    assert world.meter.spend("b", 4, most=4, per=per) == NONE
    wait = world.meter.spend("b", 1, most=4, per=per)
    world.advance(wait - MICROSECOND)
    assert world.meter.spend("b", 1, most=4, per=per) == MICROSECOND
    world.advance(MICROSECOND)
    assert world.meter.spend("b", 1, most=4, per=per) == NONE


# Of the server alone


def test_a_key_on_the_server_expires_when_the_allowance_is_full_again(server):
    world, name = Served(server), uuid4().hex
    assert world.meter.spend(name, 1, most=4, per=HOUR) == NONE
    assert 890_000 < int(str(world.client.pttl(PREFIX + name))) <= 900_000
    assert world.meter.spend(name, -1, most=4, per=HOUR) == NONE
    assert not world.client.exists(PREFIX + name)
    assert world.meter.spend(name, 5, most=4, per=HOUR) == HOUR
    assert not world.client.exists(PREFIX + name)
    world.close()


def test_a_server_that_forgot_the_script_or_closed_the_connection_is_asked_all_the_same(server):
    world, name = Served(server), uuid4().hex
    assert world.meter.spend(name, 1, most=2, per=HOUR) == NONE
    world.client.script_flush()
    world.client.client_kill_filter(_type="normal", skipme=True)
    assert world.meter.spend(name, 1, most=2, per=HOUR) == NONE
    assert world.meter.spend(name, 1, most=2, per=HOUR) > NONE
    world.close()


def test_a_server_that_is_not_there_or_keeps_something_else_there_is_a_broker_that_is_down(server, tmp_path):
    for url in (f"redis+socket://{tmp_path}/nobody.sock", "redis://127.0.0.1:1/0"):
        meter = RedisMeter(url)
        with pytest.raises(BrokerDown, match="cannot be counted"):
            meter.spend("a", 1, most=1, per=HOUR)
        meter.close()
    world, name = Served(server), uuid4().hex
    world.client.rpush(PREFIX + name, "a list")
    with pytest.raises(BrokerDown):
        world.meter.spend(name, 1, most=1, per=HOUR)
    world.client.delete(PREFIX + name)
    world.close()


def test_databases_of_one_server_count_apart(server):
    name = uuid4().hex
    first, second = RedisMeter(server), RedisMeter(f"{server}?virtual_host=/1")
    assert first.spend(name, 1, most=1, per=HOUR) == NONE
    assert second.spend(name, 1, most=1, per=HOUR) == NONE
    assert first.spend(name, 1, most=1, per=HOUR) > NONE
    first.close()
    second.close()


@pytest.mark.parametrize("url", ["redis://h:6379/0", "rediss://u:p%40@h/1?ssl_cert_reqs=CERT_NONE", "rediss://h"])
def test_an_address_that_celery_reads_is_read(url):
    RedisMeter(url).close()


@pytest.mark.parametrize("url", ["sentinel://s3cret@h:26379", "amqp://h", "nonsense", "redis://h:x", "redis://h?odd=1"])
def test_an_address_that_cannot_be_used_is_said_to_be_so_without_its_secret(url):
    with pytest.raises(Misconfigured, match="QUIVER_BROKER_URL") as caught:
        RedisMeter(url)
    assert "s3cret" not in str(caught.value)


# Which one is chosen


def test_the_broker_counts_when_one_is_set_and_this_process_otherwise(server, tmp_path):
    alone = toy_parts(tmp_path)
    assert isinstance(alone.meter, MemoryMeter)
    assert alone.meter is alone.meter
    name = uuid4().hex
    both: list[Parts] = [toy_parts(tmp_path, broker_url=server) for _ in range(2)]
    assert both[0].meter.spend(name, 1, most=1, per=HOUR) == NONE
    assert both[1].meter.spend(name, 1, most=1, per=HOUR) > NONE
    for parts in (alone, *both):
        parts.close()
        assert "meter" not in vars(parts)
        parts.close()
