"""What is exported comes back as it was: found by the same vectors, in its own tenant, with nothing embedded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadFilter, BadManifest, BlobsDown, CorruptMedia, ModelMismatch, NoSuchAsset
from core.records import Outcome, State
from core.spaces import EmbeddingSpace
from core.types import AssetId, Tenant
from ingest.sources.manifest import Inline
from quiver import Quiver
from tests.doubles import ColourEncoder, toy_parts
from tests.flow.archived import empty, filled, held
from tests.flow.promises import check, upkeep
from tests.strategies import FIELDS as ALL
from tests.strategies import metadata
from tests.worlds import FIELDS, ME, OTHER, World
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.reconcile import reconcile
from workers.standing import standing


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = filled(tmp_path / "from")
    yield made
    made.parts.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Quiver]:
    with empty(tmp_path / "there") as quiver:
        yield quiver


@pytest.fixture(autouse=True)
def _no_model_is_asked(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """From when a test says so."""
    real = ColourEncoder.encode

    def encode(self: Any, contents: Any) -> Any:
        assert not getattr(request.node, "nothing_is_embedded", False), "an import embedded something"
        return real(self, contents)

    monkeypatch.setattr(ColourEncoder, "encode", encode)


def test_a_collection_comes_back_as_it_was_with_nothing_embedded(
    world: World, there: Quiver, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    here = Quiver(world.parts)
    said = []
    done = here.export("c", tmp_path / "c.parquet", blobs=tmp_path / "bytes", on_progress=lambda now: said.append(now))
    assert (done.assets, done.points, done.changing, done.missing) == (4, len(held(here)), 0, 0)
    assert done.points == done.total > 4
    assert said
    request.node.nothing_is_embedded = True
    taken = there.import_(tmp_path / "c.parquet", "c", blobs=tmp_path / "bytes")
    assert (taken.ok, taken.outcomes[Outcome.ADDED], taken.points, taken.without_bytes) == (True, 4, done.points, 0)
    assert held(there) == held(here)
    assert there.status("c")[0].fields == FIELDS
    assert there.content("c", "cat") == b"a red cat"
    assert there.content("c", "red.png") == here.content("c", "red.png")
    check(there._parts)
    again = there.import_(tmp_path / "c.parquet", "c", blobs=tmp_path / "bytes")
    assert (again.outcomes[Outcome.UNCHANGED], again.points, again.refused) == (4, 0, [])
    assert not reconcile(there._parts, "c").counts
    request.node.nothing_is_embedded = False
    assert there.search("c", "cat").hits[0].external_id == "cat"


def test_anything_reads_it(world: World, tmp_path: Path) -> None:
    Quiver(world.parts).export("c", tmp_path / "c.parquet")
    table = pq.read_table(tmp_path / "c.parquet")
    rows = [row for row in table.to_pylist() if row["external_id"] == "cat"]
    [row] = rows
    index = world.parts.catalogue.serving("c")
    dense, sparse = (space.vector_name for space in index.spaces)
    assert (row["field_kind"], row["field_price"], row["field_note"]) == ("a", 2.5, None)
    assert json.loads(row["metadata"]) == {"kind": "a", "price": 2.5}
    assert (row["text"], row["content"], row["modality"], row["tenant"]) == ("a red cat", "text", "text", ME)
    assert np.linalg.norm(row[dense]) == pytest.approx(1)
    assert len(row[f"{sparse}_indices"]) == len(row[f"{sparse}_values"]) == 2
    heading = json.loads(table.schema.metadata[b"quiver"])
    assert (heading["collection"], heading["profile"]) == ("c", "toy")
    assert [one["column"] for one in heading["spaces"]] == [dense, sparse]


def test_a_filter_chooses_and_a_bad_one_is_refused(world: World, tmp_path: Path) -> None:
    here = Quiver(world.parts)
    assert here.export("c", tmp_path / "c.parquet", where="kind = a and price > 2").assets == 3
    with pytest.raises(BadFilter, match="colour"):
        here.export("c", tmp_path / "other.parquet", where="colour = red")
    assert not (tmp_path / "other.parquet").exists()


def test_tenants_are_apart_on_the_way_out_and_in(world: World, there: Quiver, tmp_path: Path) -> None:
    world.add({"secret": "blue rocket"}, tenant=OTHER)
    theirs = Quiver(world.parts, tenant=OTHER)
    assert Quiver(world.parts).export("c", tmp_path / "mine.parquet").assets == 4
    assert theirs.export("c", tmp_path / "theirs.parquet").assets == 1
    assert set(pq.read_table(tmp_path / "mine.parquet")["tenant"].to_pylist()) == {ME}
    stranger = Quiver(there._parts, tenant=Tenant("ann"))
    stranger.import_(tmp_path / "mine.parquet", "c")
    assert there.status("c")[0].counts[State.INDEXED] == 0
    assert stranger.status("c")[0].counts[State.INDEXED] == 4
    assert {said["tenant"] for said, _ in held(stranger, tenant=Tenant("ann")).values()} == {"ann"}


def test_what_waits_or_is_being_changed_is_not_half_in_it(world: World, tmp_path: Path) -> None:
    world.add({"waits": "red"}, index=False)
    index = world.parts.catalogue.serving("c")
    world.store.forget(index, {world.id_of("cat"): None})
    done = Quiver(world.parts).export("c", tmp_path / "c.parquet")
    assert (done.assets, done.changing) == (3, 1)
    assert set(pq.read_table(tmp_path / "c.parquet")["external_id"].to_pylist()) == {"long", "none", "red.png"}


def test_without_bytes_it_is_found_and_says_that_there_is_nothing_to_show(
    world: World, there: Quiver, tmp_path: Path
) -> None:
    Quiver(world.parts).export("c", tmp_path / "c.parquet")
    done = there.import_(tmp_path / "c.parquet", "c")
    assert done.without_bytes == 4
    assert there.search("c", "red cat").hits
    for ask in (there.content, there.thumbnail):
        with pytest.raises(NoSuchAsset, match="ingest the file again"):
            ask("c", "red.png")
    parts = there._parts
    index = parts.catalogue.serving("c")
    asset = parts.catalogue.asset(ME, "c", "cat")
    parts.catalogue.strike(index, {asset.id: 1})
    parts.store.forget(index, {asset.id: None})
    upkeep(parts)  # as a reindex would, without vectors to copy
    [failure] = there.failures("c")
    assert (failure.external_id, failure.kind) == ("cat", "NoSuchAsset")
    there.import_(tmp_path / "c.parquet", "c")
    assert there.failures("c") == []
    assert there.status("c")[0].counts[State.INDEXED] == 4


def test_a_change_over_there_is_a_change_here(world: World, there: Quiver, tmp_path: Path) -> None:
    here = Quiver(world.parts)
    here.export("c", tmp_path / "c.parquet", blobs=tmp_path / "bytes.tar")
    there.import_(tmp_path / "c.parquet", "c", blobs=tmp_path / "bytes.tar")
    world.add({"long": "short now"})
    here.export("c", tmp_path / "c.parquet", blobs=tmp_path / "bytes.tar")
    done = there.import_(tmp_path / "c.parquet", "c", blobs=tmp_path / "bytes.tar")
    assert (done.outcomes[Outcome.CHANGED], done.points) == (1, 1)
    assert held(there) == held(here)
    assert there.content("c", "long") == b"short now"
    check(there._parts)


def test_another_model_is_refused_with_what_to_do_and_nothing_is_made(world: World, tmp_path: Path) -> None:
    Quiver(world.parts).export("c", tmp_path / "c.parquet")
    table = pq.read_table(tmp_path / "c.parquet")
    heading = json.loads(table.schema.metadata[b"quiver"])
    heading["spaces"][0]["revision"] = "2"
    space = {name: value for name, value in heading["spaces"][0].items() if name != "column"}
    was, now = heading["spaces"][0]["column"], EmbeddingSpace.from_dict(space).vector_name
    names = [now if name == was else name for name in table.column_names]
    pq.write_table(
        table.rename_columns(names).replace_schema_metadata({b"quiver": json.dumps(heading)}),
        tmp_path / "other.parquet",
    )
    parts = toy_parts(tmp_path / "elsewhere")
    with Quiver(parts) as quiver:
        with pytest.raises(ModelMismatch, match=r"toy@1 .* the file has toy@2 .*quiver reindex"):
            quiver.import_(tmp_path / "other.parquet", "new")
        assert quiver.status() == []


def test_bytes_of_another_digest_are_refused_and_not_kept(world: World, there: Quiver, tmp_path: Path) -> None:
    Quiver(world.parts).export("c", tmp_path / "c.parquet", blobs=tmp_path / "bytes")
    digest = world.parts.catalogue.asset(ME, "c", "cat").digest
    (tmp_path / "bytes" / digest[:2] / digest).write_bytes(b"forged")
    done = there.import_(tmp_path / "c.parquet", "c", blobs=tmp_path / "bytes")
    assert [(problem.kind, problem.name) for problem in done.refused] == [("CorruptMedia", "cat")]
    stored = [path.name for path in (tmp_path / "there" / "blobs").rglob("*") if path.is_file()]
    assert len(stored) == 3
    assert digest not in stored


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_export_is_refused(world: World, there: Quiver, tmp_path: Path, share: float) -> None:
    Quiver(world.parts).export("c", tmp_path / "c.parquet", blobs=tmp_path / "bytes.tar")
    whole = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CorruptMedia, match="export it again"):
        there.import_(tmp_path / "c.parquet", "c")
    (tmp_path / "c.parquet").write_bytes(whole)
    (tmp_path / "bytes.tar").write_bytes((tmp_path / "bytes.tar").read_bytes()[: int(10240 * share)])
    with pytest.raises(CorruptMedia):
        there.import_(tmp_path / "c.parquet", "c", blobs=tmp_path / "bytes.tar")


def test_a_table_that_is_no_export_is_named_as_such(there: Quiver, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "m.parquet")
    with pytest.raises(BadManifest, match="quiver ingest"):
        there.import_(tmp_path / "m.parquet", "c")


def test_what_cannot_be_written_is_said_and_what_was_there_stays(world: World, tmp_path: Path) -> None:
    here = Quiver(world.parts)
    for target in (tmp_path, tmp_path / "nowhere" / "c.parquet"):
        with pytest.raises(BlobsDown):
            here.export("c", target)
    (tmp_path / "c.parquet").write_bytes(b"before")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BlobsDown):
        here.export("c", tmp_path / "c.parquet", blobs=tmp_path / "file" / "bytes")
    assert (tmp_path / "c.parquet").read_bytes() == b"before"
    assert not list(tmp_path.glob(".*.part"))


def test_a_list_that_comes_while_it_is_written_gets_its_column(
    world: World, there: Quiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pass has seen none."""

    def later(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr("workers.export.standing", standing)
        world.add({"late": "blue"}, metadata={"kind": ["a", "b"]})
        return standing(*args, **kwargs)

    monkeypatch.setattr("workers.export.standing", later)
    done = Quiver(world.parts).export("c", tmp_path / "c.parquet", blobs=tmp_path / "b.tar")
    assert (done.assets, done.blobs) == (5, 5)
    table = pq.read_table(tmp_path / "c.parquet")
    kinds = {row["external_id"]: row["field_kind"] for row in table.to_pylist()}
    assert kinds == {"cat": ["a"], "long": ["a"], "none": ["a"], "red.png": None, "late": ["a", "b"]}
    there.import_(tmp_path / "c.parquet", "c", blobs=tmp_path / "b.tar")
    assert held(there) == held(Quiver(world.parts))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Quiver, Quiver]]:
    folder = tmp_path_factory.mktemp("pair")
    with empty(folder / "from") as here, empty(folder / "to") as there:
        yield here, there


