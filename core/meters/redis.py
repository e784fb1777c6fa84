"""What is used, counted in a Redis-protocol server: one script a call, by the server's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.errors import BrokerDown, Misconfigured
from core.meters import gcra
from core.meters.gcra import MICROSECOND

PREFIX = "quiver:meter:"
PATIENCE = 0.5  # seconds for connecting, and for an answer: a search waits for it
# The same as `gcra.spend`. Microseconds since 1970 are whole numbers in Lua's doubles until the year 2255.
SPEND = """
local step, per = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = math.max(now, math.min(tonumber(redis.call('GET', KEYS[1]) or now), now + per))
local wait = full + step - now - per
if wait <= 0 then
    full, wait = full + step, 0
end
if full > now then
    redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
else
    redis.call('DEL', KEYS[1])
end
return wait
"""


class RedisMeter:
    """`Meter` of core.ports over all processes that use one server. A key lasts until its allowance is full again."""

    def __init__(self, url: str) -> None:
        """The URL as Celery reads it: redis://, rediss:// or redis+socket://. Connects when first asked.

        Raises Misconfigured.
        """
        address = _address(url)
        try:
            self._redis = Redis.from_url(
                address,
                socket_connect_timeout=PATIENCE,
                socket_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 0),  # the client's own are three with pauses; a search waits for them
            )
            self._redis.connection_pool.make_connection()  # connects to nothing, but reads what the URL says
        except (TypeError, ValueError) as exc:
            raise Misconfigured(f"QUIVER_BROKER_URL cannot be used to count what API keys use: {exc}") from exc
        self._spend = self._redis.register_script(SPEND)

    def spend(self, name: str, amount: float, *, most: float, per: timedelta) -> timedelta:
        """Port."""
        if amount > most:
            return per
        said = [gcra.step(amount, most, per), per // MICROSECOND]
        with _translated():
            wait = int(self._spend(keys=[PREFIX + name], args=said))
        return wait * MICROSECOND

    def close(self) -> None:
        """Port."""
        self._redis.close()


def _address(url: str) -> str:
    """A URL as Celery reads it, as the client of Redis reads it."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    scheme = parts.scheme
    if scheme == "redis+socket":
        scheme = "unix"
        query |= {"db": query.pop("virtual_host", "0").strip("/")}
    if scheme not in {"redis", "rediss", "unix"}:
        raise Misconfigured(
            f"what API keys use cannot be counted through {scheme or 'no scheme'}://: set QUIVER_BROKER_URL to "
            "redis://HOST:6379/0, rediss:// or redis+socket:///PATH, or set no limits"
        )
    if "ssl_cert_reqs" in query:
        query["ssl_cert_reqs"] = query["ssl_cert_reqs"].removeprefix("CERT_").lower()
    return f"{scheme}://{parts.netloc}{parts.path}?{urlencode(query)}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise BrokerDown(f"what API keys use cannot be counted: {exc}") from exc
