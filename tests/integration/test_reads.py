"""Text inside things, through the facade: what is written, said or told of a thing finds it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from core.errors import Misconfigured, NoSuchCollection, ReaderBroke
from core.points import Stored
from core.reader import Phrase, Reader
from core.runtime.wiring import Parts
from core.types import Content, Image, Modality, Reading, Wants
from quiver import Quiver
from tests import recognizers
from tests.doubles import toy_parts
from tests.media import sound
from tests.papers import docx, paragraphs, pdf, scanned_pdf, written
from workers import indexing


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def quiver(tmp_path: Path) -> Iterator[Quiver]:
    with Quiver(toy_parts(tmp_path / "data", decode="cage", lanes=1)) as opened:
        yield opened


def stored(quiver: Quiver, name: str) -> list[Stored]:
    index = quiver._parts.catalogue.serving("c")
    return [one for one in quiver._parts.store.scroll(index) if one.payload["external_id"] == name]


def test_a_picture_is_found_by_what_is_written_in_it(quiver: Quiver, files: Path) -> None:
    written(["A red cat", "and a rocket"]).save(files / "sign.png")
    PIL.Image.new("RGB", (50, 50), (0, 0, 255)).save(files / "blue.png")
    quiver.create("c", reads=["ocr"])
    assert quiver.ingest(files, collection="c").indexed == 2
    hit = quiver.search("c", "rocket").hits[0]
    assert hit.external_id == "sign.png"
    assert hit.text == "A red cat\nand a rocket"
    assert {match.source for match in hit.matches if match.text} == {Reading.OCR}
    assert not [one for one in stored(quiver, "blue.png") if one.payload["content"] == "text"]


def test_a_scanned_document_is_found_where_writing_is_read_and_said_to_need_it_elsewhere(
    quiver: Quiver, files: Path
) -> None:
    (files / "scan.pdf").write_bytes(scanned_pdf([["Invoice of a rocket"], ["Total due"]]))
    (files / "typed.pdf").write_bytes(pdf(["coffee"]))
    quiver.create("c", reads=["ocr"])
    assert quiver.ingest(files, collection="c").indexed == 2
    hit = quiver.search("c", "rocket").hits[0]
    assert (hit.external_id, hit.modality) == ("scan.pdf", Modality.TEXT)
    assert [match.text for match in hit.matches if match.space == "words"] == ["Invoice of a rocket"]
    assert {one.payload["content"] for one in stored(quiver, "scan.pdf")} == {"text"}, "a page is no picture to find"
    report = quiver.ingest(files, collection="unread")
    assert report.indexed == 1
    assert [(f.external_id, f.kind) for f in report.failures] == [("scan.pdf", "UnsupportedMedia")]
    assert "--read ocr" in report.failures[0].message


def test_a_document_is_found_by_its_text_and_quoted_at_its_place(quiver: Quiver, files: Path) -> None:
    (files / "a.docx").write_bytes(docx(paragraphs(*["Nothing much."] * 200, "There is a rocket here.")))
    assert quiver.ingest(files, collection="c").indexed == 1
    (hit,) = quiver.search("c", "rocket").hits
    (match,) = [match for match in hit.matches if match.space == "words"]
    said = "\n\n".join([*["Nothing much."] * 200, "There is a rocket here."])
    assert match.span is not None
    assert match.text is not None
    quoted = said[int(match.span.start) : int(match.span.end)]
    assert "rocket" in quoted
    assert quoted.startswith(match.text[:100])


def test_a_picture_is_found_by_its_caption(quiver: Quiver, files: Path) -> None:
    PIL.Image.new("RGB", (50, 50), (0, 0, 255)).save(files / "one.png")
    line = {"id": "one", "path": str(files / "one.png"), "metadata": {"caption": ["a rocket", "coffee"]}}
    (files / "list.jsonl").write_text(json.dumps(line))
    quiver.create("c", reads=["caption"])
    quiver.ingest(files / "list.jsonl", collection="c")
    (hit,) = quiver.search("c", "coffee").hits
    assert hit.external_id == "one"
    # The space of colours knows neither caption from the other; that of words does.
    assert [match.text for match in hit.matches if match.space == "words"] == ["coffee"]
    assert {match.source for match in hit.matches if match.text} == {Reading.CAPTION}


def test_a_sound_is_told_by_its_words_with_their_seconds(tmp_path: Path, files: Path) -> None:
    model = recognizers.wav2vec2(tmp_path / "model")
    said = recognizers.noise(25)
    (files / "talk.wav").write_bytes(sound("wav", said.samples[None], rate=said.rate))
    with Quiver(toy_parts(tmp_path / "data", profile="hearing", transcriber=str(model))) as quiver:
        quiver.create("c", reads=["transcript"])
        assert quiver.ingest(files, collection="c").indexed == 1
        points = [one.payload for one in stored(quiver, "talk.wav") if one.payload.get("source") == "transcript"]
        points.sort(key=lambda payload: payload["ordinal"])
        assert len(points) > 1
        assert all(point["span"][2] == "second" and point["content"] == "text" for point in points)
        assert points[0]["span"][0] < 1
        assert 20 < points[-1]["span"][1] <= 25
        heard = recognizers.said_by_wav2vec2(model, said.samples)
        assert "".join(points[0]["text"].split())[:40] == "".join(heard.split())[:40]


def test_a_collection_that_cannot_read_is_not_made(quiver: Quiver) -> None:
    with pytest.raises(Misconfigured, match="QUIVER_TRANSCRIBER"):
        quiver.create("c", reads=["transcript"])
    with pytest.raises(NoSuchCollection):
        quiver.search("c", "rocket")


# Readers that do what a test asks for


class Scripted:
    """Reads the colour of a picture, and does something first."""

    reading = Reading.OCR
    wants = Wants(contents=frozenset({Modality.IMAGE}))

    def __init__(self, before: Callable[[str], None]) -> None:
        self._before = before
        self.count = 0

    def read(self, content: Content) -> list[Phrase]:
        assert isinstance(content, Image)
        self.count += 1
        colour = ("red", "green", "blue")[int(content.pixels[0, 0].argmax())]
        self._before(colour)
        return [(f"{colour} rocket", None)]


class Only:
    """Readers, of which there is this one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def of(self, reads: Iterable[Reading]) -> tuple[Reader, ...]:
        return (self._reader,) if Reading.OCR in reads else ()


