"""Groups of hits: never more of a value than were asked for, and the page filled as long as there are groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadQuery
from core.types import AssetId, Digest, Modality
from retrieval import lists
from retrieval.grouping import deeper, grouped
from retrieval.lists import TIERS
from retrieval.request import Hit
from tests.worlds import BLUE, RED, World


def hit(at: int, kind: object) -> Hit:
    return Hit(
        asset=AssetId(UUID(int=at)),
        external_id=str(at),
        modality=Modality.TEXT,
        media_type="text/plain",
        digest=Digest("0" * 64),
        metadata={} if kind is None else {"kind": kind},
        score=1.0 / (at + 1),
        matches=(),
    )


KINDS = st.one_of(st.none(), st.sampled_from("abc"), st.lists(st.sampled_from("abc"), max_size=3))


@given(st.lists(KINDS, max_size=30), st.integers(1, 4))
def test_no_value_has_more_hits_than_were_asked_for_and_none_is_left_out_for_nothing(
    kinds: list[object], size: int
) -> None:
    hits = [hit(at, kind) for at, kind in enumerate(kinds)]
    kept = grouped(hits, "kind", size)
    held = [one.metadata.get("kind") for one in kept]
    counts = Counter(value for one in held for value in set(one if isinstance(one, list) else [one]) if value)
    assert all(count <= size for count in counts.values())
    assert kept == [one for one in hits if one in kept]
    assert [one for one in hits if one.metadata.get("kind") in (None, [])] == [
        one for one in kept if one.metadata.get("kind") in (None, [])
    ]
    single = Counter(kind for kind in kinds if isinstance(kind, str))
    if not any(isinstance(kind, list) for kind in kinds):
        assert counts == {kind: min(size, count) for kind, count in single.items()}


def test_values_are_told_apart_by_their_type() -> None:
    assert len(grouped([hit(0, 1), hit(1, True), hit(2, "1"), hit(3, 1)], "kind", 1)) == 3


def test_one_asks_deeper_while_there_may_be_more_and_no_deeper_than_there_is() -> None:
    steps = sorted(TIERS)
    assert deeper(steps[0], [range(steps[0])]) == steps[1]
    assert deeper(steps[0], [range(steps[0] - 1)]) is None
    assert deeper(steps[-1], [range(steps[-1])]) is None
    assert deeper(steps[0], []) is None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.parts.close()


def test_a_page_of_groups_is_filled_from_deeper_down_and_pages_are_of_one_order(world: World) -> None:
    world.add({f"a{n:03}": "red red red" for n in range(110)}, metadata={"kind": "a"})  # more than are asked at first
    for at, kind in enumerate("bcdef"):
        world.add({f"{kind}{n}": "red " + "green " * (at + 1) for n in range(3)}, metadata={"kind": kind})
    whole = world.ask("red", group_by="kind", limit=6).hits
    assert sorted(one.metadata["kind"] for one in whole) == list("abcdef")
    pages = [world.ask("red", group_by="kind", limit=2, offset=at).hits for at in (0, 2, 4)]
    assert [one.asset for page in pages for one in page] == [one.asset for one in whole]
    two = Counter(one.metadata["kind"] for one in world.ask("red", group_by="kind", group_size=2, limit=12).hits)
    assert two == dict.fromkeys("abcdef", 2)
    assert len(world.ask("red", group_by="kind", limit=50).hits) == 6


def test_groups_of_what_a_first_step_cuts_off_are_found_though_every_list_was_read_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "GROUPED", 1)  # sixteen hits at first
    world.add({f"t{n}": "red" for n in range(12)} | {f"p{n}": RED for n in range(12)}, metadata={"kind": "a"})
    world.add({"last": BLUE}, metadata={"kind": "b"})
    assert [hit.metadata["kind"] for hit in world.ask("red", group_by="kind", limit=3).hits] == ["a", "b"]


def test_an_undeclared_field_is_no_group(world: World) -> None:
    with pytest.raises(BadQuery, match="declared: kind, note, price"):
        world.ask("red", group_by="colour")
