"""A backup that is made while everything goes on comes back whole; what it could not know is put right."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from qdrant_client import QdrantClient

from core.errors import BlobsDown, Conflict, CorruptMedia, Forbidden, NoSuchAsset, NoSuchPath
from core.records import State
from core.stores.edge import EdgeStore
from core.stores.memory import MemoryStore
from core.stores.server import ServerStore
from core.types import AssetId, Tenant
from quiver import Quiver
from tests.contract.catalogues import emptied
from tests.doubles import toy_parts
from tests.flow.archived import held
from tests.flow.promises import ME, upkeep
from tests.worlds import OTHER, RED, World
from workers.erase import Asked, erase
from workers.erasure_book import NAME as BOOK
from workers.indexing import index_batch
from workers.reconcile import Kind, reconcile


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "from")
    made.add({"cat": "a red cat", "long": "green dog. " * 900}, metadata={"kind": "a"})
    made.add({"red.png": RED, "copy.png": RED})
    made.add({"theirs": "blue rocket"}, tenant=OTHER)
    yield made
    made.parts.close()


def elsewhere(data: Path, store: Any = None, **settings: Any) -> Quiver:
    parts = toy_parts(data, **settings)
    parts.__dict__["store"] = store or MemoryStore()
    return Quiver(parts)


def everything(quiver: Quiver) -> list[Any]:
    """With the ids: a restore brings back the same assets."""
    catalogue, store = quiver._parts.catalogue, quiver._parts.store
    index = catalogue.serving("c")
    out = []
    for tenant in (ME, OTHER):
        for asset, state in catalogue.assets(tenant, "c", limit=1000):
            points = [(p.id, dict(p.payload), sorted(p.vectors)) for p in store.of_assets(index, [asset.id])]
            out.append((asset, state, points))
    return out


def check(quiver: Quiver) -> None:
    """All of it is indexed, catalogue and index agree, and all bytes are there."""
    parts = quiver._parts
    assert not reconcile(parts, "c").counts
    for asset, state, points in everything(quiver):
        assert state is State.INDEXED, asset
        assert points
        assert parts.blobs.has(asset.digest)


PLACES = ["backup", "backup.tar"]


@pytest.mark.parametrize("place", PLACES)
def test_a_backup_comes_back_whole(world: World, tmp_path: Path, place: str) -> None:
    here = Quiver(world.parts)
    stages: list[str] = []
    done = here.backup(tmp_path / place, on_progress=lambda now: stages.append(now.stage))
    assert (done.blobs, done.new_blobs, done.absent, done.changing) == (4, 4, [], 0)
    assert done.points == len(held(here)) + len(held(here, tenant=OTHER))
    assert set(stages) == {"catalogue", "bytes", "vectors of c"}
    found = here.verify(tmp_path / place)
    assert (found.ok, found.problems, found.points, found.blobs) == (True, [], done.points, 4)
    with elsewhere(tmp_path / "to") as there:
        back = there.restore(tmp_path / place)
        assert (back.points, back.blobs, back.drift, back.collections) == (done.points, 4, {}, ["c"])
        assert everything(there) == everything(here)
        assert held(there) == held(here)
        assert there.content("c", "red.png") == here.content("c", "red.png")
        assert [path.name for path in (tmp_path / "to").iterdir() if "restoring" in path.name] == []
        check(there)


def test_a_second_backup_copies_only_what_is_new_and_keeps_nothing_that_went(world: World, tmp_path: Path) -> None:
    here, place = Quiver(world.parts), tmp_path / "backup"
    here.backup(place)
    here.remove("c", "long")
    world.add({"new": "green"})
    done = here.backup(place)
    assert (done.blobs, done.new_blobs) == (4, 1)
    assert len(list(place.glob("snapshot-*"))) == 1
    assert len(list((place / "blobs").glob("??/*"))) == 4
    assert here.verify(place).ok
    with elsewhere(tmp_path / "to") as there:
        there.restore(place)
        assert everything(there) == everything(here)


def test_an_older_backup_beside_what_went_on_is_refused_and_replaces_it_by_force(world: World, tmp_path: Path) -> None:
    here, place = Quiver(world.parts), tmp_path / "backup"
    here.backup(place)
    before = everything(here)
    world.add({"cat": "a blue cat now", "later": "rocket"})
    here.remove("c", "long")
    with pytest.raises(Conflict, match=r"1 collections here \(c\).*--force"):
        here.restore(place)
    here.restore(place, force=True)
    assert everything(here) == before
    check(here)
    stored = {path.name for path in (tmp_path / "from" / "blobs").rglob("*") if path.is_file()}
    assert len(stored) == 4, "bytes of what is gone are gone"


@pytest.mark.parametrize("vectors", [True, False])
def test_vectors_older_or_newer_than_the_catalogue_are_put_right(
    world: World, tmp_path: Path, vectors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As things go while a backup is made: after the catalogue was copied, before the vectors are."""
    here, place = Quiver(world.parts), tmp_path / "backup"
    real = world.store.indexes

    def indexes() -> list[str]:
        world.add({"cat": "a blue cat now", "later": "rocket"})
        here.remove("c", "long")
        return real()

    if vectors:
        monkeypatch.setattr(world.store, "indexes", indexes)
    done = here.backup(place, vectors=vectors)
    monkeypatch.undo()
    assert done.changing == (2 if vectors else 0)
    with elsewhere(tmp_path / "to") as there:
        back = there.restore(place)
        assert back.drift == {Kind.MISSING: 2 if vectors else 5}
        assert there.status("c")[0].counts[State.INDEXED] == 4
        assert there.content("c", "long") == b"green dog. " * 900
        check(there)


