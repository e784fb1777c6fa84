"""Batches are bounded by bytes, not only by count."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from core.records import Claim
from core.types import Asset, AssetId, Digest, Modality, Tenant
from workers.indexing import by_bytes


def claim(size: int) -> Claim:
    asset = Asset(
        id=AssetId(uuid4()),
        tenant=Tenant("t"),
        collection="c",
        external_id="x",
        modality=Modality.TEXT,
        media_type="text/plain",
        digest=Digest("0" * 64),
        size=size,
        metadata={},
        generation=1,
        created_at=datetime.now(UTC),
    )
    return Claim(asset=asset, token="t", attempt=1)


@given(st.lists(st.integers(0, 50)), st.integers(1, 100))
def test_runs_keep_all_in_order_and_none_is_larger_than_it_must_be(sizes: list[int], most: int) -> None:
    claims = [claim(size) for size in sizes]
    runs = list(by_bytes(claims, most))
    assert [one for run in runs for one in run] == claims
    assert all(len(run) == 1 or sum(one.asset.size for one in run) <= most for run in runs)
    for run, following in pairwise(runs):
        assert sum(one.asset.size for one in run) + following[0].asset.size > most
