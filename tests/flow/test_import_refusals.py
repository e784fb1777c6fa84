"""What is wrong with an export refuses what it is about, and nothing else."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadManifest, CorruptMedia
from quiver import Quiver
from tests.flow.archived import empty, filled, held
from workers.importing import Imported
from workers.reconcile import reconcile
from workers.table_reader import Reader


@dataclass
class Shelf:
    """One export and one place to take changed ones in, each into a collection of its own."""

    table: pa.Table
    dense: str
    sparse: str
    there: Quiver
    collections: Iterator[str] = field(default_factory=lambda: (f"c{at}" for at in itertools.count()))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("shelf")
    world = filled(folder / "from")
    Quiver(world.parts).export("c", folder / "c.parquet")
    dense, sparse = (space.vector_name for space in world.parts.catalogue.serving("c").spaces)
    with empty(folder / "there") as there:
        yield Shelf(pq.read_table(folder / "c.parquet"), dense, sparse, there)
    world.parts.close()


def taken_in(shelf: Shelf, tmp_path: Path, column: str, value: Any, **which: Any) -> tuple[Imported, set[str]]:
    """The export with one value changed: what the import says, and what is there then."""
    rows = shelf.table.to_pylist()
    next(row for row in rows if all(row[name] == said for name, said in which.items()))[column] = value
    pq.write_table(pa.Table.from_pylist(rows, shelf.table.schema), tmp_path / "bad.parquet")
    collection = next(shelf.collections)
    done = shelf.there.import_(tmp_path / "bad.parquet", collection)
    assert not reconcile(shelf.there._parts, collection).counts
    return done, {name for name, *_ in held(shelf.there, collection)}


@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        ("dense", [1.0, float("nan"), 0.0, 0.0], "not finite"),
        ("dense", [0.0, 0.0, 0.0, 0.0], "zero"),
        ("dense", [1.0, 0.0], "of 2 numbers, not of 4"),
        ("dense", [], "of 0 numbers"),
        ("sparse", [3, 3], "twice"),
        ("sparse", [3, 70], "beyond"),
        ("external_id", "", "external id"),
        ("external_id", None, "external id"),
        ("digest", "../../etc/passwd", "digest"),
        ("size", -1, "size"),
        ("ordinal", None, "ordinal"),
        ("content", "smell", "content"),
        ("source", "tea leaves", "source"),
        ("modality", "film", "modality"),
        ("media_type", "text", "media type"),
        ("metadata", "{", "JSON"),
        ("metadata", '{"price": "much"}', "price"),
        ("metadata", "[1]", "object"),
        ("span_end", None, "span"),
    ],
)
def test_a_bad_row_is_refused_by_name_and_the_others_land(
    shelf: Shelf, tmp_path: Path, what: str, value: Any, message: str
) -> None:
    column = {"dense": shelf.dense, "sparse": f"{shelf.sparse}_indices"}.get(what, what)
    done, there = taken_in(shelf, tmp_path, column, value, external_id="cat")
    [problem] = done.refused
    assert message in problem.message
    assert problem.name.startswith("cat") or what == "external_id"
    assert there == {"long", "none", "red.png"}


def test_one_bad_segment_refuses_its_asset_whole(shelf: Shelf, tmp_path: Path) -> None:
    done, there = taken_in(shelf, tmp_path, shelf.dense, [0.0] * 4, external_id="long", ordinal=1)
    assert [problem.kind for problem in done.refused] == ["BadManifest"]
    assert there == {"cat", "none", "red.png"}


def test_rows_of_one_asset_that_do_not_lie_together_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    rows = shelf.table.to_pylist()
    rows.append(rows[0])
    pq.write_table(pa.Table.from_pylist(rows, shelf.table.schema), tmp_path / "bad.parquet")
    done = shelf.there.import_(tmp_path / "bad.parquet", next(shelf.collections))
    assert [problem.message.partition(": ")[2][:20] for problem in done.refused] == ["its name came before"]
    assert sum(done.outcomes.values()) == 4


@given(at=st.integers(0, 1 << 20), byte=st.integers(1, 255))
def test_a_damaged_export_gives_a_fault_or_rows(shelf: Shelf, at: int, byte: int) -> None:
    written = io.BytesIO()
    pq.write_table(shelf.table, written)
    damaged = bytearray(written.getvalue())
    damaged[at % len(damaged)] ^= byte
    with suppress(CorruptMedia, BadManifest):
        assert len(list(Reader(io.BytesIO(damaged)))) <= 10_000
