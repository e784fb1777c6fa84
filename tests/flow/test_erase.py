"""Erased is erased: points, bytes and what names them, in every index; verified, told in a receipt, and again after a
restore."""

from __future__ import annotations

import io
import json
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any
from uuid import uuid4

import pytest

from core.errors import BadQuery, NoSuchAsset, Unavailable
from core.fields import parse_fields
from core.points import Points, Scope
from core.records import IndexState
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from ingest.sources.ledger import Given, Ledger
from ingest.sources.manifest import Inline
from quiver import Quiver
from retrieval.expression import parse
from tests.doubles import Flaky
from tests.flow.embedded import embedded, ingest, register_all
from tests.flow.promises import ME, check, upkeep
from workers import erase as erasing
from workers.collections import ensure, first_index
from workers.erase import Asked, erase, matching, replay, resume
from workers.erasure_receipt import salted
from workers.indexing import index_batch
from workers.intake import register
from workers.jobs import run_jobs

BOB = Tenant("bob")
ASKED = Asked(by="tests", reason="asked by letter")


def id_of(parts: Parts, name: str, tenant: Tenant = ME) -> AssetId:
    return parts.catalogue.asset(tenant, "c", name).id


def gone(parts: Parts, *names: str, **more: Any) -> Any:
    """Erase these; what the one receipt says."""
    [made] = erase(parts, ME, "c", ids=[id_of(parts, name) for name in names], asked=ASKED, **more)
    return dict(made.receipt)


def count(parts: Parts, index: str | None = None) -> int:
    chosen = (
        parts.catalogue.serving("c")
        if index is None
        else next(each for each in parts.catalogue.every_index() if each.id == index)
    )
    return parts.store.count(chosen, Scope(tenant=ME))


def blobs(parts: Parts) -> list[Path]:
    return [path for path in (parts.settings.data / "blobs").rglob("*") if path.is_file()]


