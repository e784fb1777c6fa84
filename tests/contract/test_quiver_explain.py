"""Explanations of one asset and stages after fusion, the same from an embedded Quiver and from a server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from core.errors import BadQuery, NoSpaceFor, NoSuchAsset
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver
from tests.doubles import toy_parts
from tests.httpd import key_for, serving

Door = Quiver | RemoteQuiver


def spotted() -> bytes:
    """A red square to the lower right on blue, as a PNG."""
    pixels = np.full((64, 64, 3), (0, 0, 200), np.uint8)
    pixels[40:60, 40:60] = (255, 0, 0)
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(params=["embedded", "http"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    parts = toy_parts(tmp_path / "data", profiles="hearing")
    try:
        if request.param == "embedded":
            yield filled(Quiver(parts))
        else:
            with serving(parts) as base, Quiver.connect(base, key_for(parts, "ann")) as remote:
                yield filled(remote)
    finally:
        parts.close()


def filled(door: Door) -> Door:
    """A picture with a spot, and texts, of which one has all fields."""
    door.create("c", fields={"day": "datetime", "price": "float", "kind": "keyword"})
    door.add("c", file=spotted(), id="spot.png")
    day: dict[str, Any] = {"day": "2020-01-01T00:00:00", "price": 5, "kind": "a"}
    texts = [("long", "green " * 300 + "red " * 300, day), ("a", "red", {"kind": "a"}), ("b", "red blue", {})]
    door.add_texts("c", texts)
    door.wait("c", timeout=30)
    return door


def test_the_region_of_a_picture_is_where_the_words_are(door: Door) -> None:
    made = door.explain("c", "spot.png", "red")
    region = made.region
    assert region is not None
    assert region.box is not None
    left, top, right, bottom = region.box
    assert left >= 0.4
    assert top >= 0.4
    assert right > 0.75
    assert bottom > 0.75
    assert region.drop > 0
    assert np.array(region.drops).shape == (region.grid, region.grid) == (7, 7)
    assert made.picture is not None
    assert PIL.Image.open(io.BytesIO(made.picture)).size == (64, 64)
    assert [match.space for match in made.matches] == ["colour"]
    other = door.explain("c", "spot.png", "blue", grid=4).region
    assert other is not None
    assert (other.grid, other.box != region.box) == (4, True)


def test_the_nearest_segment_of_a_text_is_told_with_its_span(door: Door) -> None:
    made = door.explain("c", "long", "red")
    match = next(one for one in made.matches if one.space == "colour")
    assert (match.span is not None and match.span.start > 0, "red" in str(match.text)) == (True, True)
    assert (made.region, made.picture) == (None, None)
    hit = next(one for one in door.search("c", "red", exact=True).hits if one.external_id == "long")
    assert match.score == pytest.approx(next(m.score for m in hit.matches if m.space == "colour"), abs=1e-5)


def test_one_may_ask_by_a_picture_and_by_an_asset(door: Door) -> None:
    assert door.explain("c", "spot.png", image=spotted()).region is not None
    assert door.explain("c", "a", like="spot.png").matches


def test_what_cannot_be_explained_says_why(door: Door) -> None:
    with pytest.raises(NoSuchAsset):
        door.explain("c", "nobody", "red")
    with pytest.raises(BadQuery):
        door.explain("c", "a")
    with pytest.raises(BadQuery, match="no space 'x'"):
        door.explain("c", "a", "red", space="x")
    with pytest.raises(BadQuery):
        door.explain("c", "spot.png", "red", grid=99)
    with pytest.raises((BadQuery, NoSpaceFor)):
        door.explain("c", "a", audio=spotted())


def test_stages_and_groups_come_through_both(door: Door) -> None:
    stages: list[Any] = [
        "exact",
        {"stage": "recency", "field": "day", "half_life": "30d", "missing": 0.5},
        "boost:field=price,origin=5,scale=1,weight=0.1",
        "late",
        "mmr:lambda=0.8",
    ]
    answer = door.search("c", "red", rerank=stages, explain=True, budget=60)
    assert len(answer.hits) == 4
    assert [effect.stage for effect in answer.hits[0].effects] == ["exact", "recency", "boost", "late", "mmr"]
    notes = {hit.external_id: hit.effects[1].note for hit in answer.hits}
    assert notes["long"].startswith("half_life 30d, ")
    assert notes["a"] == "no day: x0.5"
    grouped = door.search("c", "red", group_by="kind").hits
    assert sum(hit.metadata.get("kind") == "a" for hit in grouped) == 1
    assert len(grouped) == 3
    with pytest.raises(BadQuery, match="there is: lambda, space, depth"):
        door.search("c", "red", rerank=["mmr:lamda=1"])
