"""What comes in many pieces: never held whole, and found when all of it is written, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from core.errors import CorruptMedia, StoreDown
from core.records import State
from core.runtime.wiring import Parts
from core.types import Piece, Segment, Span, Text
from ingest.sources.manifest import Inline
from tests.doubles import Flaky
from tests.flow.embedded import found, index_all, points, register_all, states
from tests.flow.promises import ME, check, upkeep
from workers import decoding, embedding

PIECES, A_PIECE = 5, 3


class Long:
    """A decoder of long things: what it gave, how many of its pieces were alive at once, and where it breaks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[int] = []
        self.closed = 0
        self.breaks: int | None = None
        self.fault: Exception = CorruptMedia("it breaks")
        self._real = decoding.decode
        monkeypatch.setattr(embedding, "decode", self._decode)

    def _decode(self, parts: Parts, source: Any, **more: Any) -> Iterator[Piece]:
        if not source.read().startswith(b"long"):
            source.seek(0)
            yield from self._real(parts, source, **more)
            return
        try:
            for piece in range(PIECES):
                if piece == self.breaks:
                    raise self.fault
                self.given.append(piece)
                said = [
                    Segment(n, Text(f"red number {n}"), Span(n, n + 1, "second"))
                    for n in range(piece * A_PIECE, (piece + 1) * A_PIECE)
                ]
                yield Piece(said, last=piece == PIECES - 1)
        finally:
            self.closed += 1


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> Long:
    return Long(monkeypatch)


def test_all_pieces_are_found_and_their_neighbours_too(parts: Parts, long: Long) -> None:
    register_all(parts, [Inline("a", "red"), Inline("film", "long"), Inline("z", "blue")])
    assert index_all(parts).indexed == 3
    mine = sorted(p.payload["ordinal"] for p in points(parts) if p.payload["external_id"] == "film")
    assert mine == list(range(PIECES * A_PIECE))
    assert found(parts) == {"a", "film", "z"}
    # Once to see that it is long, and then as it is written, each piece after the one before.
    assert long.given == [0, *range(PIECES)]
    assert long.closed == 2
    check(parts)


def test_what_breaks_in_the_middle_is_not_found_and_says_why(parts: Parts, long: Long) -> None:
    long.breaks = 3
    register_all(parts, [Inline("film", "long"), Inline("z", "blue")])
    tally = index_all(parts)
    assert (tally.indexed, tally.failed) == (1, 1)
    assert found(parts) == {"z"}
    (failure,) = parts.catalogue.failures(ME, "c")
    assert (failure.external_id, failure.kind) == ("film", "CorruptMedia")
    check(parts)


def test_a_shorter_new_version_leaves_nothing_of_the_longer(parts: Parts, long: Long) -> None:
    register_all(parts, [Inline("film", "long")])
    index_all(parts)
    register_all(parts, [Inline("film", "short and red")])
    index_all(parts)
    assert len(points(parts)) == 1
    register_all(parts, [Inline("film", "long again")])
    index_all(parts)
    assert len(points(parts)) == PIECES * A_PIECE
    check(parts)


@pytest.mark.parametrize("nth", range(1, PIECES + 2))
def test_a_store_that_goes_down_in_any_piece_costs_no_attempt(parts: Parts, long: Long, nth: int) -> None:
    register_all(parts, [Inline("film", "long")])
    store, calls = parts.store, [0]

    def fail(name: str) -> None:
        calls[0] += name in ("upsert", "flush")
        if calls[0] == nth:
            raise StoreDown("for a moment")

    parts.__dict__["store"] = Flaky(store, fail)
    with pytest.raises(StoreDown):
        index_all(parts)
    parts.__dict__["store"] = store
    upkeep(parts)
    assert states(parts) == {"film": State.INDEXED}
    assert len(points(parts)) == PIECES * A_PIECE
    check(parts)


def test_an_asset_removed_between_two_pieces_is_never_found(
    parts: Parts, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_all(parts, [Inline("film", "long")])
    (asset, _), *_ = parts.catalogue.assets(ME, "c")
    renewed = parts.catalogue.renew

    def remove_first(*args: Any) -> None:
        parts.catalogue.remove(ME, "c", [asset.id])
        renewed(*args)

    monkeypatch.setattr(parts.catalogue, "renew", remove_first)
    index_all(parts)
    assert found(parts) == set()
    check(parts)


def test_a_stale_worker_that_fails_takes_nothing_from_who_came_after_it(
    parts: Parts, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease ran out, another indexed the same generation, and then its decoder breaks."""
    register_all(parts, [Inline("film", "long")])
    real, turn = parts.catalogue.renew, [0]

    def lost(claims: Any, lease: Any) -> int:
        turn[0] += 1
        if turn[0] == 2:
            real(claims, timedelta(0))
            long.breaks = None
            assert index_all(parts).indexed == 1
            long.breaks = 2
            return 1  # it has not noticed
        return real(claims, lease)

    long.breaks = 2
    monkeypatch.setattr(parts.catalogue, "renew", lost)
    tally = index_all(parts)
    assert (tally.indexed, tally.failed) == (0, 0)
    assert len(points(parts)) == PIECES * A_PIECE
    assert states(parts) == {"film": State.INDEXED}
    check(parts)


def test_work_on_what_changed_meanwhile_stops(parts: Parts, long: Long, monkeypatch: pytest.MonkeyPatch) -> None:
    register_all(parts, [Inline("film", "long")])
    real = parts.catalogue.renew

    def changed(claims: Any, lease: Any) -> int:
        register_all(parts, [Inline("film", "short and red")])
        return real(claims, lease)

    monkeypatch.setattr(parts.catalogue, "renew", changed)
    index_all(parts)
    assert long.given == [0, 0], "it went on with what nobody will take"
    monkeypatch.setattr(parts.catalogue, "renew", real)
    upkeep(parts)
    assert len(points(parts)) == 1
    check(parts)
