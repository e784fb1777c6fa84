"""Files to points: one bad file costs one file, an outage costs nothing, and twice is once."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BlobsDown, CatalogueDown, StoreDown
from core.fields import Fields, FieldType
from core.points import Stored
from core.records import Claim, Outcome, State
from core.runtime.wiring import Parts
from core.stores.memory import MemoryStore
from core.types import AssetId, Content, Tenant
from ingest.sources.manifest import Inline, Item
from ingest.sources.paths import items
from tests.doubles import ColourEncoder, Flaky, WordEncoder, toy_parts
from tests.flow.promises import ME, check, upkeep
from tests.photos import photo
from workers import indexing
from workers.collections import ensure
from workers.indexing import Tally, index_batch
from workers.intake import Intake, register
from workers.lanes import Lanes
from workers.removal import remove
from workers.upkeep import sweep


def embedded(data: Path, **more: Any) -> Parts:
    """Toy parts over the reference store."""
    parts = toy_parts(data, **more)
    parts.__dict__["store"] = MemoryStore()
    return parts


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return embedded(tmp_path / "data")


def register_all(parts: Parts, given: Sequence[Item] | Path, *, fields: Fields | None = None) -> Intake:
    """Registered, handed on to nobody."""
    listed = items([given]) if isinstance(given, Path) else given
    return register(parts, ME, ensure(parts, "c", fields), listed, lambda _collection, _ids: None)


def pending(parts: Parts) -> list[AssetId]:
    return parts.catalogue.missing("c", limit=10_000)


def index_all(parts: Parts) -> Tally:
    return index_batch(parts, "c", pending(parts))


def ingest(parts: Parts, given: Sequence[Item] | Path, *, fields: Fields | None = None) -> Tally:
    register_all(parts, given, fields=fields)
    return index_all(parts)


def points(parts: Parts) -> list[Stored]:
    return parts.store.scroll(parts.catalogue.serving("c"), limit=10_000)


def states(parts: Parts) -> dict[str, State]:
    return {asset.external_id: state for asset, state in parts.catalogue.assets(ME, "c", limit=10_000)}


def found(parts: Parts) -> set[str]:
    return {str(point.payload["external_id"]) for point in points(parts)}


def blob_files(parts: Parts) -> list[Path]:
    return [path for path in (parts.settings.data / "blobs").rglob("*") if path.is_file()]


def texts(count: int, word: str = "red") -> list[Item]:
    return [Inline(f"t{i:03}", f"{word} number {i}") for i in range(count)]


def test_one_truncated_picture_costs_one_picture(parts: Parts, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for seed in range(5):
        (folder / f"good-{seed}.jpg").write_bytes(photo("JPEG", 200, 160, seed=seed))
    whole = photo("JPEG", 200, 160, seed=9, quality=95)
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    tally = ingest(parts, folder)
    assert (tally.indexed, tally.failed) == (5, 1)
    assert states(parts).pop("cut.jpg") is State.FAILED
    assert found(parts) == {f"good-{seed}.jpg" for seed in range(5)}
    (failure,) = parts.catalogue.failures(ME, "c")
    assert (failure.external_id, failure.kind, failure.retry_at) == ("cut.jpg", "CorruptMedia", None)
    check(parts)


def test_a_text_that_breaks_the_model_is_alone_in_quarantine(parts: Parts) -> None:
    given = [*texts(15), Inline("bad", "poison"), *texts(30)[15:]]
    register_all(parts, given)
    tally = index_all(parts)
    assert (tally.indexed, tally.failed) == (30, 1)
    assert {name for name, state in states(parts).items() if state is State.FAILED} == {"bad"}
    (failure,) = parts.catalogue.failures(ME, "c")
    assert failure.kind == "EncoderBroke"
    assert "the model choked" in failure.message
    assert failure.retry_at is None
    check(parts)
    assert sweep(parts, lambda *_: None) == 0, "what fails every time is not tried again"


def test_several_bad_ones_anywhere_in_a_batch_are_each_alone(parts: Parts) -> None:
    bad = {0, 1, 7, 16, 30, 31}
    given = [Inline(f"t{i}", "poison" if i in bad else f"red {i}") for i in range(32)]
    tally = ingest(parts, given)
    assert (tally.indexed, tally.failed) == (26, 6)
    assert found(parts) == {f"t{i}" for i in range(32) if i not in bad}
    check(parts)


def test_a_failure_is_tried_again_when_it_is_forgiven(parts: Parts) -> None:
    ingest(parts, [Inline("bad", "poison")])
    assert states(parts) == {"bad": State.FAILED}
    inner: Any = parts.encoders.of_profile("toy")[0]
    inner._inner.poison = "nothing any more"
    parts.catalogue.forgive(ME, "c")
    upkeep(parts)
    assert states(parts) == {"bad": State.INDEXED}
    assert parts.catalogue.failures(ME, "c") == []


def test_indexing_twice_is_indexing_once(parts: Parts) -> None:
    ingest(parts, texts(10))
    before = [(point.id, point.payload) for point in points(parts)]
    again = register_all(parts, texts(10))
    assert again.outcomes == {Outcome.UNCHANGED: 10}
    assert pending(parts) == []
    assert [(point.id, point.payload) for point in points(parts)] == before


def comparable(parts: Parts) -> dict[tuple[str, int], dict[str, Any]]:
    """Points by what a person calls them, without the ids that are drawn."""
    drawn = ("asset",)
    out: dict[tuple[str, int], dict[str, Any]] = {}
    for point in points(parts):
        key = (point.payload["external_id"], point.payload["ordinal"])
        assert key not in out, "a segment has two points"
        out[key] = {name: value for name, value in point.payload.items() if name not in drawn}
    return out


@st.composite
def portions(draw: st.DrawFn) -> tuple[list[Item], list[list[Item]]]:
    """A set of texts, and the same set in overlapping portions in any order."""
    words = st.sampled_from(["red", "green", "blue", "cat", "poison", "红色", "a " * 700])
    said = draw(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(words, min_size=1, max_size=4), min_size=1))
    whole: list[Item] = [Inline(name, " ".join(body), {"n": len(body)}) for name, body in said.items()]
    some = st.lists(st.sampled_from(whole), max_size=6, unique_by=lambda item: item.external_id)
    cut = draw(st.lists(some, max_size=4))
    return whole, [*cut, draw(st.permutations(whole))]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Parts]:
    """Makes parts with a collection that is empty."""
    template = tmp_path_factory.mktemp("template") / "data"
    parts = embedded(template)
    ensure(parts, "c")
    parts.close()

    def make() -> Parts:
        data = tmp_path_factory.mktemp("copy") / "data"
        shutil.copytree(template, data)
        made = embedded(data)
        made.store.create(made.catalogue.serving("c"))
        return made

    return make


@settings(max_examples=8)  # each makes two catalogues on disk
@given(portions())
def test_any_portions_in_any_order_twice_give_the_same_points(
    fresh: Callable[[], Parts], given: tuple[list[Item], list[list[Item]]]
) -> None:
    whole, cut = given
    one, other = fresh(), fresh()
    try:
        ingest(one, whole)
        ids = {asset.external_id: asset.id for asset, _ in one.catalogue.assets(ME, "c")}
        before = [(point.id, point.payload) for point in points(one)]
        ingest(one, whole)
        assert [(point.id, point.payload) for point in points(one)] == before
        assert {asset.external_id: asset.id for asset, _ in one.catalogue.assets(ME, "c")} == ids
        for portion in cut:
            ingest(other, portion)
        assert comparable(other) == comparable(one)
        assert states(other) == states(one)
        check(one)
        check(other)
    finally:
        one.close()
        other.close()


def test_while_the_store_is_down_no_attempt_is_burnt(parts: Parts) -> None:
    down = True

    def before(name: str) -> None:
        if down and name == "upsert":
            raise StoreDown

    real = parts.store
    parts.__dict__["store"] = Flaky(real, before)
    register_all(parts, texts(8))
    for _ in range(parts.settings.max_attempts + 3):
        with pytest.raises(StoreDown):
            index_all(parts)
    assert set(states(parts).values()) == {State.PENDING}
    assert parts.catalogue.failures(ME, "c") == []
    assert parts.catalogue.holders() == []
    parts.catalogue.quarantine()
    down = False
    assert index_all(parts).indexed == 8
    check(parts)


@pytest.mark.parametrize(("part", "fault"), [("blobs", BlobsDown), ("store", StoreDown), ("catalogue", CatalogueDown)])
def test_an_outage_of_any_part_in_the_middle_is_made_good_by_the_sweep(
    part: str, fault: type[Exception], parts: Parts
) -> None:
    calls, down = 0, False

    def before(_name: str) -> None:
        nonlocal calls
        calls += down
        if down and calls >= 3:
            raise fault

    real = getattr(parts, part)
    register_all(parts, texts(8))
    parts.__dict__[part] = Flaky(real, before)
    down = True
    with pytest.raises(fault):
        index_all(parts)
    down = False
    upkeep(parts)
    assert set(states(parts).values()) == {State.INDEXED}
    check(parts)


def batches(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The external ids of every batch that is worked on, from now on."""
    seen: list[list[str]] = []
    real = indexing._index

    def watched(parts: Parts, collection: Any, claims: Sequence[Claim]) -> Tally:
        seen.append(sorted(claim.asset.external_id for claim in claims))
        return real(parts, collection, claims)

    monkeypatch.setattr(indexing, "_index", watched)
    return seen


