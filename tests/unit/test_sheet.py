"""Contact sheets: one file, nothing fetched, nothing that a name or a text says is markup."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from uuid import uuid4

import pytest

from core.types import AssetId, Digest, Modality, Span
from quiver.sheet import contact_sheet, moment
from retrieval.request import Answer, Hit, Match
from tests.photos import photo

NASTY = """</figure><script>alert("x")</script>&amp;'"><img src=x onerror=y>"""


def hit(modality: Modality, name: str = "a", text: str | None = None) -> Hit:
    match = Match(space="s", content=modality, score=0.5, rank=1, ordinal=0, span=None, text=text)
    return Hit(
        asset=AssetId(uuid4()),
        external_id=name,
        modality=modality,
        media_type="x/y",
        digest=Digest("0" * 64),
        metadata={},
        score=0.1234567,
        matches=(match,),
    )


def answer(*hits: Hit) -> Answer:
    return Answer(hits=hits, encoders={"s": "model <1>"})


class Tags(HTMLParser):
    """Every tag with its attributes, and every text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_pictures_are_inside_the_page_and_texts_are_quoted() -> None:
    data = photo("JPEG")
    page = contact_sheet(
        "t",
        [("q", answer(hit(Modality.IMAGE, "p.jpg"), hit(Modality.TEXT, "t.txt", "some words")))],
        lambda _: data,
    )
    tags = Tags(page)
    (image,) = [attrs for tag, attrs in tags.tags if tag == "img"]
    kind, _, body = (image["src"] or "").partition(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(body) == data
    assert "some words" in tags.texts
    assert "0.1235" in page


def test_nothing_is_fetched_from_anywhere() -> None:
    page = contact_sheet("t", [("q", answer(hit(Modality.IMAGE)))], lambda _: b"jpeg")
    assert not re.search(r"https?:|//|url\(|@import|<script|<link", re.sub(r"base64,[^\"]*", "", page))


def test_nothing_that_was_ingested_or_asked_is_markup() -> None:
    nasty = answer(hit(Modality.IMAGE, NASTY), hit(Modality.TEXT, NASTY, NASTY))
    tags = Tags(contact_sheet(NASTY, [(NASTY, nasty)], lambda _: b"jpeg"))
    names = [tag for tag, _ in tags.tags]
    assert "script" not in names
    assert names.count("img") == 1
    assert names.count("figure") == 2
    assert not any("onerror" in attrs for _, attrs in tags.tags)
    assert NASTY in tags.texts
    assert "s by model <1>" in tags.texts


def test_hits_are_in_order_and_searches_have_sections() -> None:
    page = contact_sheet(
        "t",
        [("first", answer(hit(Modality.TEXT, "one"), hit(Modality.TEXT, "two"))), ("second", answer())],
        lambda _: b"",
    )
    tags = Tags(page)
    assert [tag for tag, _ in tags.tags].count("h2") == 2
    assert page.index("1. one") < page.index("2. two") < page.index("second") < page.index("Nothing was found")


@pytest.mark.parametrize(
    ("start", "end", "said"), [(0, 4.9, "0:00–0:04"), (59.9, 61, "0:59–1:01"), (3723, 3725.5, "1:02:03–1:02:05")]
)
def test_a_film_is_shown_with_the_moment_that_was_found(start: float, end: float, said: str) -> None:
    film = hit(Modality.VIDEO, "f.mp4")
    late = replace(film.matches[0], rank=2, span=Span(900, 901, "second"))
    film = replace(film, matches=(late, replace(film.matches[0], span=Span(start, end, "second"))))
    page = contact_sheet("t", [("q", answer(film))], lambda _: photo("JPEG"))
    assert f"{said} · score" in page
    assert moment(film) == said
    assert moment(hit(Modality.TEXT, "t.txt", "words")) == ""


def test_a_film_without_pictures_is_named_all_the_same() -> None:
    page = contact_sheet("t", [("q", answer(hit(Modality.VIDEO, "radio.mp4")))], lambda _: None)
    assert "radio.mp4" in page
    assert "<img" not in page