def test_an_old_snapshot_of_the_store_beside_a_newer_catalogue_is_repaired(world: World, tmp_path: Path) -> None:
    """What an operator does with a store's own snapshots."""
    index = world.parts.catalogue.serving("c")
    ids = {AssetId(UUID(point.payload["asset"])) for point in world.store.scroll(index)}
    points = world.store.of_assets(index, sorted(ids))
    here = Quiver(world.parts)
    world.add({"cat": "a blue cat now", "later": "rocket"})
    here.remove("c", "long")
    shelf = world.store._shelves[index.id].points
    shelf.clear()
    shelf.update({point.id: point for point in points})
    drift = here.reconcile("c", repair=True)
    assert {Kind.MISSING, Kind.ORPHAN, Kind.STALE} <= set(drift.counts)
    upkeep(world.parts)
    check(here)


def test_bytes_that_go_meanwhile_take_their_asset_along(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, place = Quiver(world.parts), tmp_path / "backup"
    real = world.parts.blobs.open
    gone: list[str] = []

    def open_(digest: Any) -> Any:
        if not gone:
            gone.append("long")
            here.remove("c", "long")
        return real(digest)

    monkeypatch.setattr(world.parts.blobs, "open", open_)
    done = here.backup(place)
    assert (done.absent, done.blobs) == ([], 3)
    with elsewhere(tmp_path / "to") as there:
        there.restore(place)
        assert {one.asset.external_id for one in there.assets("c")} == {"cat", "red.png", "copy.png"}
        check(there)


@pytest.mark.parametrize("where", ["here", "elsewhere, with the book of erasures"])
def test_what_was_erased_after_the_backup_does_not_come_back(world: World, tmp_path: Path, where: str) -> None:
    here, place = Quiver(world.parts), tmp_path / "backup"
    here.backup(place)
    target = world.parts.catalogue.asset(ME, "c", "cat")
    erase(world.parts, ME, "c", ids=[target.id], asked=Asked(by="a test"))
    ledger = world.parts.catalogue.erasures(None)
    if where == "here":
        there = here
        done = here.restore(place, force=True)
    else:
        there = elsewhere(tmp_path / "to")
        (tmp_path / "to").mkdir(exist_ok=True)
        shutil.copyfile(tmp_path / "from" / BOOK, tmp_path / "to" / BOOK)
        done = there.restore(place)
    assert done.erased >= 1
    with pytest.raises(NoSuchAsset):
        there.show("c", "cat")
    index = there._parts.catalogue.serving("c")
    assert there._parts.store.of_assets(index, [target.id]) == []
    assert not there._parts.blobs.has(target.digest)
    assert there._parts.catalogue.erasures(None)[: len(ledger)] == ledger
    assert {asset.external_id for asset, _, _ in everything(there)} == {"long", "red.png", "copy.png", "theirs"}
    check(there)
    there.close()


def test_assets_without_bytes_are_backed_up_as_such(world: World, tmp_path: Path) -> None:
    Quiver(world.parts).export("c", tmp_path / "c.parquet")
    with elsewhere(tmp_path / "bare") as bare, elsewhere(tmp_path / "to") as there:
        bare.import_(tmp_path / "c.parquet", "c")
        assert len(bare.backup(tmp_path / "backup").absent) == 3
        assert bare.verify(tmp_path / "backup").ok
        there.restore(tmp_path / "backup")
        assert held(there) == held(bare)


def damage(place: Path, name: str) -> None:
    [path] = place.rglob(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("what", ["catalogue.db", "points-0.db", "blobs.tsv", "blob", "missing blob", "missing points"])
def test_a_damaged_backup_is_found_and_not_restored(world: World, tmp_path: Path, what: str) -> None:
    here, place = Quiver(world.parts), tmp_path / "backup"
    here.backup(place)
    digest = world.parts.catalogue.asset(ME, "c", "long").digest
    match what:
        case "blob":
            damage(place, digest)
        case "missing blob":
            (place / "blobs" / digest[:2] / digest).unlink()
        case "missing points":
            next(place.rglob("points-0.db")).unlink()
        case _:
            damage(place, what)
    found = here.verify(place)
    assert not found.ok
    assert any(word in found.problems[0] for word in ("damaged", "missing"))
    named = {"catalogue.db": "the catalogue", "blobs.tsv": "which bytes there are"}.get(what, "vectors of c")
    assert digest in found.problems[0] if "blob" in what.split() else f"({named})" in found.problems[0]
    assert bool(found.points) == (what not in ("catalogue.db", "points-0.db", "missing points"))
    assert bool(found.blobs) == (what != "blobs.tsv"), "what is not damaged is counted all the same"
    with elsewhere(tmp_path / "to") as there:
        with pytest.raises(CorruptMedia, match="use another backup"):
            there.restore(place)
        assert there.status() == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_tar_is_no_backup(world: World, tmp_path: Path, share: float) -> None:
    here, place = Quiver(world.parts), tmp_path / "backup.tar"
    here.backup(place)
    whole = place.read_bytes()
    place.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CorruptMedia), elsewhere(tmp_path / "to") as there:
        there.restore(place)
    with pytest.raises(CorruptMedia):
        here.verify(place)


def test_a_tar_cannot_write_outside(world: World, tmp_path: Path) -> None:
    here, place = Quiver(world.parts), tmp_path / "backup.tar"
    here.backup(place)
    with tarfile.open(place, "a") as tar:
        for name in ("../outside", "/outside", "snapshot-x/../../outside", "blobs/../outside"):
            member = tarfile.TarInfo(name)
            tar.addfile(member)
    with elsewhere(tmp_path / "to") as there:
        there.restore(place)
        check(there)
    assert not list(tmp_path.rglob("outside"))


def test_places_that_are_no_backups_are_left_alone(world: World, tmp_path: Path) -> None:
    here = Quiver(world.parts)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(Conflict, match="no backup"):
        here.backup(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]
    with pytest.raises(BlobsDown):
        here.backup(tmp_path / "nowhere" / "b.tar")
    for place in ("photos", "none", "none.tar"):
        with pytest.raises(NoSuchPath, match="quiver backup"):
            here.verify(tmp_path / place)
    with pytest.raises(Forbidden):
        Quiver(world.parts, tenant=Tenant("ann"), owner=Tenant("ann")).backup(tmp_path / "b")


def test_a_disk_that_fills_up_leaves_the_last_backup_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Quiver(world.parts)
    here.backup(tmp_path / "b")
    here.backup(tmp_path / "b.tar")
    world.add({"new": "green"})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workers.backup.sync", full)
    for place in PLACES:
        with pytest.raises(BlobsDown, match="No space left"):
            here.backup(tmp_path / place.replace("backup", "b"))
    monkeypatch.undo()
    for place in ("b", "b.tar"):
        assert here.verify(tmp_path / place).points == len(held(here)) + len(held(here, tenant=OTHER)) - 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert here.backup(tmp_path / "b").new_blobs <= 1


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_a_backup_moves_from_embedded_to_servers_and_back(world: World, tmp_path: Path, postgres_url: str) -> None:
    """From Qdrant Edge and SQLite to a Qdrant client's store and PostgreSQL, and again."""
    emptied(postgres_url)
    here = Quiver(world.parts)
    edge = EdgeStore(tmp_path / "edge")
    with elsewhere(tmp_path / "one", edge) as one:
        here.backup(tmp_path / "b1")
        one.restore(tmp_path / "b1")
        one.backup(tmp_path / "b2.tar")
        before = everything(one)
        with elsewhere(tmp_path / "two", ServerStore(QdrantClient(":memory:")), database_url=postgres_url) as two:
            assert two.restore(tmp_path / "b2.tar").drift == {}
            assert everything(two) == before == everything(here)
            assert two.search("c", "cat").hits[0].external_id == "cat"
            two.add("c", text="a red cat too", id="added")
            index_batch(two._parts, "c", two._parts.catalogue.missing("c", limit=10))
            two.backup(tmp_path / "b3")
            with elsewhere(tmp_path / "three") as three:
                assert three.restore(tmp_path / "b3").drift == {}
                assert everything(three) == everything(two)
                check(three)
