"""An outage, a dead worker, a late message: no attempt is burnt on it and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from core.errors import BlobsDown, CatalogueDown, StoreDown
from core.records import Claim, State
from core.runtime.wiring import Parts
from ingest.sources.manifest import Inline
from tests.doubles import Flaky
from tests.flow.embedded import index_all, pending, points, register_all, states, texts
from tests.flow.promises import ME, check, upkeep
from workers import indexing
from workers.indexing import index_batch
from workers.removal import remove
from workers.tally import Tally


def test_while_the_store_is_down_no_attempt_is_burnt(parts: Parts) -> None:
    down = True

    def before(name: str) -> None:
        if down and name == "upsert":
            raise StoreDown

    real = parts.store
    parts.__dict__["store"] = Flaky(real, before)
    register_all(parts, texts(8))
    for _ in range(parts.settings.max_attempts + 3):
        with pytest.raises(StoreDown):
            index_all(parts)
    assert set(states(parts).values()) == {State.PENDING}
    assert parts.catalogue.failures(ME, "c") == []
    assert parts.catalogue.holders() == []
    parts.catalogue.quarantine()
    down = False
    assert index_all(parts).indexed == 8
    check(parts)


@pytest.mark.parametrize(("part", "fault"), [("blobs", BlobsDown), ("store", StoreDown), ("catalogue", CatalogueDown)])
def test_an_outage_of_any_part_in_the_middle_is_made_good_by_the_sweep(
    part: str, fault: type[Exception], parts: Parts
) -> None:
    calls, down = 0, False

    def before(_name: str) -> None:
        nonlocal calls
        calls += down
        if down and calls >= 3:
            raise fault

    real = getattr(parts, part)
    register_all(parts, texts(8))
    parts.__dict__[part] = Flaky(real, before)
    down = True
    with pytest.raises(fault):
        index_all(parts)
    down = False
    upkeep(parts)
    assert set(states(parts).values()) == {State.INDEXED}
    check(parts)


def batches(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The external ids of every batch that is worked on, from now on."""
    seen: list[list[str]] = []
    real = indexing._index

    def watched(parts: Parts, collection: Any, claims: Sequence[Claim], beat: Any) -> Tally:
        seen.append(sorted(claim.asset.external_id for claim in claims))
        return real(parts, collection, claims, beat)

    monkeypatch.setattr(indexing, "_index", watched)
    return seen


def test_what_a_worker_died_over_is_tried_alone(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    register_all(parts, texts(3))
    died = parts.catalogue.claim("c", worker="host/1/1/1", lease=timedelta(hours=1), limit=10)
    assert len(died) == 3
    parts.catalogue.expire("host/1/1/1")
    register_all(parts, [Inline("fresh-a", "red"), Inline("fresh-b", "blue")])
    seen = batches(parts, monkeypatch)
    assert index_all(parts).indexed == 5
    assert sorted(seen) == [["fresh-a", "fresh-b"], ["t000"], ["t001"], ["t002"]]
    check(parts)


def test_what_kills_its_worker_every_time_is_left_to_a_person(parts: Parts) -> None:
    register_all(parts, [Inline("killer", "red"), Inline("good", "green")])
    killer = parts.catalogue.asset(ME, "c", "killer").id
    for at in range(parts.settings.max_attempts):
        (claim,) = parts.catalogue.claim("c", worker=f"h/{at}/1/1", lease=timedelta(hours=1), limit=1, ids=[killer])
        assert claim.attempt == at + 1
        parts.catalogue.expire(f"h/{at}/1/1")
    upkeep(parts)
    assert states(parts) == {"killer": State.FAILED, "good": State.INDEXED}
    (failure,) = parts.catalogue.failures(ME, "c")
    assert failure.attempts == parts.settings.max_attempts
    check(parts)


def test_a_lease_that_another_holds_is_left_alone(parts: Parts) -> None:
    register_all(parts, texts(3))
    held = parts.catalogue.asset(ME, "c", "t001").id
    everything = pending(parts)
    parts.catalogue.claim("c", worker="elsewhere/1/1/1", lease=timedelta(hours=1), limit=1, ids=[held])
    assert index_batch(parts, "c", everything).indexed == 2
    assert states(parts)["t001"] is State.WORKING


def test_a_message_that_comes_twice_or_late_does_nothing(parts: Parts) -> None:
    register_all(parts, texts(3))
    ids = pending(parts)
    assert index_batch(parts, "c", ids).indexed == 3
    assert index_batch(parts, "c", ids).indexed == 0
    remove(parts, ME, "c", ids)
    assert index_batch(parts, "c", ids).indexed == 0
    assert points(parts) == []