_names = (f"any{at}" for at in itertools.count())


@settings(max_examples=10)
@given(said=st.lists(metadata(), min_size=1, max_size=5))
def test_whatever_metadata_holds_comes_back(pair: tuple[Quiver, Quiver], said: list[dict[str, Any]]) -> None:
    (here, there), name = pair, next(_names)
    made = ensure(here._parts, name, ALL)

    def submit(collection: str, ids: Any) -> None:
        index_batch(here._parts, collection, ids)

    items = [Inline(f"t{at}", "red", one) for at, one in enumerate(said)]
    assert not register(here._parts, ME, made, items, submit).refused
    target = here._parts.settings.data / "c.parquet"
    here.export(name, target)
    assert there.import_(target, name).refused == []
    assert held(there, name) == held(here, name)


def test_a_worker_that_comes_first_and_fails_for_want_of_bytes_is_overruled(
    world: World, there: Quiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Quiver(world.parts).export("c", tmp_path / "c.parquet")
    parts = there._parts
    real = parts.catalogue.register

    def register_(*args: Any) -> Any:
        said = real(*args)
        index_batch(parts, "c", [AssetId(one) for one, _ in said])  # between the commit and the claim
        return said

    monkeypatch.setattr(parts.catalogue, "register", register_)
    done = there.import_(tmp_path / "c.parquet", "c")
    assert done.ok
    assert there.status("c")[0].counts[State.INDEXED] == 4
    assert there.failures("c") == []
