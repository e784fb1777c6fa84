"""Requests to a server that is away, overloaded, or not Quiver at all."""

from __future__ import annotations

import io
from collections.abc import Callable

import httpx
import pytest

from core.errors import (
    BadQuery,
    Defect,
    Fault,
    Forbidden,
    Misconfigured,
    NoSuchAsset,
    QuotaExceeded,
    ServerDown,
    Unauthorized,
)
from quiver.remote import wire
from quiver.remote.quiver import RemoteQuiver
from quiver.remote.wire import Wire

Answer = Callable[[httpx.Request], httpx.Response]
ADDED = {"assets": [{"id": "00000000-0000-0000-0000-000000000001", "external_id": "a", "outcome": "added"}]}


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "FIRST", 0.001)


def problem(status: int, kind: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"type": f"urn:quiver:fault:{kind}", "detail": "so it is"}, headers=headers)


def in_turn(*answers: httpx.Response | Exception) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A server that answers one after the other, and what it was asked."""
    asked: list[httpx.Request] = []
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        asked.append(request)
        said = left.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    return httpx.MockTransport(answer), asked


def test_a_file_is_sent_whole_again_under_the_same_key_until_it_is_taken() -> None:
    transport, asked = in_turn(
        httpx.ConnectError("refused"),
        problem(503, "StoreDown"),
        problem(409, "InProgress"),
        httpx.ReadError("reset"),
        httpx.Response(202, json=ADDED),
    )
    with RemoteQuiver("http://quiver", "k", transport=transport) as quiver:
        assert quiver.add("c", file=io.BytesIO(b"bytes of a file"), name="a.txt").external_id == "a"
    assert len(asked) == 5
    assert all(b"bytes of a file" in request.content for request in asked)
    assert len({request.headers["idempotency-key"] for request in asked}) == 1
    assert asked[0].headers["authorization"] == "Bearer k"


def test_what_cannot_be_is_not_tried_again() -> None:
    transport, asked = in_turn(problem(404, "NoSuchAsset"))
    with pytest.raises(NoSuchAsset, match="so it is"):
        Wire("http://quiver", None, patience=30, transport=transport).get("/x")
    assert len(asked) == 1


def test_patience_ends() -> None:
    transport, asked = in_turn(*[problem(503, "Overloaded", **{"Retry-After": "7"})] * 2)
    with pytest.raises(Fault) as caught:
        Wire("http://quiver", None, patience=5, transport=transport).get("/x")
    assert caught.value.retryable
    assert getattr(caught.value, "retry_after") == 7  # noqa: B009  # of a class that not every fault is
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(502, text="<html>bad gateway"), ServerDown),
        (httpx.Response(401, text="who?"), Unauthorized),
        (httpx.Response(403, text="no"), Forbidden),
        (httpx.Response(429, text="slowly"), QuotaExceeded),
        (httpx.Response(400, json=["strange"]), BadQuery),
        (httpx.Response(500, json={"type": "urn:quiver:fault:print", "detail": "x"}), Defect),
        (problem(500, "EncoderBroke"), Defect),
    ],
)
def test_an_answer_of_a_stranger_is_a_fault_by_its_status(answer: httpx.Response, kind: type[Fault]) -> None:
    transport, _ = in_turn(answer)
    with pytest.raises(kind):
        Wire("http://quiver", None, patience=0, transport=transport).get("/x")


@pytest.mark.parametrize("url", ["quiver:8080", "ftp://quiver", "http://[::1", ""])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(Misconfigured, match="HOST"):
        Wire(url, None, patience=0).get("/x")
