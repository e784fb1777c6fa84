"""Erasing through both doors: the embedded facade and a server's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.catalogue.sql import SqlCatalogue
from core.errors import BadQuery, NoSuchAsset, NoSuchCollection, NoSuchErasure
from core.runtime.wiring import Parts
from core.types import Tenant
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, serving

Door = Quiver | RemoteQuiver
ANN = Tenant("ann")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = toy_parts(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Door]:
    if request.param == "embedded":
        yield Quiver(parts, tenant=ANN, owner=ANN)
    else:
        with serving(parts) as base, Quiver.connect(base, key_for(parts, ANN)) as remote:
            yield remote


@pytest.fixture
def filled(door: Door) -> Door:
    door.create("c", fields={"kind": "keyword"})
    for name, kind in (("a", "x"), ("b", "y"), ("d", "x")):
        door.add("c", text=f"red {name}", id=name, metadata={"kind": kind})
    door.wait("c", timeout=20)
    return door


def names(door: Door) -> list[str]:
    return sorted(hit.external_id for hit in door.search("c", "red").hits)


def test_what_is_named_is_erased_and_there_is_a_receipt(filled: Door) -> None:
    asset = filled.show("c", "a").asset.id
    seen: list[tuple[int, int]] = []
    planned = filled.erase("c", "a", asset, dry_run=True)
    assert (planned.assets, planned.points, planned.receipts) == (1, 1, ())
    done = filled.erase("c", "a", "nobody", reason="asked by letter", on_progress=lambda *now: seen.append(now))
    assert (done.assets, done.points, done.unknown, done.verified, seen) == (1, 1, ("nobody",), True, [(1, 1)])
    [made] = done.receipts
    assert (made.tenant, made.collection, made.receipt["reason"]) == (ANN, "c", "asked by letter")
    assert [one["asset"] for one in made.receipt["assets"]] == [str(asset)]
    assert "." not in json.dumps([made.collection, made.receipt["indexes"]]), "no mark of the tenant's"
    assert names(filled) == ["b", "d"]
    with pytest.raises(NoSuchAsset):
        filled.show("c", "a")
    assert filled.erasures() == [made] == [filled.erasure(1)]
    assert filled.erasures(after=1) == []


def test_where_nothing_was_there_the_answer_and_the_receipt_say_so(filled: Door) -> None:
    assert filled.erase("c", "nobody", dry_run=True).nothing
    done = filled.erase("c", "nobody", reason="asked by letter")
    assert (done.assets, done.points, done.nothing, done.unknown, done.verified) == (0, 0, True, ("nobody",), True)
    [made] = done.receipts
    assert (made.receipt["outcome"], len(made.receipt["names"])) == ("nothing was there to erase", 1)
    there = filled.erase("c", "a")
    assert (there.nothing, there.receipts[0].receipt["outcome"]) == (False, "erased")
    assert filled.verify_erasures().ok


def test_a_filter_or_everything_is_erased(filled: Door) -> None:
    assert filled.erase("c", where="kind = x").assets == 2
    assert names(filled) == ["b"]
    done = filled.erase(None, everything=True)
    assert [each.receipt["whole"] for each in done.receipts] == [True]
    assert names(filled) == []
    assert [each.number for each in filled.erasures()] == [1, 2]


def test_the_chain_is_verified_and_so_are_receipts_that_were_kept(filled: Door, parts: Parts) -> None:
    for name in ("a", "b"):
        filled.erase("c", name)
    kept = filled.erasures()
    said = filled.verify_erasures(kept)
    assert (said.ok, said.receipts, said.hash, said.open) == (True, 2, kept[1].hash, 0)
    forged = replace(kept[0], receipt={**kept[0].receipt, "reason": "none"})
    assert "was changed" in str(filled.verify_erasures([forged]).wrong)
    assert isinstance(parts.catalogue, SqlCatalogue)
    with parts.catalogue.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM erasures WHERE number = 2")
    assert "the book beside the catalogue has another receipt 2" in str(filled.verify_erasures().wrong)
    (parts.settings.data / "erasures.jsonl").unlink()
    assert filled.verify_erasures().ok, "of what is missing at the end nothing is left to tell"
    assert "receipt 2 that was kept is not in the chain" in str(filled.verify_erasures(kept).wrong)


def test_the_same_faults_come_from_both(filled: Door) -> None:
    for keys, more in (((), {}), (("a",), {"everything": True}), (("a",), {"where": "kind = x"})):
        with pytest.raises(BadQuery, match="say what to erase"):
            filled.erase("c", *keys, **more)
    with pytest.raises(BadQuery, match="name the collection"):
        filled.erase(None, "a")
    with pytest.raises(NoSuchCollection):
        filled.erase("nowhere", "a")
    with pytest.raises(NoSuchErasure):
        filled.erasure(7)
    with pytest.raises(BadQuery):
        filled.erase("c", "a", reason="x" * 501)
    assert names(filled) == ["a", "b", "d"]


def test_another_tenant_sees_and_erases_nothing_of_it(filled: Door, parts: Parts) -> None:
    asset = filled.show("c", "a").asset.id
    bob = Quiver(parts, tenant=Tenant("bob"), owner=Tenant("bob"))
    with pytest.raises(NoSuchCollection):
        bob.erase("c", asset)
    bob.create("c")
    assert bob.erase("c", asset).assets == 0
    bob.erase(None, everything=True)
    assert names(filled) == ["a", "b", "d"]
    filled.erase("c", "a")
    assert {each.tenant for each in bob.erasures()} == {"bob"}
    with pytest.raises(NoSuchErasure):
        bob.erasure(filled.erasures()[-1].number)
