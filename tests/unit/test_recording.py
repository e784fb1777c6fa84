"""Searches are recorded behind the answer: in order, once, and without holding up who searches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event
from uuid import uuid4

from core.desk import Recorded
from core.errors import CatalogueDown, Conflict
from core.types import Tenant
from workers import recording
from workers.recording import Recorder

NOW = datetime.now(UTC)


def one(words: str = "red") -> Recorded:
    return Recorded(id=uuid4(), tenant=Tenant("me"), collection="c", said={"text": words}, at=NOW)


def test_what_is_offered_is_written_by_the_time_it_is_closed() -> None:
    kept: list[Recorded] = []
    recorder = Recorder(kept.extend)
    offered = [one(str(n)) for n in range(2000)]
    assert all(recorder.offer(each) for each in offered)
    recorder.close()
    recorder.close()
    assert kept == offered
    assert not recorder.offer(one()), "it is over"


def test_who_searches_does_not_wait_and_what_is_too_much_has_no_id() -> None:
    go, kept = Event(), list[Recorded]()

    def slow(some: Sequence[Recorded]) -> None:
        assert go.wait(30)
        kept.extend(some)

    recorder = Recorder(slow, most=5)
    assert recorder.offer(one())
    while recorder._waiting:
        pass  # it is being written
    assert [recorder.offer(one()) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not recorder.settle(0.01)
    go.set()
    assert recorder.settle(30)
    assert len(kept) == 6
    recorder.close()


def test_an_outage_is_waited_out(monkeypatch) -> None:
    monkeypatch.setattr(recording, "RETRY", 0.01)
    tries, kept = list[int](), list[Recorded]()

    def flaky(some: Sequence[Recorded]) -> None:
        tries.append(len(some))
        if len(tries) < 4:
            raise CatalogueDown
        kept.extend(some)

    recorder = Recorder(flaky)
    offered = [one(str(n)) for n in range(5)]
    for each in offered:
        recorder.offer(each)
    assert recorder.settle(30)
    assert kept == offered, "in order, however it was divided"
    recorder.close()


def test_one_that_is_refused_costs_itself_alone(caplog) -> None:
    kept: list[Recorded] = []
    go = Event()

    def picky(some: Sequence[Recorded]) -> None:
        assert go.wait(30)
        if any(each.said["text"] == "bad" for each in some):
            raise Conflict
        kept.extend(some)

    recorder = Recorder(picky)
    for words in ("a", "b", "bad", "c"):
        recorder.offer(one(words))
    go.set()
    recorder.close()
    assert [each.said["text"] for each in kept] == ["a", "b", "c"]
    assert "was not recorded" in caplog.text


def test_what_cannot_be_written_at_the_end_is_told(caplog) -> None:
    def down(_some: Sequence[Recorded]) -> None:
        raise CatalogueDown

    recorder = Recorder(down)
    recorder.offer(one())
    recorder.close()
    assert "1 searches were not recorded" in caplog.text
    assert not recorder._waiting
