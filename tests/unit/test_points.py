"""Point ids, payloads and the check that stands before every write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadPoint
from core.fields import FieldType
from core.points import Column, Points, check_points, check_vectors, payload, point_id, span_of, text_words
from core.spaces import Metric, Sparse
from core.types import AssetId, Image, Modality, Reading, Segment, Span, Tenant, Text
from tests.strategies import FIELDS, make_asset, make_space, unit

WORDS = make_space()
TERMS = make_space("terms", 10, metric=Metric.DOT, sparse=True)

keys = st.tuples(st.text(max_size=4), st.text(max_size=4), st.integers(0, 3), st.integers(0, 3))


def id_of(key: tuple[str, str, int, int], **changes: Any) -> UUID:
    tenant, collection, number, ordinal = key
    asset = make_asset(number=number, tenant=tenant, collection=collection)
    return point_id(replace(asset, **changes), ordinal)


@given(keys)
def test_a_segment_has_the_same_id_whatever_else_changes(key):
    changed = id_of(key, generation=9, external_id="x", metadata={"a": 1}, modality=Modality.IMAGE)
    assert id_of(key) == changed


@given(keys.filter(lambda k: "\n" not in k[0] + k[1]), keys.filter(lambda k: "\n" not in k[0] + k[1]))
def test_two_segments_have_two_ids(one, other):
    assert (id_of(one) == id_of(other)) is (one == other)


def test_point_ids_never_change_between_versions_of_ours():
    assert (
        str(point_id(make_asset(), 0)) == "e97c7064-d051-5d48-8159-2d0a8ae4aca8"
    )  # an index on somebody's disk holds them


def test_a_payload_says_all_that_a_filter_asks_and_a_hit_shows():
    asset = make_asset(number=7, tenant="u", generation=3, metadata={"a_text": "Red bird", "x": 1})
    said = payload(asset, Segment(2, Text("word " * 200), Span(10, 20, "char")), FIELDS, blocked=True)
    assert said == {
        "asset": str(UUID(int=7)),
        "external_id": "7.txt",
        "tenant": "u",
        "modality": "text",
        "media_type": "text/plain",
        "digest": asset.digest,
        "generation": 3,
        "ordinal": 2,
        "content": "text",
        "blocked": True,
        "metadata": {"a_text": "Red bird", "x": 1},
        "words": {"a_text": ["bird", "red"]},
        "span": [10, 20, "char"],
        "text": ("word " * 200)[:500],
    }
    assert span_of(said) == Span(10, 20, "char")


def test_what_was_read_out_of_a_thing_says_how_and_is_a_point_of_its_own():
    asset = make_asset()
    read = Segment(0, Text("STOP", language="en"), source=Reading.OCR)
    said = payload(asset, read, {})
    assert (said["source"], said["language"], said["content"]) == ("ocr", "en", "text")
    assert len({point_id(asset, 0, source) for source in (None, *Reading)}) == 1 + len(Reading)


def test_a_segment_without_span_or_text_has_neither_in_its_payload():
    said = payload(make_asset(), Segment(0, Image(np.zeros((1, 1, 3), np.uint8))), {})
    assert "text" not in said
    assert span_of(said) is None
    assert said["blocked"] is False


def test_only_declared_text_has_words():
    said = {"t": "Red", "k": "Red", "n": None}
    fields = {"t": FieldType.TEXT, "k": FieldType.KEYWORD, "n": FieldType.TEXT, "missing": FieldType.TEXT}
    assert text_words(fields, said) == {"t": ["red"]}


def points(columns: dict[Any, Column], n: int = 2) -> Points:
    assets = [make_asset(number=k) for k in range(n)]
    return Points([point_id(a, 0) for a in assets], [payload(a, Segment(0, Text("")), {}) for a in assets], columns)


def test_good_points_pass():
    empty = Sparse(np.empty(0, np.uint32), np.empty(0, np.float32))
    check_points(points({}), [])
    check_points(points({WORDS: Column([1], unit(1, 2, 3, 4)[None]), TERMS: Column([0], [empty])}), [WORDS, TERMS])
    check_vectors(WORDS, np.empty((0, 4), np.float32))


@pytest.mark.parametrize(
    ("space", "column"),
    [
        (WORDS, Column([0, 1], unit(1, 2, 3, 4)[None])),
        (WORDS, Column([2], unit(1, 2, 3, 4)[None])),
        (WORDS, Column([-1], unit(1, 2, 3, 4)[None])),
        (WORDS, Column([0], unit(1, 2, 3)[None])),
        (WORDS, Column([0], unit(1, 2, 3, 4))),
        (WORDS, Column([0], unit(1, 2, 3, 4)[None].astype(np.float64))),
        (WORDS, Column([0], unit(1, 2, 3, 4)[None] * np.float32(1.01))),
        (WORDS, Column([0], np.full((1, 4), np.nan, np.float32))),
        (WORDS, Column([0], np.zeros((1, 4), np.float32))),
        (TERMS, Column([0], [Sparse(np.asarray([1], np.uint32), np.asarray([1, 2], np.float32))])),
        (TERMS, Column([0], [Sparse(np.asarray([3, 3], np.uint32), np.asarray([1, 2], np.float32))])),
        (TERMS, Column([0], [Sparse(np.asarray([10], np.uint32), np.asarray([1], np.float32))])),
        (TERMS, Column([0], [Sparse(np.asarray([1], np.uint32), np.asarray([np.inf], np.float32))])),
        (TERMS, Column([0], unit(1, 2, 3, 4)[None])),
        (make_space("other"), Column([0], unit(1, 2, 3, 4)[None])),
    ],
)
def test_a_malformed_column_is_refused(space, column):
    with pytest.raises(BadPoint):
        check_points(points({space: column}), [WORDS, TERMS])


def test_every_id_has_a_payload():
    with pytest.raises(BadPoint, match="1 payloads"):
        check_points(replace(points({}), payloads=[{}]), [])


def test_an_asset_of_another_tenant_has_other_points():
    one = make_asset(tenant="t")
    assert point_id(one, 0) != point_id(replace(one, tenant=Tenant("u")), 0)
    assert point_id(one, 0) != point_id(replace(one, id=AssetId(UUID(int=2))), 0)