def reading(tmp_path: Path, before: Callable[[str], None], **settings: Any) -> tuple[Parts, Scripted]:
    parts, reader = toy_parts(tmp_path / "data", lanes=1, **settings), Scripted(before)
    parts.__dict__["readers"] = Only(reader)
    return parts, reader


def pictures(files: Path) -> None:
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))):
        PIL.Image.new("RGB", (20, 16), colour).save(files / f"{name}.png")


def test_a_picture_that_breaks_its_reader_costs_itself(tmp_path: Path, files: Path) -> None:
    def choke(colour: str) -> None:
        if colour == "green":
            raise ReaderBroke("ocr by a model: it choked")

    pictures(files)
    parts, _ = reading(tmp_path, choke)
    with Quiver(parts) as quiver:
        quiver.create("c", reads=["ocr"])
        report = quiver.ingest(files, collection="c")
        assert report.indexed == 2
        assert [(f.external_id, f.kind) for f in report.failures] == [("green.png", "ReaderBroke")]
        assert {hit.external_id for hit in quiver.search("c", "rocket").hits} == {"red.png", "blue.png"}


def test_what_takes_longer_than_a_lease_to_read_stays_with_who_reads_it(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(indexing, "perf_counter", lambda: clock[0])
    renewed: list[int] = []

    def slow(_: str) -> None:
        clock[0] += 300.0  # half a lease

    pictures(files)
    parts, _ = reading(tmp_path, slow)
    renew = parts.catalogue.renew

    def counted(claims: Any, lease: Any) -> None:
        renewed.append(len(claims))
        renew(claims, lease)

    monkeypatch.setattr(parts.catalogue, "renew", counted)
    with Quiver(parts) as quiver:
        quiver.create("c", reads=["ocr"])
        assert quiver.ingest(files, collection="c").indexed == 3
    assert renewed == [3, 3], "before the second and the third, of all that wait"


def test_an_animation_of_many_pieces_is_read_once(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.prepare.HELD", 1)  # a frame a piece
    frames = [PIL.Image.fromarray(np.full((16, 20, 3), [level, 0, 0], np.uint8)) for level in (90, 170, 250)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=500)
    (files / "a.gif").write_bytes(out.getvalue())
    parts, reader = reading(tmp_path, lambda _: None)
    with Quiver(parts) as quiver:
        quiver.create("c", reads=["ocr"])
        assert quiver.ingest(files, collection="c").indexed == 1
        kinds = [one.payload.get("source") for one in stored(quiver, "a.gif")]
    assert kinds.count(None) == reader.count > 1
