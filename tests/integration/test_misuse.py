"""What clumsy users and unset variables do, found by trying."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import BadField, BadFilter, CatalogueBroken, Misconfigured
from core.fields import parse_fields
from core.filters import Exists, Filter, Not, check
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from quiver import Quiver
from retrieval.expression import parse
from tests.doubles import toy_parts
from workers.app import make_app


def test_a_data_folder_is_a_path_whatever_is_in_its_name(tmp_path: Path) -> None:
    for name in ("a?1", "a?2", "100%25#x=1&y"):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{name[-1]}.txt").write_text("red")
        with Quiver(toy_parts(tmp_path / name)) as quiver:
            quiver.ingest(tmp_path / "files" / f"{name[-1]}.txt", collection="c")
            assert [hit.external_id for hit in quiver.search("c", "red").hits] == [f"{name[-1]}.txt"]
        assert (tmp_path / name / "catalogue.db").is_file()


def test_an_old_failure_does_not_spoil_a_new_ingest(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("poison")
    (tmp_path / "good.txt").write_text("red")
    with Quiver(toy_parts(tmp_path / "data")) as quiver:
        assert not quiver.ingest(tmp_path / "bad.txt", collection="c").ok
        assert quiver.ingest(tmp_path / "good.txt", collection="c").ok
        assert not quiver.ingest(tmp_path / "bad.txt", collection="c").ok, "named again, it is reported again"


def test_a_field_declared_twice_is_an_error() -> None:
    with pytest.raises(BadField, match="declared twice"):
        parse_fields(["kind=keyword", "kind=integer"])


def test_a_setting_that_is_empty_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVER_TENANT", "")
    with pytest.raises(Misconfigured, match="QUIVER_TENANT is empty"):
        load_settings()


@pytest.mark.parametrize("levels", [100, 3000, 30_000])
def test_a_filter_nested_too_deeply_is_an_error(levels: int) -> None:
    fields = parse_fields(["kind=keyword"])
    with pytest.raises(BadFilter, match=r"nested|cannot read"):
        parse("not " * levels + "kind = a", fields)
    where: Filter = Exists("kind")
    for _ in range(levels):
        where = Not(where)
    with pytest.raises(BadFilter, match="nested"):
        check(where, fields)


def test_a_damaged_catalogue_is_not_called_absent(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_bytes(b"no database " * 1000)
    with Quiver(toy_parts(tmp_path)) as quiver, pytest.raises(CatalogueBroken, match="restore a copy"):
        quiver.status()


@pytest.mark.parametrize(
    ("setting", "value", "use"),
    [
        ("database_url", "mysql://x/y", lambda parts: parts.catalogue),
        ("qdrant_url", "127.0.0.1", lambda parts: parts.store),
        ("broker_url", "garbage", lambda parts: make_app(parts.settings)),
    ],
)
def test_an_address_that_cannot_be_meant_is_the_operators_to_correct(
    setting: str, value: str, use: Callable[[Parts], object], tmp_path: Path
) -> None:
    parts = toy_parts(tmp_path, **{setting: value})
    with pytest.raises(Misconfigured, match="cannot be read: write"):
        use(parts)


def test_a_data_folder_that_is_a_file_is_the_operators_to_correct(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="is a file"):
        toy_parts(tmp_path / "file").catalogue.collections()
