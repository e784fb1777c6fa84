"""Files to points: one bad file costs one file, and twice is once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.fields import FieldType
from core.records import Outcome, State
from core.runtime.wiring import Parts
from core.types import Content
from ingest.sources.manifest import Inline, Item
from tests.doubles import ColourEncoder, WordEncoder
from tests.flow.embedded import (
    comparable,
    embedded,
    found,
    index_all,
    ingest,
    pending,
    points,
    register_all,
    states,
    texts,
)
from tests.flow.promises import ME, check, upkeep
from tests.photos import photo
from workers.collections import ensure
from workers.upkeep import sweep


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
