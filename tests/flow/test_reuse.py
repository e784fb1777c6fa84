"""What need not be embedded again has the points that embedding it again would give it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from core.fields import FieldType
from core.points import Stored
from core.records import Claim, Collection, Index, State
from core.spaces import Sparse
from core.stores.edge import EdgeStore
from core.types import Content, Reading
from tests.doubles import ColourEncoder
from tests.worlds import FIELDS, GREEN, ME, OTHER, RED, World
from workers import embedding
from workers.collections import ensure
from workers.indexing import index_batch
from workers.reuse import Reused, reused


@pytest.fixture(params=["memory", "edge"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    if request.param == "edge":
        store = EdgeStore(tmp_path / "other")
        store.create(made.parts.catalogue.serving("c"))
        made.parts.__dict__["store"] = store
    yield made
    made.parts.close()


def claimed(world: World) -> list[Claim]:
    return world.parts.catalogue.claim("c", worker="w", lease=timedelta(minutes=1), limit=100)


def index_of(world: World) -> Index:
    return world.parts.catalogue.serving("c")


def found(world: World, claims: list[Claim], collection: Collection | None = None) -> Reused:
    parts = world.parts
    collection = collection or parts.catalogue.collection("c")
    return reused(parts.catalogue, parts.store, [index_of(world)], collection, claims)


def written(world: World, said: Reused, claims: list[Claim]) -> dict[str, list[Stored]]:
    """Their points in the store, as reuse writes them, and then as indexing would."""
    parts, index = world.parts, index_of(world)
    ids = [claim.asset.id for claim in claims]
    parts.store.upsert(index, said.points[index.id])
    parts.store.forget(index, {claim.asset.id: claim.asset.generation for claim in claims})
    again = parts.store.of_assets(index, ids)
    parts.store.forget(index, dict.fromkeys(ids))
    parts.catalogue.release(claims)
    assert index_batch(parts, "c", ids).indexed == len(ids)
    return {"reused": again, "indexed": parts.store.of_assets(index, ids)}


def same(ones: list[Stored], others: list[Stored]) -> bool:
    assert [(one.id, one.payload) for one in ones] == [(other.id, other.payload) for other in others]
    for one, other in zip(ones, others, strict=True):
        assert one.vectors.keys() == other.vectors.keys()
        for name, vector in one.vectors.items():
            there = other.vectors[name]
            if isinstance(vector, Sparse):
                assert isinstance(there, Sparse)
                assert vector.indices.tolist() == there.indices.tolist()
                vector, there = vector.values, there.values
            assert isinstance(there, np.ndarray)
            np.testing.assert_allclose(vector, there, atol=1e-6)
    return bool(ones)


def test_metadata_that_changed_needs_no_new_vectors(world: World) -> None:
    things: dict[str, Any] = {"a": "a red cat " * 200, "b": RED, "c": GREEN}
    world.add(things)
    world.add(things, metadata={"kind": "cat", "note": "of the neighbours"}, index=False)
    # Pictures are written as new files, with the same bytes.
    claims = claimed(world)
    said = found(world, claims)
    assert {claim.asset.external_id for claim in said.claims} == {"a", "b", "c"}
    assert said.counts(index_of(world)).keys() == set(claims)
    both = written(world, said, claims)
    assert same(both["reused"], both["indexed"])
    assert {point.payload["generation"] for point in both["reused"]} == {2}
    assert {point.payload["metadata"]["kind"] for point in both["reused"]} == {"cat"}


def test_the_same_bytes_under_another_name_need_no_new_vectors(world: World) -> None:
    world.add({"a": "two cats", "b": RED})
    world.add({"twin of a": "two cats", "twin of b": RED, "other": "one dog"}, metadata={"price": 2.0}, index=False)
    claims = claimed(world)
    said = found(world, claims)
    assert {claim.asset.external_id for claim in said.claims} == {"twin of a", "twin of b"}
    assert all(count == 1 for count in said.counts(index_of(world)).values())
    both = written(world, said, said.claims)
    assert same(both["reused"], both["indexed"])


def test_another_tenant_s_content_is_never_used(world: World) -> None:
    world.add({"a": "two cats"}, tenant=OTHER)
    world.add({"a": "two cats"}, tenant=ME, index=False)
    assert found(world, claimed(world)).claims == []


def test_bytes_that_changed_are_embedded(world: World) -> None:
    world.add({"a": "two cats"})
    world.add({"a": "two dogs"}, index=False)
    assert found(world, claimed(world)).claims == []


def test_content_that_was_removed_is_not_used(world: World) -> None:
    world.add({"a": "two cats"})
    world.parts.catalogue.remove(ME, "c", [world.id_of("a")])
    world.add({"b": "two cats"}, index=False)
    assert found(world, claimed(world)).claims == []


def test_points_that_are_not_all_there_are_not_used(world: World) -> None:
    """A receipt speaks of more points than the store holds: they were lost, or are half written."""
    world.add({"a": "two cats"})
    world.parts.store.forget(index_of(world), {world.id_of("a"): None})
    world.add({"b": "two cats"}, index=False)
    assert found(world, claimed(world)).claims == []


def test_a_receipt_that_was_struck_is_not_believed(world: World) -> None:
    """Reconciling strikes what is wrong: copying it would keep it wrong."""
    world.add({"a": "two cats"})
    index = index_of(world)
    assert world.parts.catalogue.strike(index, {world.id_of("a"): 1}) == 1
    assert found(world, claimed(world)).claims == []


def test_a_caption_that_changed_is_embedded(world: World) -> None:
    captioned = Collection(name="c", fields={}, profile="toy", reads=frozenset({Reading.CAPTION}))
    world.add({"a": RED, "b": RED}, metadata={"caption": "a fire"})
    world.add({"a": RED}, metadata={"caption": "a rose"}, index=False)
    world.add({"b": RED}, metadata={"caption": "a fire", "kind": "new"}, index=False)
    claims = claimed(world)
    assert {claim.asset.external_id for claim in found(world, claims, captioned).claims} == {"b"}


def test_an_index_that_lacks_it_decides(world: World) -> None:
    world.add({"a": "two cats"})
    world.add({"a": "two cats"}, metadata={"kind": "cat"}, index=False)
    serving = index_of(world)
    building = Index(
        id=f"other-{uuid4().hex}", collection="c", state=serving.state, spaces=serving.spaces, fields=serving.fields
    )
    parts = world.parts
    parts.store.create(building)
    claims = claimed(world)
    collection = parts.catalogue.collection("c")
    assert reused(parts.catalogue, parts.store, [serving, building], collection, claims).claims == []
    assert reused(parts.catalogue, parts.store, [serving], collection, claims).claims == claims
    assert reused(parts.catalogue, parts.store, [], collection, claims).claims == []


def test_a_change_of_metadata_alone_decodes_and_embeds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add({"a": "red cat", "b": "green dog"})
    monkeypatch.setattr(ColourEncoder, "encode", lambda *_: pytest.fail("it was embedded again"))
    monkeypatch.setattr(embedding, "decode", lambda *_, **__: pytest.fail("it was decoded again"))
    world.add({"a": "red cat"}, metadata={"kind": "cat"})
    world.add({"another name": "green dog"})
    said = {point.payload["external_id"]: point.payload for point in world.parts.store.scroll(index_of(world))}
    assert said["a"]["metadata"] == {"kind": "cat"}
    assert said["a"]["generation"] == 2
    assert set(said) == {"a", "b", "another name"}
    assert {state for _, state in world.parts.catalogue.assets(ME, "c")} == {State.INDEXED}


class Counted:
    """How many contents were embedded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoder: type[Any]) -> None:
        self.count = 0
        encode = encoder.encode

        def counting(one: Any, contents: Sequence[Content]) -> Any:
            self.count += len(contents)
            return encode(one, contents)

        monkeypatch.setattr(encoder, "encode", counting)

    def since(self) -> int:
        count, self.count = self.count, 0
        return count


