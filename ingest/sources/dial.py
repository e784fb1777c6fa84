"""Connections to allowed machines only: what is checked is the very address that is connected to, and time is limited.

This is where httpcore asks for a connection, so nothing gets around it: no redirect, no second look-up.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import httpcore

from core.errors import ForbiddenAddress
from ingest.sources.url import FetchPolicy

Lookup = Callable[[str, int], Sequence[str]]  # host, port -> IP addresses; OSError, UnicodeError
TRIED = 4  # addresses of one name


def lookup(host: str, port: int) -> list[str]:
    """The system's answer. It takes any spelling of a number (2130706433, 0x7f.1): what it means is then checked."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Clock:
    """When all must be over, on the monotonic clock."""

    end: float

    @classmethod
    def of(cls, seconds: float) -> Clock:
        """So many seconds from now."""
        return cls(monotonic() + seconds)

    def left(self) -> float:
        """Seconds, more than none. Raises httpcore.ReadTimeout."""
        left = self.end - monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


class Dialler(httpcore.NetworkBackend):
    """Looks a name up once, refuses it when any of its addresses is forbidden, and connects to one of those it saw."""

    def __init__(self, policy: FetchPolicy, clock: Clock, ask: Lookup) -> None:
        self._policy, self._clock, self._ask = policy, clock, ask

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  # the clock's is what counts
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises ForbiddenAddress, httpcore.ConnectError, httpcore.TimeoutException."""
        addresses = list(dict.fromkeys(self._found(host, port)))
        if not all(self._policy.allows(address) for address in addresses):
            raise ForbiddenAddress(
                f"{host} is not, or not only, on the public internet: send the bytes, or, as the operator, name its "
                "network in QUIVER_FETCH_NETWORKS"
            )
        tried = addresses[:TRIED]
        for number, address in enumerate(tried, start=1):
            patience = self._clock.left() / (1 + len(tried) - number)
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, patience, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(tried):
                    raise
            else:
                return Timed(stream, self._clock)
        raise httpcore.ConnectError("the name has no address")

    def _found(self, host: str, port: int) -> Sequence[str]:
        """A look-up knows no time limit, so it is made by a thread, which is left behind when it takes too long."""
        answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._ask(host, port))
            except (OSError, UnicodeError) as exc:
                answers.put(exc)

        Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=self._clock.left())
        except Empty as exc:
            raise httpcore.ConnectTimeout from exc
        if isinstance(answer, Exception):
            raise httpcore.ConnectError("the name cannot be looked up") from answer
        return answer


class Timed(httpcore.NetworkStream):
    """A connection whose every step takes at most what is left: a byte a second does not keep it open."""

    def __init__(self, inner: httpcore.NetworkStream, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  # the clock's is what counts
        """Some bytes; none at the end."""
        return self._inner.read(max_bytes, self._clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002  # the same
        """All of it."""
        self._inner.write(buffer, self._clock.left())

    def close(self) -> None:
        """Harmless twice."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002  # the same
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted, the certificate checked for the host's name."""
        return Timed(self._inner.start_tls(ssl_context, server_hostname, self._clock.left()), self._clock)

    def get_extra_info(self, info: str) -> Any:
        """What the connection knows of itself."""
        return self._inner.get_extra_info(info)
