"""After an older copy of the catalogue, the index or the blobs was restored, erased is erased all the same."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.catalogue.sql import SqlCatalogue, open_catalogue
from core.erasing import broken
from core.errors import CatalogueBroken, Conflict, NoSuchAsset
from core.points import Points
from core.runtime.wiring import Parts
from ingest.sources.manifest import Inline
from quiver import Quiver
from tests.flow.embedded import embedded, ingest
from tests.flow.promises import ME, check, upkeep
from tests.flow.test_erase import blobs, count, gone, id_of
from workers import erase as erasing
from workers.erase import replay
from workers.erasure_book import NAME, book_of
from workers.jobs import run_jobs


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Parts]:
    """An erasure of `a`, of which the catalogue is then an older copy."""
    parts = embedded(tmp_path / "data")
    ingest(parts, [Inline("a", "red"), Inline("keep", "green")])
    index = parts.catalogue.serving("c")
    points = parts.store.of_assets(index, [id_of(parts, "a")])
    catalogue, blob = parts.settings.data / "catalogue.db", blobs(parts)
    Quiver(parts, woken=lambda: None).bulk("c", io.BytesIO(b'{"text": "red again", "id": "a"}'))
    parts.catalogue.close()
    shutil.copytree(parts.settings.data, tmp_path / "copy")
    gone(parts, "a")
    parts.catalogue.close()
    for path in parts.settings.data.glob("catalogue.db*"):
        path.unlink()
    for path in (tmp_path / "copy").glob("catalogue.db*"):
        shutil.copy(path, catalogue.parent)
    shutil.copytree(tmp_path / "copy" / "blobs", parts.settings.data / "blobs", dirs_exist_ok=True)
    parts.__dict__["catalogue"] = open_catalogue(catalogue)
    parts.store.upsert(index, Points([p.id for p in points], [p.payload for p in points], {}))
    assert len(blobs(parts)) == len(blob) + 1  # the manifest
    yield parts
    parts.close()


def is_clean(parts: Parts) -> None:
    with pytest.raises(NoSuchAsset):
        parts.catalogue.asset(ME, "c", "a")
    assert count(parts) == 1
    assert len(blobs(parts)) == 1
    assert broken(parts.catalogue.erasures(None)) is None
    check(parts)


def test_an_older_catalogue_is_erased_from_again_by_the_next_sweep(restored: Parts) -> None:
    upkeep(restored)
    is_clean(restored)
    first, again = restored.catalogue.erasures(None)
    assert (again.receipt["how"], again.receipt["reason"]) == ("replay", f"receipt {first.number}")
    assert again.receipt["assets"][0]["asset"] == first.receipt["assets"][0]["asset"]
    upkeep(restored)
    assert len(restored.catalogue.erasures(None)) == 2


def test_a_job_that_waited_in_the_older_catalogue_brings_nothing_back(restored: Parts) -> None:
    upkeep(restored)
    run_jobs(restored, lambda *_: None)
    [job] = restored.catalogue.jobs(ME, "c")
    assert "may name what was erased" in str(job.error)
    later = Quiver(restored, woken=lambda: None).bulk("c", io.BytesIO(b'{"text": "green again", "id": "b"}'))
    replay(restored)
    run_jobs(restored, lambda *_: None)
    assert restored.catalogue.job(ME, later.job.id).error is None
    assert {asset.external_id for asset, _ in restored.catalogue.assets(ME, "c", limit=9)} == {"keep", "b"}


def test_a_replay_does_it_at_once_and_twice_is_once(restored: Parts) -> None:
    [again] = replay(restored)
    is_clean(restored)
    assert again.receipt["how"] == "replay"
    assert replay(restored) == []


def test_a_replay_from_receipts_that_somebody_kept(restored: Parts) -> None:
    book = restored.settings.data / NAME
    kept = book_of(restored).all()
    book.unlink()
    assert restored.catalogue.erasures(None) == []
    assert len(replay(restored, kept)) == 1
    is_clean(restored)
    assert len(book.read_text().splitlines()) == 2


def test_what_came_in_under_the_name_since_the_restore_stays(restored: Parts) -> None:
    ingest(restored, [Inline("a", "blue")])
    ingest(restored, [Inline("a", "blue blue")])
    replay(restored)
    assert restored.catalogue.asset(ME, "c", "a").generation == 3
    assert count(restored) == 2
    check(restored)


def test_an_older_index_and_older_blobs_are_erased_from_again(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red"), Inline("keep", "green")])
    index = parts.catalogue.serving("c")
    points = parts.store.of_assets(index, [id_of(parts, "a")])
    gone(parts, "a")
    parts.blobs.put(io.BytesIO(b"red"))
    parts.store.upsert(index, Points([p.id for p in points], [p.payload for p in points], {}))
    assert len(replay(parts)) == 1
    is_clean(parts)
    assert replay(parts) == []


def test_a_book_that_was_changed_is_told_of_and_stops_nothing(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    ingest(parts, [Inline("a", "red"), Inline("b", "green")])
    gone(parts, "a")
    book = parts.settings.data / NAME
    book.write_text(book.read_text().replace("asked by letter", "asked by phone"))
    parts._others.clear()  # another process
    gone(parts, "b")
    assert "was changed" in caplog.text
    assert len(parts.catalogue.erasures(None)) == 2
    with pytest.raises(CatalogueBroken, match="was changed"):
        replay(parts)


def test_half_a_line_of_a_killed_writer_is_written_again(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red"), Inline("b", "green")])
    gone(parts, "a")
    book = parts.settings.data / NAME
    whole = book.read_bytes()
    book.write_bytes(whole[:-20])
    parts._others.clear()
    gone(parts, "b")
    assert book.read_bytes().startswith(whole)
    assert len(book.read_bytes().splitlines()) == 2


def test_a_book_of_another_catalogue_is_not_taken_over(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red"), Inline("b", "green")])
    gone(parts, "a")
    gone(parts, "b")
    assert isinstance(parts.catalogue, SqlCatalogue)
    with parts.catalogue.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM erasures")
    ingest(parts, [Inline("d", "red")])
    book = parts.settings.data / NAME
    aside = book.rename(book.with_suffix(".aside"))
    gone(parts, "d")
    aside.replace(book)
    with pytest.raises(Conflict, match="different stories from receipt 1"):
        erasing.catch_up(parts)