def payloads(world: World, collection: str) -> dict[str, Mapping[str, Any]]:
    stored = world.parts.store.scroll(world.parts.catalogue.serving(collection))
    return {point.payload["external_id"]: point.payload for point in stored}


def test_equal_content_of_a_batch_is_embedded_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, ColourEncoder)
    world.add({f"copy {n}": "a red cat" for n in range(8)} | {"other": "a blue dog"})
    assert counted.since() == 2
    said = payloads(world, "c")
    assert set(said) == {*(f"copy {n}" for n in range(8)), "other"}
    assert {state for _, state in world.parts.catalogue.assets(ME, "c")} == {State.INDEXED}
    assert len({said[f"copy {n}"]["asset"] for n in range(8)}) == 8
    world.add({f"copy {n}": "a green rocket" for n in range(4)})
    assert counted.since() == 1, "what changed, and is equal again"


def test_content_of_another_collection_is_not_embedded_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    things = {f"thing {n}": f"cat {n} is red" for n in range(8)} | {"picture": RED}
    world.add(things, metadata={"kind": "cat", "note": "here"})
    counted = Counted(monkeypatch, ColourEncoder)
    world.add(things, metadata={"note": "there"}, into=ensure(world.parts, "d", {"note": FieldType.TEXT}))
    assert counted.since() == 0
    said = payloads(world, "d")
    assert set(said) == set(things)
    assert {str(point["metadata"]) for point in said.values()} == {"{'note': 'there'}"}
    assert {str(point["words"]) for point in said.values()} == {"{'note': ['there']}"}
    assert world.names("red", collection="d")
    counted.since()  # the query
    world.add(things, into=ensure(world.parts, "e"), tenant=OTHER)
    assert counted.since() == len(things), "another tenant's is not looked for"


def test_a_collection_that_was_lost_gives_nothing_and_harms_nobody(world: World) -> None:
    world.add({"a": "red cat"})
    world.parts.store.drop(index_of(world).id)
    world.add({"a": "red cat"}, into=ensure(world.parts, "d"))
    assert set(payloads(world, "d")) == {"a"}


def test_a_caption_of_its_own_is_embedded_though_the_picture_is_equal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = frozenset({Reading.CAPTION})
    world.add({"a": RED}, metadata={"caption": "a fire"}, into=ensure(world.parts, "d", FIELDS, reads=reads))
    counted = Counted(monkeypatch, ColourEncoder)
    world.add({"b": RED}, metadata={"caption": "a green rose"}, into=ensure(world.parts, "e", FIELDS, reads=reads))
    assert counted.since() == 2  # the picture, and what is said of it
    world.add({"c": RED}, metadata={"caption": "a fire"}, into=ensure(world.parts, "e", FIELDS, reads=reads))
    stored = world.parts.store.scroll(world.parts.catalogue.serving("e"))
    texts = {point.payload["external_id"]: point.payload["text"] for point in stored if "source" in point.payload}
    assert texts == {"b": "a green rose", "c": "a fire"}


def test_a_store_that_lost_its_index_is_filled_again(world: World) -> None:
    world.add({"a": "red cat"})
    world.parts.store.drop(index_of(world).id)
    world.add({"a": "red cat"}, metadata={"kind": "cat"})
    assert len(world.parts.store.scroll(index_of(world))) == 1
