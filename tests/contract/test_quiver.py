"""One suite for the embedded facade and for the one over HTTP: a program does not tell them apart."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from core.errors import (
    BadField,
    BadFilter,
    BadQuery,
    Conflict,
    CorruptMedia,
    NoSpaceFor,
    NoSuchAsset,
    NoSuchCollection,
    NoSuchJob,
)
from core.filters import Not, Range
from core.records import Outcome, State
from core.types import Modality, Reading
from quiver import Progress, Quiver
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, png, serving
from tests.media import HIGH, LOW, film, sound, tones

Door = Quiver | RemoteQuiver
RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    parts = toy_parts(tmp_path / "data", profiles="hearing")
    try:
        if request.param == "embedded":
            yield Quiver(parts)
        else:
            with serving(parts) as base, Quiver.connect(base, key_for(parts, "ann")) as remote:
                yield remote
    finally:
        parts.close()


def names(door: Door, text: str, **more: object) -> list[str]:
    return [hit.external_id for hit in door.search("c", text, **more).hits]  # type: ignore[arg-type]  # as a test says


def test_what_is_added_is_found_shown_fetched_and_removed(door: Door, tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(png(GREEN))
    added = [
        door.add("c", text="red cat", id="a/ü", metadata={"n": 1}),
        door.add("c", file=png(RED), name="x.png"),
        door.add("c", file=tmp_path / "a b.png"),
        door.add("c", file=io.BytesIO(b"blue"), id="stream"),
    ]
    assert [one.outcome for one in added] == [Outcome.ADDED] * 4
    assert [one.external_id for one in added[1:3]] == ["x.png", "a b.png"]
    door.wait("c", *[one.id for one in added], timeout=20)
    assert set(names(door, "red")[:2]) == {"a/ü", added[1].external_id}
    view = door.show("c", "a/ü")
    assert (view.asset.id, view.state, dict(view.asset.metadata)) == (added[0].id, State.INDEXED, {"n": 1})
    assert door.show("c", added[0].id).asset == view.asset
    assert door.content("c", "a/ü") == b"red cat"
    assert door.content("c", added[1].id) == png(RED)
    assert door.thumbnail("c", "a b.png")[:2] == b"\xff\xd8"
    assert [one.asset.external_id for one in door.assets("c", limit=2)] == ["a b.png", "a/ü"]
    assert [one.asset.external_id for one in door.assets("c", after="a/ü", limit=1)] == ["stream"]
    done = door.remove("c", "a/ü", str(added[1].id), "nobody")
    assert (done.removed, done.unknown) == (2, ("nobody",))
    assert set(names(door, "red")) == {"a b.png", "stream"}


def test_what_a_collection_reads_is_declared_once(door: Door) -> None:
    made = door.create("c", reads=["ocr", "caption"])
    assert made.reads == {Reading.OCR, Reading.CAPTION}
    assert door.status("c")[0].reads == made.reads
    assert door.create("c").reads == made.reads
    with pytest.raises(Conflict, match="reads caption, ocr"):
        door.create("c", reads=["caption"])
    with pytest.raises((BadQuery, BadField)):
        door.create("d", reads=["tea leaves"])


def test_where_the_time_of_indexing_goes_is_told(door: Door) -> None:
    door.create("c")
    assert door.stats("c") == {}
    door.add("c", text="red")
    door.wait("c", timeout=20)
    late = monotonic() + 20
    while not door.stats("c") and monotonic() < late:  # what a batch took is told after it is signed for
        Event().wait(0.05)
    assert {"decode", "encode", "upsert", "commit"} <= set(door.stats("c"))
    assert all(spent >= 0 for spent in door.stats("c").values())
    with pytest.raises(NoSuchCollection):
        door.stats("nowhere")


def test_twice_is_once_and_a_change_is_a_change(door: Door) -> None:
    texts: list[tuple[str | None, str, dict[str, object]]] = [("a", "red", {}), (None, "green", {"k": [1, None, "x"]})]
    first = door.add_texts("c", texts)
    again = door.add_texts("c", texts)
    assert [one.id for one in first] == [one.id for one in again]
    assert {one.outcome for one in again} == {Outcome.UNCHANGED}
    assert door.add("c", text="blue", id="a").outcome is Outcome.CHANGED
    door.wait("c", timeout=20)
    assert door.status("c")[0].counts[State.INDEXED] == 2


def test_searches_of_every_kind_are_answered(door: Door) -> None:
    door.create("c", fields={"price": "float"})
    door.add("c", file=png(RED), id="red.png", metadata={"price": 1})
    door.add("c", text="green", id="green.txt", metadata={"price": 2})
    door.add("c", text="red", id="red.txt")
    door.wait("c", timeout=20)
    said = {"must": [{"key": "price", "range": {"gte": 2}}]}
    for where in ("price >= 2", said, json.dumps(said), Range("price", gte=2), Not(Not(Range("price", gte=2)))):
        assert names(door, "red", where=where) == ["green.txt"]
    assert names(door, "red", modality="image") == ["red.png"]
    assert [hit.external_id for hit in door.search("c", image=png(RED), modality=["text"], limit=1).hits] == ["red.txt"]
    answer = door.search("c", like="red.png", modality="text", exact=True)
    assert answer.hits[0].external_id == "red.txt"
    assert answer.encoders
    [match, *_] = answer.hits[0].matches
    assert (match.rank, match.text) == (1, "red")
    assert match.span is not None
    assert match.span.unit == "char"


def test_sounds_and_films_are_found_by_words_by_sound_and_by_picture(door: Door, tmp_path: Path) -> None:
    door.create("c", profile="hearing")
    (tmp_path / "call.mp3").write_bytes(sound("mp3", tones(HIGH, seconds=3.0)))
    door.add("c", file=film("mp4", seconds=2.0, pitches=(LOW,)), id="film")
    door.add("c", file=sound("flac", tones(HIGH)), id="whistle")
    door.wait("c", timeout=30)
    found = door.search("c", audio=tmp_path / "call.mp3")
    assert [hit.external_id for hit in found.hits] == ["whistle", "film"]
    assert names(door, "low", modality=["audio", "video"])[0] == "film"
    [seen] = [match for match in door.search("c", image=png(GREEN)).hits[0].matches if match.space == "colour"]
    assert seen.span is not None
    assert seen.span.unit == "second"
    assert [seen.span.start, seen.span.end] == pytest.approx([2, 4], abs=0.3)
    assert door.thumbnail("c", "film")[:2] == b"\xff\xd8"
    with pytest.raises(NoSpaceFor, match="only pictures and films"):
        door.thumbnail("c", "whistle")
    with pytest.raises(BadQuery, match="give a sound"):
        door.search("c", audio=png(RED))
    with pytest.raises(CorruptMedia):
        door.search("c", audio=sound("flac")[:2000])
    door.create("deaf")
    with pytest.raises(NoSpaceFor, match="embeds sound"):
        door.search("deaf", audio=sound("flac"))


def test_files_and_manifests_are_ingested(door: Door, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(RED))
    (folder / "b.txt").write_text("green")
    (folder / "bad.jpg").write_text("no picture")
    lines = [{"text": "blue", "id": "t", "metadata": {"k": "v"}}, {"path": "files/b.txt", "id": "again"}]
    (tmp_path / "m.jsonl").write_text("\n".join([*map(json.dumps, lines), "{"]))
    said: list[Progress] = []
    report = door.ingest(folder, tmp_path / "m.jsonl", collection="c", fields=["k=keyword"], on_progress=said.append)
    assert (report.added, report.unchanged) == (4, 0)
    assert sorted(problem.kind for problem in report.refused) == ["BadManifest", "CorruptMedia"]
    assert said[-1].registered == said[-1].total == 6
    door.wait("c", timeout=20)
    assert names(door, "blue", where="k = v") == ["t"]
    assert door.ingest(folder, collection="c").unchanged == 2


def test_a_bulk_job_is_taken_in(door: Door) -> None:
    lines = [json.dumps({"text": f"red {n}", "id": f"t{n}"}) for n in range(5)] + ["{"]
    job = door.bulk("c", io.BytesIO("\n".join(lines).encode()))
    while not (now := door.job(job.job.id)).done:
        pass
    assert (now.job.lines, now.refused, now.counts[State.INDEXED]) == (6, 1, 5)
    assert [(one.line, one.kind) for one in door.refusals(job.job.id)] == [(6, "BadManifest")]
    assert [one.job.id for one in door.jobs("c")] == [job.job.id]
    with pytest.raises(NoSuchJob):
        door.job(uuid4())


def test_a_key_names_one_manifest(door: Door) -> None:
    first = door.bulk("c", io.BytesIO(b'{"text": "red"}'), key="monday")
    assert door.bulk("c", io.BytesIO(b'{"text": "red"}'), key="monday").job.id == first.job.id
    with pytest.raises(Conflict, match="new key"):
        door.bulk("c", io.BytesIO(b'{"text": "blue"}'), key="monday")
    assert [one.job.id for one in door.jobs("c")] == [first.job.id]


def test_failures_are_listed_retried_and_discarded(door: Door) -> None:
    door.add("c", text="poison", id="p")
    door.wait("c", timeout=20)
    [failure] = door.failures("c")
    assert (failure.external_id, failure.kind) == ("p", "EncoderBroke")
    assert door.show("c", "p").failure is not None
    assert door.failures("c", kind="CorruptMedia") == []
    assert door.retry("c", "p") == 1
    door.wait("c", timeout=20)
    assert door.discard("c", kind="EncoderBroke") == 1
    assert door.failures("c") == []
    door.attend()
    assert not door.reconcile("c", repair=True).counts


def test_vectors_and_orders_are_made(door: Door) -> None:
    made = door.embed(["red", png(RED), "green"])
    assert made.vectors.shape == (3, 4)
    assert made.vectors[0] @ made.vectors[1] > made.vectors[0] @ made.vectors[2]
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1)
    ranked = door.rerank("green", ["red", png(GREEN), "blue"], model="toy#colour")
    assert ranked.order[0][0] == 1
    assert ranked.model == made.model == "toy#colour"


def test_profiles_that_can_be_named_are_listed(door: Door) -> None:
    known = {each.name: each for each in door.models()}
    assert known["toy"].here
    assert (known["toy"].model, known["toy"].about) == ("", "a plug-in")
    assert ("siglip2" in known) == isinstance(door, Quiver)  # over HTTP those alone that the settings name


def test_the_same_faults_come_from_both(door: Door) -> None:
    door.create("c", fields={"price": "float"})
    door.create("c")
    with pytest.raises(Conflict):
        door.create("c", fields={"price": "integer"})
    with pytest.raises(BadField):
        door.create("d", fields=["x y=float"])
    with pytest.raises(BadQuery):
        door.create("Not A Name")
    with pytest.raises(NoSuchCollection, match="there is: c"):
        door.search("nobody", "a")
    with pytest.raises(NoSuchAsset):
        door.show("c", "nobody")
    with pytest.raises(NoSuchAsset):
        door.content("c", UUID(int=1))
    with pytest.raises(BadFilter, match="price"):
        door.search("c", "a", where="colour = 1")
    with pytest.raises(BadFilter, match=r"must\[0\].key: 'colour' is not"):
        door.search("c", "a", where={"must": [{"key": "colour", "match": {"value": 1}}]})
    with pytest.raises(BadFilter, match="'mist' here"):
        door.search("c", "a", where={"mist": []})
    with pytest.raises(BadQuery):
        door.search("c")
    wrong: Any
    for name, wrong in (("limit", "5"), ("less", "dog"), ("without", "t001"), ("exact", "no"), ("mix", [5])):
        with pytest.raises(BadQuery, match=f"{name} is .*: give "):
            door.search("c", "a", **{name: wrong})
        with pytest.raises(BadQuery, match=f"{name} is .*: give "):
            door.search_many("c", [{"text": "a", name: wrong}])
    with pytest.raises(BadQuery, match="a query is a mapping"):
        door.search_many("c", ["a"])  # type: ignore[list-item]  # what is refused
    with pytest.raises(BadQuery, match="contents is 'red': give a list"):
        door.embed("red")
    with pytest.raises(BadQuery, match="documents is 'red': give a list"):
        door.rerank("red", "red")
    with pytest.raises(BadQuery):
        door.add("c", text="a", url="b")
    with pytest.raises(CorruptMedia):
        door.add("c", file=b"no picture", name="a.jpg")


def test_bytes_without_a_name_are_called_by_their_digest(door: Door) -> None:
    first, other, again = (door.add("c", file=data) for data in (b"red", b"green", b"red"))
    assert first.id == again.id != other.id
    assert first.external_id == f"file-{hashlib.sha256(b'red').hexdigest()[:12]}"


def test_scores_are_calibrated_by_judgements_too(door: Door) -> None:
    for name in ("red", "green"):
        for n in range(11):
            door.add("c", text=f"{name} {n}", id=f"{name}-{n}")
    door.wait("c", timeout=20)
    assert {one.judged for one in door.calibrate("c")} == {0}
    reds = {f"red-{n}": 1 for n in range(11)}
    made = door.calibrate("c", judged=[({"text": "red"}, reds)])
    assert {(one.asked, one.content): one.judged for one in made if one.space == "colour"}[
        Modality.TEXT, Modality.TEXT
    ] == 22
    found = door.search("c", "red", min_score=0.5, limit=22).hits
    assert {hit.external_id for hit in found} == set(reds)
    with pytest.raises(BadQuery, match="both files"):
        door.calibrate("c", queries="q.jsonl")
    with pytest.raises(NoSuchCollection):
        door.calibrate("nowhere")


def test_what_is_to_be_known_of_an_answer_is_told(door: Door) -> None:
    door.add("c", text="red", id="a")
    door.add("c", text="red red", id="b")
    door.wait("c", timeout=20)
    said = "cross-encoder left the order as it was: "
    found = door.search("c", image=png((255, 0, 0)), rerank=["cross-encoder"])
    assert found.notes == (f"{said}the query has no words",)
    made = door.recommend("c", [{"text": "红色红色 red"}], rerank=["cross-encoder"])
    assert [note.startswith(said) and note.endswith("does not read its script") for note in made.notes] == [True]
    assert door.search("c", "red").notes == door.recommend("c", ["a"]).notes == ()
