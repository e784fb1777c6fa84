"""What was replaced or removed is gone, and bytes stay as long as somebody uses them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from core.records import Outcome, State
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from ingest.sources.manifest import Inline
from tests.doubles import Flaky
from tests.flow.embedded import (
    blob_files,
    found,
    index_all,
    ingest,
    points,
    register_all,
    states,
    texts,
)
from tests.flow.promises import ME, check
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.removal import remove


def test_the_same_bytes_are_stored_once(parts: Parts) -> None:
    ingest(parts, [Inline("a", "same"), Inline("b", "same"), Inline("c", "other")])
    assert len(blob_files(parts)) == 2
    assert found(parts) == {"a", "b", "c"}


def test_a_removed_assets_bytes_are_gone_and_shared_ones_stay(parts: Parts) -> None:
    ingest(parts, [Inline("a", "same"), Inline("b", "same"), Inline("c", "other")])
    same, other = (parts.catalogue.asset(ME, "c", name).digest for name in ("a", "c"))
    ids = {name: parts.catalogue.asset(ME, "c", name).id for name in "abc"}
    assert remove(parts, ME, "c", [ids["a"], ids["c"]]) == 2
    assert parts.blobs.has(same)
    assert not parts.blobs.has(other)
    assert found(parts) == {"b"}
    assert remove(parts, ME, "c", [ids["a"], ids["b"]]) == 1
    assert blob_files(parts) == []
    assert points(parts) == []


def test_another_tenant_keeps_the_bytes_it_shares(parts: Parts) -> None:
    ingest(parts, [Inline("a", "same")])
    theirs = Tenant("other")
    register(parts, theirs, ensure(parts, "c"), [Inline("a", "same")], lambda c, ids: _index(parts, c, ids))
    digest = parts.catalogue.asset(ME, "c", "a").digest
    remove(parts, ME, "c", [parts.catalogue.asset(ME, "c", "a").id])
    assert parts.blobs.has(digest)
    assert {point.payload["tenant"] for point in points(parts)} == {"other"}


def _index(parts: Parts, collection: str, ids: Sequence[AssetId]) -> None:
    index_batch(parts, collection, ids)


def test_a_replaced_asset_is_found_as_it_is_now_only(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red " * 900)])
    many = len(points(parts))
    assert many > 1
    register_all(parts, [Inline("a", "blue")])
    assert index_all(parts).indexed == 1
    (point,) = points(parts)
    assert (point.payload["text"], point.payload["generation"]) == ("blue", 2)
    check(parts)


def test_what_was_removed_can_be_added_again(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red"), Inline("b", "red")])
    remove(parts, ME, "c", [parts.catalogue.asset(ME, "c", "a").id])
    assert register_all(parts, [Inline("a", "red")]).outcomes == {Outcome.ADDED: 1}
    index_all(parts)
    assert found(parts) == {"a", "b"}
    assert states(parts) == {"a": State.INDEXED, "b": State.INDEXED}
    check(parts)


def test_bytes_that_vanish_between_registering_and_the_row_are_stored_again(parts: Parts) -> None:
    """As when the last other asset with these bytes is removed in between."""
    real, gone = parts.blobs, 0

    def before(name: str) -> None:
        nonlocal gone
        if name == "has" and not gone:
            gone = 1
            for path in blob_files(parts):
                path.unlink()

    parts.__dict__["blobs"] = Flaky(real, before)
    ingest(parts, [Inline("a", "red")])
    assert gone
    check(parts)
    assert states(parts) == {"a": State.INDEXED}


def test_an_asset_whose_bytes_were_lost_fails_alone_and_says_what_to_do(parts: Parts) -> None:
    register_all(parts, texts(3))
    digest = parts.catalogue.asset(ME, "c", "t001").digest
    parts.blobs.discard(digest)
    tally = index_all(parts)
    assert (tally.indexed, tally.failed) == (2, 1)
    (failure,) = parts.catalogue.failures(ME, "c")
    assert failure.external_id == "t001"
    assert "ingest the file again" in failure.message


def test_a_stream_by_the_blob_store_is_what_was_given(parts: Parts) -> None:
    data = "红色 red".encode()
    ingest(parts, [Inline("a", data.decode())])
    with parts.blobs.open(parts.catalogue.asset(ME, "c", "a").digest) as source:
        assert io.BytesIO(source.read()).getvalue() == data
