"""A space's fingerprint covers all that decides whether vectors compare."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.spaces import EmbeddingSpace, Metric
from core.types import Modality

spaces = st.builds(
    EmbeddingSpace,
    name=st.text(min_size=1, max_size=8),
    model=st.text(max_size=8),
    revision=st.text(max_size=8),
    dim=st.integers(1, 4096),
    metric=st.sampled_from(Metric),
    modalities=st.frozensets(st.sampled_from(Modality)),
    recipe=st.text(max_size=8),
    head=st.text(max_size=8),
    sparse=st.booleans(),
)


@given(spaces, spaces)
def test_two_spaces_have_one_fingerprint_only_if_they_differ_in_nothing_but_the_name(one, other):
    same = replace(one, name="") == replace(other, name="")
    assert (one.fingerprint == other.fingerprint) is same


@pytest.mark.parametrize("name", [f.name for f in fields(EmbeddingSpace) if f.name != "name"])
@given(space=spaces, other=spaces)
def test_every_field_but_the_name_changes_the_fingerprint(space, other, name):
    changed = replace(space, **{name: getattr(other, name)})
    assert (changed.fingerprint == space.fingerprint) is (changed == space)
    assert (changed.vector_name == space.vector_name) is (changed == space)


@given(spaces, st.text(min_size=1))
def test_the_name_changes_the_vector_name_and_not_the_fingerprint(space, name):
    renamed = replace(space, name=name)
    assert renamed.fingerprint == space.fingerprint
    assert renamed.vector_name == f"{name}-{space.fingerprint}"


@given(spaces)
def test_a_space_survives_json(space):
    assert EmbeddingSpace.from_dict(json.loads(json.dumps(space.as_dict()))) == space


def test_a_fingerprint_never_changes_between_versions_of_ours():
    space = EmbeddingSpace(
        name="n",
        model="m",
        revision="r",
        dim=3,
        metric=Metric.COSINE,
        modalities=frozenset({Modality.IMAGE, Modality.TEXT}),
        recipe="none",
    )
    assert space.fingerprint == "70a4ab803fdc"  # an index on somebody's disk is named by it
