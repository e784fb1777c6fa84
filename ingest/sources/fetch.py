"""Fetching what is at an address over HTTP, inside limits of bytes and time."""

from __future__ import annotations

import re
import ssl
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import gaierror
from tempfile import SpooledTemporaryFile
from time import monotonic, sleep
from typing import IO, BinaryIO, cast

import httpcore
import httpx

from core.errors import BlobsDown, ForbiddenAddress, RemoteFailed, TooLarge
from ingest.limits import Limits, Name, size_limit
from ingest.sources.dial import Clock, Dialler, Lookup, lookup
from ingest.sources.url import FetchPolicy, host_of

SPOOL = 2**20  # bytes held in memory; more goes into a temporary file
MOST_REDIRECTS = 5
PAUSE = 0.5  # seconds before the second try
LONGEST_PAUSE = 5  # seconds; a server that asks for more is not waited for
BLOCK = 65_536  # bytes that are unpacked at a time

_HEADERS = (("User-Agent", "quiver"), ("Accept", "*/*"), ("Accept-Encoding", "identity"), ("Connection", "close"))
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One call of `fetch`: what it may do and how long it still has."""

    policy: FetchPolicy
    limits: Limits
    clock: Clock
    lookup: Lookup


@dataclass(frozen=True, slots=True)
class _Again:
    """A failure that may pass: worth a second try after so many seconds."""

    fault: RemoteFailed
    seconds: float


@contextmanager
def fetch(url: str, *, policy: FetchPolicy, limits: Limits, lookup: Lookup = lookup) -> Iterator[BinaryIO]:
    """All of it as a stream that can seek, gone when the block ends. `lookup` finds the addresses of a host.

    Raises ForbiddenAddress, RemoteFailed, TooLarge; BlobsDown when there is no room for a temporary file.
    """
    with SpooledTemporaryFile(max_size=SPOOL) as kept:
        _follow(_Visit(policy, limits, Clock.of(policy.seconds), lookup), url, kept)
        kept.seek(0)
        yield cast(BinaryIO, kept)


def _follow(visit: _Visit, url: str, kept: IO[bytes]) -> None:
    at = _checked(visit.policy, None, url)
    for _ in range(1 + MOST_REDIRECTS):
        location = _patiently(visit, at, kept)
        if location is None:
            return
        at = _checked(visit.policy, at, location)
    raise RemoteFailed(f"{at.host}: over {MOST_REDIRECTS} redirects: give the address where they end")


def _checked(policy: FetchPolicy, base: httpx.URL | None, said: str) -> httpx.URL:
    """An address, or where it redirects to, read once: the same parts are then looked up, connected to and asked."""
    try:
        at = base.join(said) if base is not None else httpx.URL(said)
        host = host_of(at.raw_host.decode("ascii"))
        if host is not None and at.host.endswith("."):
            at = at.copy_with(host=host)
    except (httpx.InvalidURL, UnicodeError) as exc:
        raise ForbiddenAddress("the address cannot be read: write https://HOST/PATH") from exc
    if at.scheme not in ("http", "https"):
        raise ForbiddenAddress("only addresses of http and https are fetched: write https://HOST/PATH")
    if host is None:
        raise ForbiddenAddress("the address names no host that can be asked: write https://HOST/PATH")
    if at.userinfo:
        raise ForbiddenAddress(f"{host}: an address with a user or a password in it is not fetched: take them out")
    if at.port not in (None, 80, 443) and not 1024 <= (at.port or 0) <= 65_535:
        raise ForbiddenAddress(f"{host}: port {at.port} is not fetched from: only 80, 443, and 1024 and above are")
    if policy.hosts and host not in policy.hosts:
        raise ForbiddenAddress(f"{host} is not among the hosts of QUIVER_FETCH_HOSTS: send the bytes")
    return at


def _patiently(visit: _Visit, at: httpx.URL, kept: IO[bytes]) -> str | None:
    """Where a redirect points, or None when all is in `kept`, at the second try if need be."""
    done = _ask(visit, at, kept)
    if isinstance(done, _Again):
        if done.seconds >= visit.clock.end - monotonic():
            raise done.fault  # there would be no time left to ask
        sleep(done.seconds)
        done = _ask(visit, at, kept)
        if isinstance(done, _Again):
            raise done.fault
    return done


def _ask(visit: _Visit, at: httpx.URL, kept: IO[bytes]) -> str | _Again | None:
    secure = at.scheme == "https"
    port = at.port or (443 if secure else 80)
    connection = httpcore.HTTPConnection(
        httpcore.Origin(at.raw_scheme, at.raw_host, port),
        ssl_context=httpx.create_ssl_context() if secure else None,
        network_backend=Dialler(visit.policy, visit.clock, visit.lookup),
    )
    asked = httpcore.URL(scheme=at.raw_scheme, host=at.raw_host, port=port, target=at.raw_path)
    try:
        with connection, connection.stream("GET", asked, headers=[("Host", at.netloc), *_HEADERS]) as response:
            return _answer(visit, at.host, response, kept)
    except httpcore.ConnectError as exc:
        fault = RemoteFailed(f"{at.host}: {_why(exc)}: check the address, or send the bytes")
        if isinstance(exc.__cause__, ssl.SSLError):
            raise fault from exc
        return _Again(fault, PAUSE)
    except httpcore.TimeoutException as exc:
        took = f"not fetched within {visit.policy.seconds:g} s: send the bytes or raise QUIVER_FETCH_SECONDS"
        raise RemoteFailed(f"{at.host}: {took}") from exc
    except (httpcore.NetworkError, httpcore.ProtocolError) as exc:
        raise RemoteFailed(
            f"{at.host}: the answer is cut off or no HTTP: check the address, or send the bytes"
        ) from exc


def _why(exc: httpcore.ConnectError) -> str:
    match exc.__cause__:
        case ssl.SSLCertVerificationError() as untrusted:
            return f"its certificate is not to be trusted ({untrusted.verify_message})"
        case ssl.SSLError():
            return "no encrypted connection can be made"
        case None | gaierror() | UnicodeError():
            return "there is no such host, or it cannot be looked up"
        case _:
            return "it takes no connection"


def _answer(visit: _Visit, host: str, response: httpcore.Response, kept: IO[bytes]) -> str | _Again | None:
    headers = {name.lower(): value for name, value in response.headers}
    status = response.status
    if status in _REDIRECTS and b"location" in headers:
        return headers[b"location"].decode("utf-8", "replace")
    if status == 429 or status >= 500:
        fault = RemoteFailed(f"{host} answered {status}: try again later, or send the bytes")
        seconds = _pause(headers.get(b"retry-after"))
        if seconds is None:
            raise fault
        return _Again(fault, seconds)
    if status not in (200, 203):
        raise RemoteFailed(f"{host} answered {status}: check the address, or send the bytes")
    most = size_limit(headers.get(b"content-type", b"").decode("latin-1"))  # what it is shows later
    try:
        visit.limits.check(most, int(headers.get(b"content-length", 0)))
    except TooLarge as exc:
        raise TooLarge(f"{host}: {exc}") from exc
    sent = _limited(response.iter_stream(), visit.limits, most, host)
    for block in _limited(_unpacked(sent, headers.get(b"content-encoding", b""), host), visit.limits, most, host):
        visit.clock.left()
        try:
            kept.write(block)
        except OSError as exc:
            raise BlobsDown(f"no room for a temporary file ({exc.strerror}): see to the folder in TMPDIR") from exc
    return None


def _pause(said: bytes | None) -> float | None:
    """Seconds to wait before asking again; None: not worth it."""
    if said is None:
        return PAUSE
    return float(said) if re.fullmatch(rb"[0-9]{1,3}", said) and int(said) <= LONGEST_PAUSE else None


def _limited(blocks: Iterable[bytes], limits: Limits, most: Name, host: str) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > getattr(limits, most):
            raise TooLarge(f"{host}: {limits.over(most, 'it sends more')}")
        yield block


def _unpacked(blocks: Iterable[bytes], encoding: bytes, host: str) -> Iterator[bytes]:
    """What was asked to come as it is, and is unpacked a block at a time where it comes compressed all the same."""
    match encoding.strip().lower():
        case b"" | b"identity":
            yield from blocks
        case b"gzip" | b"x-gzip" | b"deflate":
            try:
                yield from _inflated(blocks)
            except (zlib.error, EOFError) as exc:
                raise RemoteFailed(f"{host}: what it sends compressed is damaged: send the bytes") from exc
        case _:
            raise RemoteFailed(f"{host} compresses what it was asked to send as it is: send the bytes")


def _inflated(blocks: Iterable[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=47)  # with the header of gzip or of zlib
    for block in blocks:
        rest = block
        while rest:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=47)  # gzip files may follow each other
            yield unpacker.decompress(rest, BLOCK)
            rest = unpacker.unconsumed_tail or unpacker.unused_data
    yield unpacker.flush()  # at most the end of one copy: all else was asked for above
    if not unpacker.eof:
        raise EOFError
