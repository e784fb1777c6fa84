"""Requests to a Quiver server: problems become faults again, and what is away for a moment is waited for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, BinaryIO
from uuid import uuid4

import httpx

from core import errors
from core.errors import Defect, Fault, Misconfigured, QuotaExceeded, ServerDown, Unavailable

FIRST, CAP = 0.1, 5.0  # seconds between tries
CONNECT = 5.0  # seconds
TIMEOUT = httpx.Timeout(60.0, connect=CONNECT)


class Wire:
    """A connection to one server with one key. Safe to use from several threads."""

    def __init__(
        self, url: str, key: str | None, *, patience: float, transport: httpx.BaseTransport | None = None
    ) -> None:
        """`patience`: seconds for which a server that is away or overloaded is asked again. Raises Misconfigured."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, transport=transport)
        except (httpx.InvalidURL, ValueError) as exc:
            raise Misconfigured(f"{url!r} is no address of a server ({exc}): write http://HOST:8080") from exc
        if self._http.base_url.scheme not in ("http", "https") or not self._http.base_url.host:
            raise Misconfigured(f"{url!r} is no address of a server: write http://HOST:8080")
        self._patience = patience

    @property
    def url(self) -> str:
        """Where the server is."""
        return str(self._http.base_url)

    def close(self) -> None:
        """Let go of connections. Harmless twice."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """JSON from there; parameters that are None are left out."""
        said = {name: value for name, value in params.items() if value is not None}
        return self.ask("GET", path, params=said).json()

    def post(self, path: str, body: Any = None, *, seconds: float | None = None) -> Any:
        """JSON for JSON. Only what does no harm twice is sent this way. `seconds`: for what takes longer than usual."""
        more = {} if seconds is None else {"timeout": within(seconds)}
        answer = self.ask("POST", path, json=body, **more)
        return answer.json() if answer.content else None

    def send(self, path: str, **body: Any) -> Any:
        """Something to be taken in: with a key of its own, so that trying again takes it in once."""
        return self.ask("POST", path, headers={"Idempotency-Key": uuid4().hex}, **body).json()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request, tried again while the server is away or says so. Raises what the server raised, ServerDown."""
        until, wait = monotonic() + self._patience, FIRST
        while True:
            try:
                with _translated():
                    answer = self._http.request(method, path, **more)
                if answer.status_code < 400:
                    return answer
                raise _fault(answer)
            except Unavailable as fault:
                pause = max(fault.retry_after, wait * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
                if monotonic() + pause > until:
                    raise
                _rewind(more)
                sleep(pause)
                wait = min(CAP, wait * 2)

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[str]]:
        """The lines of an answer while they come. Raises what the server raised, ServerDown."""
        with _translated(), self._http.stream("GET", path) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise _fault(answer)
            yield answer.iter_lines()

    def fetch(self, path: str, body: Any, sink: BinaryIO, *, seconds: float) -> httpx.Headers:
        """The bytes of an answer into a file that is open, and its headers. Raises what the server raised, ServerDown
        also when it ended too early."""
        with _translated(), self._http.stream("POST", path, json=body, timeout=within(seconds)) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise _fault(answer)
            for piece in answer.iter_bytes():
                sink.write(piece)
            return answer.headers


def within(seconds: float) -> httpx.Timeout:
    """For what takes longer than usual."""
    return httpx.Timeout(seconds, connect=CONNECT)


@contextmanager
def _translated() -> Iterator[None]:
    """The seam of the client library."""
    try:
        yield
    except httpx.HTTPError as exc:
        raise ServerDown(f"the server does not answer ({type(exc).__name__}: {exc}): does `quiver serve` run?") from exc


def _fault(answer: httpx.Response) -> Fault:
    """The fault that a problem tells of; that of a stranger's answer, a proxy's for instance, by its status."""
    try:
        said = answer.json()
        name, detail = str(said["type"]).rpartition(":")[2], str(said["detail"])
    except (ValueError, KeyError, TypeError):
        name, detail = "", f"the server answered {answer.status_code}: {answer.text[:200]}"
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Fault)):
        kind = _by_status(answer.status_code)
    fault = kind(detail)
    after = answer.headers.get("Retry-After", "")
    if isinstance(fault, Unavailable) and after.isdigit():
        fault.retry_after = float(after)
    return fault


def _by_status(status: int) -> type[Fault]:
    match status:
        case 401:
            return errors.Unauthorized
        case 403:
            return errors.Forbidden
        case 429:
            return QuotaExceeded
        case 502 | 503 | 504:
            return ServerDown
        case _ if status < 500:
            return errors.BadQuery
    return Defect


def _rewind(more: dict[str, Any]) -> None:
    """Files are read from their beginning again."""
    for _, (_, source, *_rest) in more.get("files") or ():
        if hasattr(source, "seek"):
            source.seek(0)
    if hasattr(more.get("content"), "seek"):
        more["content"].seek(0)