def test_what_a_worker_died_over_is_tried_alone(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    register_all(parts, texts(3))
    died = parts.catalogue.claim("c", worker="host/1/1/1", lease=timedelta(hours=1), limit=10)
    assert len(died) == 3
    parts.catalogue.expire("host/1/1/1")
    register_all(parts, [Inline("fresh-a", "red"), Inline("fresh-b", "red")])
    seen = batches(parts, monkeypatch)
    assert index_all(parts).indexed == 5
    assert sorted(seen) == [["fresh-a", "fresh-b"], ["t000"], ["t001"], ["t002"]]
    check(parts)


def test_what_kills_its_worker_every_time_is_left_to_a_person(parts: Parts) -> None:
    register_all(parts, [Inline("killer", "red"), Inline("good", "green")])
    killer = parts.catalogue.asset(ME, "c", "killer").id
    for at in range(parts.settings.max_attempts):
        (claim,) = parts.catalogue.claim("c", worker=f"h/{at}/1/1", lease=timedelta(hours=1), limit=1, ids=[killer])
        assert claim.attempt == at + 1
        parts.catalogue.expire(f"h/{at}/1/1")
    upkeep(parts)
    assert states(parts) == {"killer": State.FAILED, "good": State.INDEXED}
    (failure,) = parts.catalogue.failures(ME, "c")
    assert failure.attempts == parts.settings.max_attempts
    check(parts)


def test_a_lease_that_another_holds_is_left_alone(parts: Parts) -> None:
    register_all(parts, texts(3))
    held = parts.catalogue.asset(ME, "c", "t001").id
    everything = pending(parts)
    parts.catalogue.claim("c", worker="elsewhere/1/1/1", lease=timedelta(hours=1), limit=1, ids=[held])
    assert index_batch(parts, "c", everything).indexed == 2
    assert states(parts)["t001"] is State.WORKING


def test_a_message_that_comes_twice_or_late_does_nothing(parts: Parts) -> None:
    register_all(parts, texts(3))
    ids = pending(parts)
    assert index_batch(parts, "c", ids).indexed == 3
    assert index_batch(parts, "c", ids).indexed == 0
    remove(parts, ME, "c", ids)
    assert index_batch(parts, "c", ids).indexed == 0
    assert points(parts) == []


def test_the_same_bytes_are_stored_once(parts: Parts) -> None:
    ingest(parts, [Inline("a", "same"), Inline("b", "same"), Inline("c", "other")])
    assert len(blob_files(parts)) == 2
    assert found(parts) == {"a", "b", "c"}


def test_a_removed_assets_bytes_are_gone_and_shared_ones_stay(parts: Parts) -> None:
    ingest(parts, [Inline("a", "same"), Inline("b", "same"), Inline("c", "other")])
    same, other = (parts.catalogue.asset(ME, "c", name).digest for name in ("a", "c"))
    ids = {name: parts.catalogue.asset(ME, "c", name).id for name in "abc"}
    assert remove(parts, ME, "c", [ids["a"], ids["c"]]) == 2
    assert parts.blobs.has(same)
    assert not parts.blobs.has(other)
    assert found(parts) == {"b"}
    assert remove(parts, ME, "c", [ids["a"], ids["b"]]) == 1
    assert blob_files(parts) == []
    assert points(parts) == []


def test_another_tenant_keeps_the_bytes_it_shares(parts: Parts) -> None:
    ingest(parts, [Inline("a", "same")])
    theirs = Tenant("other")
    register(parts, theirs, ensure(parts, "c"), [Inline("a", "same")], lambda c, ids: _index(parts, c, ids))
    digest = parts.catalogue.asset(ME, "c", "a").digest
    remove(parts, ME, "c", [parts.catalogue.asset(ME, "c", "a").id])
    assert parts.blobs.has(digest)
    assert {point.payload["tenant"] for point in points(parts)} == {"other"}


def _index(parts: Parts, collection: str, ids: Sequence[AssetId]) -> None:
    index_batch(parts, collection, ids)


def test_a_replaced_asset_is_found_as_it_is_now_only(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red " * 900)])
    many = len(points(parts))
    assert many > 1
    register_all(parts, [Inline("a", "blue")])
    assert index_all(parts).indexed == 1
    (point,) = points(parts)
    assert (point.payload["text"], point.payload["generation"]) == ("blue", 2)
    check(parts)


def test_what_was_removed_can_be_added_again(parts: Parts) -> None:
    ingest(parts, [Inline("a", "red"), Inline("b", "red")])
    remove(parts, ME, "c", [parts.catalogue.asset(ME, "c", "a").id])
    assert register_all(parts, [Inline("a", "red")]).outcomes == {Outcome.ADDED: 1}
    index_all(parts)
    assert found(parts) == {"a", "b"}
    assert states(parts) == {"a": State.INDEXED, "b": State.INDEXED}
    check(parts)


def test_a_change_of_metadata_alone_reaches_the_points(parts: Parts) -> None:
    fields = {"kind": FieldType.KEYWORD}
    ingest(parts, [Inline("a", "red", {"kind": "x"}), Inline("b", "red", {"kind": "x"})], fields=fields)
    again = register_all(parts, [Inline("a", "red", {"kind": "y"}), Inline("b", "red", {"kind": "x"})])
    assert again.outcomes == {Outcome.CHANGED: 1, Outcome.UNCHANGED: 1}
    assert index_all(parts).indexed == 1
    said = {point.payload["external_id"]: point.payload["metadata"] for point in points(parts)}
    assert said == {"a": {"kind": "y"}, "b": {"kind": "x"}}
    check(parts)


def test_a_manifest_gives_names_and_metadata(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(photo())
    lines: list[dict[str, Any]] = [
        {"path": "one.jpg", "id": "photo 1", "metadata": {"kind": "photo", "at": "2026-01-31T12:00:00+08:00"}},
        {"text": "a red cat", "metadata": {"kind": "note", "anything": {"deep": [1, 2]}}},
        {"path": "missing.jpg"},
        {"text": "x", "id": "wrong", "metadata": {"at": "not a date"}},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join([*map(json.dumps, lines), "{not json"]))
    fields = {"kind": FieldType.KEYWORD, "at": FieldType.DATETIME}
    intake = register_all(parts, manifest, fields=fields)
    assert intake.outcomes == {Outcome.ADDED: 2}
    assert sorted((p.name, p.kind) for p in intake.refused) == [
        ("", "BadManifest"),
        ("missing.jpg", "NoSuchPath"),
        ("wrong", "BadMetadata"),
    ]
    index_all(parts)
    said = {point.payload["external_id"]: point.payload["metadata"] for point in points(parts)}
    assert said.pop("photo 1") == {"kind": "photo", "at": "2026-01-31T04:00:00+00:00"}
    (text,) = said.values()
    assert text == {"kind": "note", "anything": {"deep": [1, 2]}}


def test_bytes_that_vanish_between_registering_and_the_row_are_stored_again(parts: Parts) -> None:
    """As when the last other asset with these bytes is removed in between."""
    real, gone = parts.blobs, 0

    def before(name: str) -> None:
        nonlocal gone
        if name == "has" and not gone:
            gone = 1
            for path in blob_files(parts):
                path.unlink()

    parts.__dict__["blobs"] = Flaky(real, before)
    ingest(parts, [Inline("a", "red")])
    assert gone
    check(parts)
    assert states(parts) == {"a": State.INDEXED}


def test_an_asset_whose_bytes_were_lost_fails_alone_and_says_what_to_do(parts: Parts) -> None:
    register_all(parts, texts(3))
    digest = parts.catalogue.asset(ME, "c", "t001").digest
    parts.blobs.discard(digest)
    tally = index_all(parts)
    assert (tally.indexed, tally.failed) == (2, 1)
    (failure,) = parts.catalogue.failures(ME, "c")
    assert failure.external_id == "t001"
    assert "ingest the file again" in failure.message


def run_lanes(parts: Parts, given: Sequence[Item]) -> Lanes:
    with Lanes(parts) as lanes:
        register(parts, ME, ensure(parts, "c"), given, lanes.submit)
        lanes.drain()
    return lanes


def test_many_lanes_give_what_one_gives(tmp_path: Path) -> None:
    given = [*texts(40), Inline("bad", "poison"), *texts(60, "blue")[40:]]
    one, four = embedded(tmp_path / "one", lanes=1, batch=7), embedded(tmp_path / "four", lanes=4, batch=7)
    tallies = [run_lanes(each, given).tally for each in (one, four)]
    assert [(tally.indexed, tally.failed) for tally in tallies] == [(60, 1)] * 2
    assert comparable(one) == comparable(four)
    check(four)


def test_what_a_lane_raises_is_heard_and_the_rest_is_left_for_the_sweep(parts: Parts) -> None:
    calls = 0

    def before(name: str) -> None:
        nonlocal calls
        calls += name == "upsert"
        if calls == 2:
            raise StoreDown("gone away")

    real = parts.store
    parts.__dict__["store"] = Flaky(real, before)
    with pytest.raises(StoreDown, match="gone away"):
        run_lanes(parts, texts(100))
    parts.__dict__["store"] = real
    upkeep(parts)
    assert set(states(parts).values()) == {State.INDEXED}
    check(parts)


def test_leaving_lanes_by_an_exception_hands_back_what_was_not_begun(parts: Parts) -> None:
    def interrupted() -> None:
        with Lanes(parts) as lanes:
            register(parts, ME, ensure(parts, "c"), texts(64), lanes.submit)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert parts.catalogue.holders() == []
    upkeep(parts)
    check(parts)
    assert set(states(parts).values()) == {State.INDEXED}


def test_the_encoder_is_given_whole_batches(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    for kind in (ColourEncoder, WordEncoder):
        real: Callable[..., Any] = kind.encode

        def watched(self: Any, contents: Sequence[Content], real: Callable[..., Any] = real) -> Any:
            sizes.append(len(contents))
            return real(self, contents)

        monkeypatch.setattr(kind, "encode", watched)
    ingest(parts, texts(20))
    assert [size for size in sizes if size > 1] == [20, 20]


def test_a_stream_by_the_blob_store_is_what_was_given(parts: Parts) -> None:
    data = "红色 red".encode()
    ingest(parts, [Inline("a", data.decode())])
    with parts.blobs.open(parts.catalogue.asset(ME, "c", "a").digest) as source:
        assert io.BytesIO(source.read()).getvalue() == data
