"""The promises of `Catalogue` on looking many assets up, kept by SQLite and PostgreSQL alike."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import event

from core.catalogue.sql import SqlCatalogue
from tests.contract.catalogues import ME, OTHER, add, draft


def test_many_are_found_by_id_and_external_id_and_never_another_tenants(catalogue: SqlCatalogue) -> None:
    a, b, gone = add(catalogue, draft("a"), draft("b"), draft("gone"))
    [theirs] = add(catalogue, draft("theirs"), tenant=OTHER)
    catalogue.remove(ME, "c", [gone])
    asked = ["a", str(b), b.hex, str(b).upper(), "gone", str(gone), "theirs", str(theirs), "nobody", ""]
    assert catalogue.find(ME, "c", asked) == {"a": a, str(b): b, b.hex: b, str(b).upper(): b}
    assert catalogue.find(ME, "c", []) == {}


def test_an_external_id_that_is_spelt_like_an_id_is_found_when_no_asset_has_that_id(catalogue: SqlCatalogue) -> None:
    name = str(UUID(int=7))
    [asset] = add(catalogue, draft(name))
    assert catalogue.find(ME, "c", [name]) == {name: asset}
    [other] = add(catalogue, draft(str(asset)))
    assert catalogue.find(ME, "c", [str(asset)]) == {str(asset): asset}
    assert other != asset


def test_a_tenant_holds_the_bytes_of_what_it_has_and_no_others(catalogue: SqlCatalogue) -> None:
    [mine] = add(catalogue, draft("mine"))
    digest = draft("mine").digest
    assert catalogue.holds(ME, digest)
    assert not catalogue.holds(OTHER, digest)
    catalogue.remove(ME, "c", [mine])
    assert not catalogue.holds(ME, digest)


def test_the_newest_come_first_in_pages_without_gap_or_double(catalogue: SqlCatalogue) -> None:
    for batch in range(3):  # those of one batch share their moment
        add(catalogue, *(draft(f"{batch}{at}") for at in range(3)))
    add(catalogue, draft("theirs"), tenant=OTHER)
    catalogue.remove(ME, "c", [catalogue.find(ME, "c", ["11"])["11"]])
    whole = catalogue.newest(ME, "c")
    assert [one.external_id[0] for one in whole] == ["2"] * 3 + ["1"] * 2 + ["0"] * 3
    paged, before = [], None
    while page := catalogue.newest(ME, "c", before=before, limit=2):
        paged += page
        before = page[-1].created_at, page[-1].id
    assert paged == whole


def test_the_newest_are_read_from_an_index_and_not_sorted(catalogue: SqlCatalogue) -> None:
    add(catalogue, draft("a"))
    asked: list[tuple[str, Any]] = []
    event.listen(catalogue.engine, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
    [one] = catalogue.newest(ME, "c")
    assert catalogue.newest(ME, "c", before=(one.created_at, one.id)) == []
    pages = [said for said in asked if "ORDER BY" in said[0]]
    assert len(pages) == 2
    if catalogue.engine.dialect.name == "postgresql":
        return  # which scans so small a table whatever its indexes
    for statement, bound in pages:
        with catalogue.engine.connect() as conn:
            plan = str(conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", bound).all())
        assert "created_at_id" in plan
        assert "TEMP B-TREE" not in plan


def test_what_every_search_looks_up_is_one_statement_each_and_leaves_the_connection_as_it_was(
    catalogue: SqlCatalogue,
) -> None:
    asked: list[str] = []
    event.listen(catalogue.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    found, serving = catalogue.collection("c"), catalogue.serving("c")
    assert (found.name, serving.collection) == ("c", "c")
    assert [said.split()[0] for said in asked] == ["SELECT", "SELECT"]
    assert add(catalogue, draft("later")), "it writes in a transaction as before"
    with catalogue.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE collections SET profile = 'another'")
        conn.rollback()
    assert catalogue.collection("c") == found, "a transaction is still one"
