"""What each source gave."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from core.errors import CatalogueBroken, CatalogueDown
from core.types import AssetId
from ingest.sources.ledger import Given, Ledger
from ingest.sources.seen import Seen


def given(name: str, at: int = 1) -> Given:
    return Given(name, f"mark {at}", AssetId(UUID(int=at)), at)


def test_what_was_kept_is_known_after_the_file_is_opened_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "ledger.db")
    ledger.keep("t", "s", [given("a", 1), given("b", 2)])
    ledger.keep("t", "s", [given("b", 3)])
    ledger.close()
    ledger.close()
    again = Ledger(tmp_path / "new" / "ledger.db")
    assert again.known("t", "s", ["a", "b", "c"]) == {"a": given("a", 1), "b": given("b", 3)}
    assert list(again.all("t", "s")) == [given("a", 1), given("b", 3)]
    again.forget("t", "s", ["a", "c"])
    assert list(again.all("t", "s")) == [given("b", 3)]
    again.close()


def test_a_thing_belongs_to_the_source_that_gave_it_last(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.keep("t", "one", [given("a"), given("b")])
    ledger.keep("t", "two", [given("a")])
    ledger.keep("other", "one", [given("a")])
    assert [one.external_id for one in ledger.all("t", "one")] == ["b"]
    assert [one.external_id for one in ledger.all("t", "two")] == ["a"]
    assert not ledger.known("t", "one", ["a"])
    ledger.forget("t", "one", ["a"])
    assert ledger.known("t", "two", ["a"])
    assert ledger.known("other", "one", ["a"])
    ledger.close()


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "ledger.db"), Ledger(tmp_path / "ledger.db")
    one.keep("t", "s", [given("a")])
    other.keep("t", "s", [given("b")])
    assert [each.external_id for each in one.all("t", "s")] == ["a", "b"]
    one.close()
    other.close()


def test_a_file_that_is_none_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(CatalogueBroken, match="delete it"):
        Ledger(tmp_path / "ledger.db")
    with pytest.raises(CatalogueDown, match="cannot be used"):
        Ledger(tmp_path)
    with pytest.raises(CatalogueDown, match="cannot be used"):
        Ledger(tmp_path / "ledger.db" / "x.db")


def test_names_are_seen_once_with_their_first_place() -> None:
    seen = Seen()
    assert seen.first("a", "here") is None
    assert seen.first("a", "there") == "here"
    assert (seen.has("a"), seen.has("b")) == (True, False)
    seen.close()
    seen.close()