def test_what_is_erased_is_in_no_index_and_no_blob_and_the_receipt_proves_it(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red " * 900), Inline("b", "green")])
    asset = parts.catalogue.asset(ME, "c", "a")
    said = gone(parts, "a")
    assert (count(parts), len(blobs(parts))) == (1, 1)
    with pytest.raises(NoSuchAsset):
        parts.catalogue.asset(ME, "c", "a")
    assert said["verified"] is True
    assert (said["by"], said["reason"], said["how"]) == ("tests", "asked by letter", "asset")
    [one] = said["assets"]
    assert one == {
        "asset": str(asset.id),
        "generation": 2,
        "digest": asset.digest,
        "name": salted(str(said["salt"]), "a"),
        "bytes": "erased",
    }
    [index] = said["indexes"]
    assert (index["points"], index["looked_for"], index["found"]) == (5, {"ids": 5, "vectors": 6}, 0)
    assert '"a"' not in json.dumps(said), "the name is not in it"
    assert parts.catalogue.erasings() == []
    check(parts)


def test_every_index_is_cleared_whatever_its_state_and_whether_or_not_it_is_listed(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red"), Inline("b", "green")])
    serving = parts.catalogue.serving("c")
    points = parts.store.of_assets(serving, [id_of(parts, "a"), id_of(parts, "b")])
    encoders = parts.encoders.of_profile("toy")
    for state, name in ((IndexState.RETIRED, "c-retired"), (None, "c-unlisted")):
        first = first_index(parts.catalogue.collection("c"), encoders)
        other = replace(first, id=name, state=state or IndexState.RETIRED)
        if state is not None:
            parts.catalogue.create_index(other)
        parts.store.create(other)
        parts.store.upsert(other, Points([p.id for p in points], [p.payload for p in points], {}))
    said = gone(parts, "a")
    told = {each["index"]: each for each in said["indexes"]}
    assert {name: (each["listed"], each["points"]) for name, each in told.items()} == {
        serving.id: (True, 1),
        "c-retired": (True, 1),
        "c-unlisted": (False, 1),
    }
    for name in told:
        left = parts.store.scroll(replace(serving, id=name))
        assert [point.payload["external_id"] for point in left] == ["b"]
    assert said["verified"] is False, "whoever does not know the spaces cannot search in them, and says so"
    assert any("c-unlisted" in each for each in said["unchecked"])


def test_the_same_bytes_of_another_tenant_are_kept(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red")])
    register(parts, BOB, ensure(parts, "c"), [Inline("a", "red")], lambda c, ids: void(index_batch(parts, c, ids)))
    said = gone(parts, "a")
    [one] = said["assets"]
    assert one["bytes"] == "kept: something else has the same"
    assert len(blobs(parts)) == 1
    theirs = parts.catalogue.asset(BOB, "c", "a")
    assert parts.blobs.has(theirs.digest)
    assert parts.store.count(parts.catalogue.serving("c"), Scope(tenant=BOB)) == 1


def void(_: object) -> None:
    """Nothing."""


def test_bytes_of_earlier_generations_go_too(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red")])
    ingest(parts, [Inline("a", "blue")])
    assert len(blobs(parts)) == 2
    gone(parts, "a")
    assert blobs(parts) == []


def test_a_sweep_erases_bytes_that_were_replaced(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red"), Inline("b", "red")])
    ingest(parts, [Inline("a", "blue")])
    upkeep(parts)
    assert len(blobs(parts)) == 2, "b has them still"
    ingest(parts, [Inline("b", "green")])
    upkeep(parts)
    assert {path.read_text() for path in blobs(parts)} == {"blue", "green"}
    check(parts)


def test_what_comes_in_again_is_another_asset_and_no_replay_touches_it(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red")])
    before = id_of(parts, "a")
    gone(parts, "a")
    ingest(parts, [Inline("a", "red")])
    assert id_of(parts, "a") != before
    assert replay(parts) == []
    assert count(parts) == 1
    check(parts)


@pytest.mark.parametrize("at", ["create", "upsert", "flush", "sign_all"])
def test_an_asset_erased_while_a_worker_is_at_it_is_never_found(parts: Parts, at: str, tmp_path: Path) -> None:
    """The worker is stopped just before each of its calls until the erasure waits for it."""
    register_all(parts, [Inline("a", "red " * 900)])
    ids = parts.catalogue.missing("c", limit=10)
    reached, go_on = Event(), Event()

    def before(name: str) -> None:
        if name == at and not reached.is_set():
            reached.set()
            assert go_on.wait(20)

    other = embedded(tmp_path / "data")
    other.__dict__["store"] = Flaky(parts.store, before)
    other.__dict__["catalogue"] = Flaky(other.catalogue, before)
    worker = Thread(target=lambda: void(index_batch(other, "c", ids)))
    worker.start()
    assert reached.wait(20)
    Timer(0.2, go_on.set).start()
    said = gone(parts, "a", patience=20)
    assert count(parts) == 0
    assert said["verified"] is True
    worker.join()
    assert count(parts) == 0
    assert blobs(parts) == []
    check(parts)
    other.close()


def test_an_erasure_that_cannot_wait_says_so_and_the_sweep_ends_it(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red")])
    ingest(parts, [Inline("b", "red")])
    register_all(parts, [Inline("a", "blue")])
    parts.catalogue.claim("c", worker="elsewhere/1/1/1", lease=timedelta(hours=1), limit=1)
    with pytest.raises(Unavailable, match="a worker is still at 1 of its assets"):
        gone(parts, "a", patience=0.1)
    assert count(parts) == 1, "what could be forgotten is"
    assert resume(parts) == 0
    assert len(parts.catalogue.erasings()) == 1
    parts.catalogue.expire("elsewhere/1/1/1")
    assert resume(parts) == 1
    [made] = parts.catalogue.erasures(ME)
    assert made.receipt["resumed"] is True
    assert made.receipt["indexes"][0]["looked_for"] == {"ids": 1, "vectors": 0}
    assert made.receipt["verified"] is False
    assert "the vectors were gone" in made.receipt["unchecked"][0]
    check(parts)


def test_points_that_a_late_worker_writes_while_it_is_examined_are_seen_and_go(parts: Parts) -> None:
    """It slept through its lease, woke up when all seemed done, and died before it took its points back."""
    ingest(parts, [Inline("a", "red")])
    index = parts.catalogue.serving("c")
    points = parts.store.of_assets(index, [id_of(parts, "a")])
    late = Points([p.id for p in points], [p.payload for p in points], {})
    wrote: list[str] = []
    real = parts.store

    def before(name: str) -> None:
        if name == "count" and not wrote:
            wrote.append(name)
            real.upsert(index, late)

    parts.__dict__["store"] = Flaky(real, before)
    said = gone(parts, "a")
    assert wrote
    assert said["verified"] is True
    assert real.scroll(index) == []


def test_if_points_cannot_be_made_to_go_there_is_no_receipt(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red")])
    real = parts.store

    class Stubborn:
        def __getattr__(self, name: str) -> object:
            return (lambda *_: None) if name == "forget" else getattr(real, name)

    parts.__dict__["store"] = Stubborn()
    with pytest.raises(Unavailable, match="written again and again"):
        gone(parts, "a")
    assert parts.catalogue.erasures(None) == []
    parts.__dict__["store"] = real
    assert resume(parts) == 1
    assert count(parts) == 0


@pytest.mark.parametrize("seeing", ["count", "scroll", "search"])
def test_each_look_finds_by_itself_what_is_still_there(parts: Parts, seeing: str) -> None:
    """Of the three, two are blind and nothing is deleted: the third sees it."""
    ingest(parts, [Inline("a", "red")])
    real = parts.store
    blind = {"count": lambda *_: 0, "scroll": lambda *_, **__: [], "search": lambda _, asked: [[] for _ in asked]}

    class Blind:
        def __getattr__(self, name: str) -> object:
            if name == "forget":
                return lambda *_: None
            return blind[name] if name in blind and name != seeing else getattr(real, name)

    parts.__dict__["store"] = Blind()
    with pytest.raises(Unavailable, match="written again and again"):
        gone(parts, "a")


def test_a_manifest_that_names_it_is_forgotten_and_a_job_that_would_bring_it_back_ends(parts: Parts) -> None:
    door = Quiver(parts)
    lines = [json.dumps({"text": f"red {n}", "id": f"t{n}"}) for n in range(4)]
    done = door.bulk("c", io.BytesIO("\n".join(lines[:2]).encode()))
    other = door.bulk("c", io.BytesIO(b'{"text": "blue", "id": "z"}'))
    assert done.job.id != other.job.id
    waiting = Quiver(parts, woken=lambda: None).bulk("c", io.BytesIO("\n".join(lines).encode()))
    said = gone(parts, "t1")
    assert said["traces"]["manifests"] == 2
    assert said["traces"]["jobs_ended"] == 1
    assert not parts.blobs.has(done.job.digest)
    assert parts.blobs.has(other.job.digest)
    run_jobs(parts, lambda *_: None)
    assert "an erasure" in str(door.job(waiting.job.id).job.error)
    assert [each.asset.external_id for each in door.assets("c")] == ["t0", "z"]
    assert b"red 1" not in b"".join(path.read_bytes() for path in blobs(parts))


def test_the_ledger_of_sources_forgets_it(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red")])
    asset, scope = id_of(parts, "a"), f"{ME}\0c"
    with closing(Ledger(parts.settings.data / "sources.db")) as ledger:
        ledger.keep(scope, "s", [Given("a", "m", asset, 1), Given("b", "m", AssetId(uuid4()), 1)])
        ledger.keep(scope, "t", [Given("moved-by-hand", "m", asset, 1)])
        ledger.keep(f"{BOB}\0c", "s", [Given("a", "m", AssetId(uuid4()), 1)])
    said = gone(parts, "a")
    assert said["traces"]["ledger_rows"] == 2
    with closing(Ledger(parts.settings.data / "sources.db")) as ledger:
        assert [each.external_id for each in ledger.all(scope, "s")] == ["b"]
        assert len(list(ledger.all(f"{BOB}\0c", "s"))) == 1
    assert b"moved-by-hand" not in (parts.settings.data / "sources.db").read_bytes()


def test_all_of_a_tenant_goes_and_nothing_of_another(parts: Parts) -> None:
    ingest(parts, [Inline(f"a{n}", f"red {n}") for n in range(5)])
    register(parts, BOB, ensure(parts, "c"), [Inline("b", "blue")], lambda c, ids: void(index_batch(parts, c, ids)))
    ids = [asset.id for asset, _ in parts.catalogue.assets(ME, "c")]
    seen: list[tuple[int, int]] = []
    erasing_batch = erasing.BATCH
    try:
        erasing.BATCH = 2
        made = erase(parts, ME, "c", ids=ids, whole=True, asked=ASKED, on_progress=lambda *now: seen.append(now))
    finally:
        erasing.BATCH = erasing_batch
    assert [len(each.receipt["assets"]) for each in made] == [2, 2, 1]
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert parts.catalogue.assets(ME, "c") == []
    assert len(blobs(parts)) == 1
    assert parts.store.count(parts.catalogue.serving("c"), Scope(tenant=BOB)) == 1


def test_what_a_filter_matches_is_what_the_catalogue_says(parts: Parts) -> None:
    declared = parse_fields({"kind": "keyword"})
    ingest(parts, [Inline("a", "red", {"kind": "x"}), Inline("b", "red", {"kind": "y"})], fields=declared)
    assert matching(parts, ME, "c", parse("kind = x", declared)) == [id_of(parts, "a")]


def test_a_reason_that_cannot_be_kept_is_refused_before_anything_is_done(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red")])
    for reason in ("x" * 501, "\0", "\ud800"):
        with pytest.raises(BadQuery, match="reason"):
            erase(parts, ME, "c", ids=[id_of(parts, "a")], asked=Asked(by="t", reason=reason))
    assert count(parts) == 1
