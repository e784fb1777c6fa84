"""Whatever is done to an index behind the catalogue's back is found, and repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.points import Points, Scope
from core.records import Claim, Index
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import Asset, Segment, Text
from tests.doubles import toy_parts
from tests.flow.promises import ME, check, upkeep
from tests.flow.test_crashes import add, take_out
from tests.flow.test_crashes import replace as replace_texts
from workers.embedding import points_of
from workers.reconcile import Kind, reconcile


@pytest.fixture(params=["memory", "edge"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    made = toy_parts(tmp_path, batch=3)
    if request.param == "memory":
        made.__dict__["store"] = MemoryStore()
    add(made, tmp_path / "files")
    replace_texts(made, tmp_path / "files")
    upkeep(made)
    check(made)
    yield made
    made.close()


def asset(parts: Parts, name: str = "green.txt") -> Asset:
    return parts.catalogue.asset(ME, "c", name)


def rewrite(parts: Parts, change: Callable[[dict[str, object]], None], name: str = "green.txt") -> None:
    """Write an asset's points again with another payload, as a bug or an old snapshot would have left them."""
    index = parts.catalogue.serving("c")
    points = parts.store.of_assets(index, [asset(parts, name).id])
    parts.store.forget(index, {asset(parts, name).id: None})
    payloads = [dict(point.payload) for point in points]
    for payload in payloads:
        change(payload)
    parts.store.upsert(index, Points([point.id for point in points], payloads, {}))


def lose_points(parts: Parts) -> None:
    parts.store.forget(parts.catalogue.serving("c"), {asset(parts).id: None})


def lose_the_index(parts: Parts) -> None:
    index = parts.catalogue.serving("c")
    parts.store.drop(index.id)
    parts.store.create(index)


def forget_the_asset(parts: Parts) -> None:
    parts.catalogue.remove(ME, "c", [asset(parts).id])
    parts.catalogue.purge(parts.catalogue.removed(limit=10))


def age_the_points(parts: Parts) -> None:
    rewrite(parts, lambda payload: payload.update(generation=1))


def bring_points_from_the_future(parts: Parts) -> None:
    rewrite(parts, lambda payload: payload.update(generation=99))


def change_the_tenant(parts: Parts) -> None:
    rewrite(parts, lambda payload: payload.update(tenant="somebody else"))


def change_the_metadata(parts: Parts) -> None:
    rewrite(parts, lambda payload: payload.update(metadata={"kind": "forged"}))


DAMAGES: list[tuple[Callable[[Parts], None], set[Kind]]] = [
    (lose_points, {Kind.MISSING}),
    (lose_the_index, {Kind.MISSING}),
    (forget_the_asset, {Kind.ORPHAN}),
    (age_the_points, {Kind.STALE, Kind.MISSING}),
    (bring_points_from_the_future, {Kind.STALE, Kind.MISSING}),
    (change_the_tenant, {Kind.PAYLOAD}),
    (change_the_metadata, {Kind.PAYLOAD}),
]


@pytest.mark.parametrize(("damage", "kinds"), DAMAGES, ids=lambda d: getattr(d, "__name__", ""))
def test_damage_is_found_named_and_repaired(parts: Parts, damage: Callable[[Parts], None], kinds: set[Kind]) -> None:
    damage(parts)
    found = reconcile(parts, "c")
    assert set(found.counts) == kinds
    assert {f.external_id for f in found.findings} >= {"green.txt"}
    assert found.repaired == 0
    assert reconcile(parts, "c", slice_size=1).counts == found.counts, "a dry run changes nothing, in slices or whole"
    repaired = reconcile(parts, "c", repair=True)
    assert repaired.repaired == len(repaired.findings) > 0
    upkeep(parts)
    assert reconcile(parts, "c").counts == {}
    check(parts)


def test_what_agrees_is_left_alone(parts: Parts) -> None:
    drift = reconcile(parts, "c", repair=True)
    assert (drift.counts, drift.repaired, drift.findings) == ({}, 0, [])
    assert drift.points == parts.store.count(parts.catalogue.serving("c"), Scope(tenant=ME)) > 4
    assert drift.receipts == 4


def test_an_asset_that_waits_to_be_indexed_is_no_drift(parts: Parts, tmp_path: Path) -> None:
    index: Index = parts.catalogue.serving("c")
    parts.catalogue.strike(index, {asset(parts).id: asset(parts).generation})
    assert reconcile(parts, "c").counts == {}
    take_out(parts, tmp_path / "files")
    assert reconcile(parts, "c").counts == {}


def test_a_catalogue_restored_from_an_older_copy_has_its_say(parts: Parts) -> None:
    """The newer points are forgotten, and the asset indexed as the catalogue knows it."""
    index = parts.catalogue.serving("c")
    newer = Claim(asset=replace(asset(parts), generation=7), token="", attempt=1)
    encoders = [parts.encoders.of_space("toy", space) for space in index.spaces]
    parts.store.upsert(index, points_of(index, encoders, [(newer, [Segment(0, Text("red"))])]))
    assert Kind.STALE in reconcile(parts, "c", repair=True).counts
    upkeep(parts)
    check(parts)
