"""Reindexing: what changed is embedded, the rest copied; what cannot be done ends in a clear state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import BadFilter, BadQuery, Conflict, StoreDown, UnknownProfile
from core.fields import FieldType
from core.filters import Eq
from core.records import IndexState, Quantization, State, Storage
from core.runtime.wiring import Parts
from core.spaces import Sparse
from tests.doubles import ColourEncoder, WordEncoder
from tests.flow.promises import ME
from tests.flow.reindexed import (
    SWITCHED,
    Turned,
    check_all,
    names,
    put,
    rebuilt,
    state_of,
    switched,
)
from workers import embedding, rebuilding, reindex, wishes
from workers.verify import verify
from workers.wishes import Wish

S = IndexState


@pytest.fixture
def parts(coloured: Parts) -> Parts:
    return coloured


def test_another_model_takes_over_and_the_one_before_takes_back(parts: Parts) -> None:
    before = names(parts, "red")
    switched(parts)
    assert state_of(parts) == [S.SOAKING, S.SERVING]
    kept = parts.catalogue.collection("c")
    assert kept.profile == "turned"
    assert parts.catalogue.serving("c").spaces[0].model == "turned"
    assert names(parts, "red") == before, "colours mean what they meant"
    put(parts, {"new": "green green"})
    check_all(parts)
    reindex.rollback(parts, "c")
    assert state_of(parts) == [S.SERVING, S.ROLLED_BACK]
    assert names(parts, "green")[0] in ("new", "green")
    assert "new" in names(parts, "green")
    assert parts.catalogue.collection("c").profile == "toy"
    gone = reindex.retire(parts, "c")
    assert (len(gone), parts.store.indexes()) == (1, [parts.catalogue.serving("c").id])
    assert reindex.retire(parts, "c") == []
    check_all(parts)


def test_until_the_switch_nothing_of_it_is_seen(parts: Parts) -> None:
    serving, kept = parts.catalogue.serving("c"), parts.catalogue.collection("c")
    reindex.start(parts, "c", SWITCHED)
    put(parts, {"new": "green"}, index=False)
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 4
    assert parts.catalogue.counts(ME, "c")[State.PENDING] == 1
    rebuilding.run(parts, "c")
    verify(parts, "c")
    assert (parts.catalogue.serving("c"), parts.catalogue.collection("c")) == (serving, kept)
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 5, "live work was done first, and by whoever was there"


def test_vectors_of_spaces_that_did_not_change_are_copied_to_the_bit(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = parts.catalogue.serving("c")
    monkeypatch.setattr(WordEncoder, "encode", lambda *_: pytest.fail("it was embedded again"))
    rebuilt(parts)
    new = reindex.coming(parts, "c").index
    ids = [asset.id for asset, _ in parts.catalogue.assets(ME, "c")]
    space = next(space for space in old.spaces if space.sparse)
    was, now = ({p.id: p for p in parts.store.of_assets(index, ids)} for index in (old, new))
    assert set(was) == set(now)
    told = 0
    for point in was.values():
        if isinstance(vector := point.vectors.get(space.vector_name), Sparse):
            copied = now[point.id].vectors[space.vector_name]
            assert isinstance(copied, Sparse)
            assert np.array_equal(vector.values, copied.values)
            told += 1
        assert point.payload == now[point.id].payload
    assert told > 1


@pytest.mark.parametrize(
    "wish",
    [
        Wish(fields={"year": FieldType.INTEGER}),
        Wish(storage=Storage(quantization=Quantization.SCALAR)),
        Wish(spaces=["words"]),
    ],
    ids=["fields", "storage", "a space less"],
)
def test_what_embeds_nothing_decodes_nothing(parts: Parts, wish: Wish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "decode", lambda *_, **__: pytest.fail("it was decoded"))
    monkeypatch.setattr(ColourEncoder, "encode", lambda *_: pytest.fail("it was embedded"))
    said = wishes.plan(parts, "c", wish)
    assert (said.embedded, said.decoded, said.assets) == ((), 0, 4)
    rebuilt(parts, wish)
    assert parts.catalogue.coverage(reindex.coming(parts, "c").index).held == 4


def test_a_field_that_is_declared_later_can_then_be_asked_for(parts: Parts) -> None:
    put(parts, {"dated": "red dog"}, metadata={"day": "2026-01-02", "year": 1999})
    with pytest.raises(BadFilter):
        names(parts, "red", where=Eq("year", 1999))
    switched(parts, Wish(fields={"year": FieldType.INTEGER, "day": FieldType.DATETIME}))
    assert names(parts, "red", where=Eq("year", 1999)) == ["dated"]
    [point] = parts.store.of_assets(parts.catalogue.serving("c"), [parts.catalogue.asset(ME, "c", "dated").id])
    assert point.payload["metadata"]["day"] == "2026-01-02T00:00:00+00:00"
    check_all(parts)


def test_metadata_that_does_not_fit_a_new_field_keeps_the_old_index_serving(parts: Parts) -> None:
    put(parts, {"odd": "red dog"}, metadata={"year": "long ago"})
    wish = Wish(fields={"year": FieldType.INTEGER})
    assert wishes.plan(parts, "c", wish).sample.failed == {"BadMetadata": 1}
    rebuilt(parts, wish)
    put(parts, {"odder": "blue dog"}, metadata={"year": "soon"})
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 6
    verdict = verify(parts, "c")
    assert [check.name for check in verdict.checks if not check.passed] == ["coverage", "counts"]
    with pytest.raises(Conflict, match=r"2 assets that are found now would be lost: odd \(BadMetadata"):
        reindex.switch(parts, "c")
    said = reindex.switch(parts, "c", reason="they are of no use").serving
    assert said.note == "forced: they are of no use"
    assert parts.catalogue.counts(ME, "c")[State.FAILED] == 2


def test_a_plan_says_what_it_would_take_and_writes_nothing(parts: Parts) -> None:
    said = wishes.plan(parts, "c", SWITCHED)
    assert (said.copied, said.embedded, said.dropped) == (("words",), ("colour",), ("colour",))
    assert (said.assets, said.decoded, said.points, said.nothing) == (4, 4, 4, False)
    assert said.seconds is not None
    assert said.seconds > 0
    assert said.bytes > 4 * 1024
    assert said.free is not None
    assert said.free > 0
    assert wishes.plan(parts, "c", Wish(storage=Storage(m=32))).storage_was == Storage()
    assert state_of(parts) == [S.SERVING]
    assert len(parts.store.indexes()) == 1
    assert wishes.plan(parts, "c", Wish()).nothing


def test_what_cannot_be_started_leaves_no_trace(parts: Parts) -> None:
    for wish, fault, said in (
        (Wish(profile="nope"), UnknownProfile, "no profile 'nope'"),
        (Wish(spaces=["smell"]), BadQuery, "has no space smell; it has colour, words"),
        (Wish(), Conflict, "nothing would change"),
    ):
        with pytest.raises(fault, match=said):
            reindex.start(parts, "c", wish)
    assert state_of(parts) == [S.SERVING]


def test_one_reindexing_at_a_time_and_none_while_an_index_soaks(parts: Parts) -> None:
    made = reindex.start(parts, "c", SWITCHED)
    assert reindex.start(parts, "c", SWITCHED).index == made.index, "again is to go on"
    with pytest.raises(Conflict, match="abort it first"):
        reindex.start(parts, "c", Wish(profile="wide"))
    reindex.abort(parts, "c", reason="a mistake")
    assert (state_of(parts), len(parts.store.indexes())) == ([S.SERVING, S.FAILED], 1)
    assert reindex.abort(parts, "c").note == "aborted: a mistake"
    switched(parts)
    with pytest.raises(Conflict, match="still soaks"):
        reindex.start(parts, "c", Wish(profile="wide"))
    assert len(reindex.retire(parts, "c")) == 2
    with pytest.raises(Conflict, match="none soaks"):
        reindex.rollback(parts, "c")
    switched(parts, Wish(profile="wide"))
    assert names(parts, "blue")[0] in ("blue", "mixed"), "another dimension under the same name is another space"


def test_a_space_that_is_new_embeds_what_nothing_could_before(parts: Parts) -> None:
    switched(parts, Wish(profile="hearing"))
    assert [space.name for space in parts.catalogue.serving("c").spaces] == ["colour", "words", "pitch"]
    check_all(parts)


def test_a_status_has_no_verdict_of_another_time(parts: Parts) -> None:
    rebuilt(parts)
    assert reindex.status(parts, "c").checks == ()
    assert not verify(parts, "c", recall=2.0).passed
    assert [check["name"] for check in reindex.status(parts, "c").checks if not check["passed"]] == ["recall"]
    reindex.switch(parts, "c", reason="it is good enough")
    assert reindex.status(parts, "c").verified_at is not None, "there is a way back: why it serves is asked"
    reindex.retire(parts, "c")
    assert reindex.status(parts, "c").checks == ()
    reindex.start(parts, "c", Wish(profile="wide"))
    verify(parts, "c")
    assert reindex.status(parts, "c").checks
    reindex.abort(parts, "c")
    said = reindex.status(parts, "c")
    assert (said.checks, said.verified_at) == ((), None)
    switched(parts, Wish(profile="wide"))
    reindex.rollback(parts, "c")
    assert reindex.status(parts, "c").checks == ()


def test_a_switch_needs_a_verdict_and_a_verdict_needs_everything(parts: Parts) -> None:
    reindex.start(parts, "c", SWITCHED)
    with pytest.raises(Conflict, match="it was not verified"):
        reindex.switch(parts, "c")
    assert not verify(parts, "c").passed, "nothing is built"
    with pytest.raises(Conflict, match="4 assets that are found now would be lost"):
        reindex.switch(parts, "c")
    rebuilding.run(parts, "c")
    assert verify(parts, "c").passed
    new = reindex.coming(parts, "c").index
    parts.catalogue.strike(new, {parts.catalogue.asset(ME, "c", "red").id: 1})
    with pytest.raises(Conflict, match="1 assets that are found now would be found no more: red"):
        reindex.switch(parts, "c")
    assert rebuilding.run(parts, "c").built
    reindex.switch(parts, "c")


def test_what_drifted_is_found_repaired_and_built_again(parts: Parts) -> None:
    rebuilt(parts)
    new = reindex.coming(parts, "c").index
    parts.store.forget(new, {parts.catalogue.asset(ME, "c", "red").id: None})
    verdict = verify(parts, "c")
    assert "drift" in [check.name for check in verdict.checks if not check.passed]
    rebuilding.run(parts, "c")
    assert verify(parts, "c").passed


def test_vectors_that_its_models_do_not_make_are_found_out(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Turned.encode
    monkeypatch.setattr(Turned, "encode", lambda self, some: np.ascontiguousarray(real(self, some)[:, [1, 0, 2, 3]]))
    rebuilt(parts)
    monkeypatch.setattr(Turned, "encode", real)
    verdict = verify(parts, "c")
    [wrong] = [check for check in verdict.checks if not check.passed]
    assert (wrong.name, wrong.figure is not None and wrong.figure < 0.9) == ("sample", True)


def test_a_model_that_fails_a_few_assets_leaves_the_old_one_serving(parts: Parts, failing: Turned) -> None:
    put(parts, {f"a{i:02}": "green" for i in range(30)} | {"bad": "a red dog"})
    rebuilt(parts)
    put(parts, {"worse": "a blue dog"})
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 36, "a fault of the new model is no failure of the asset"
    verdict = verify(parts, "c")
    assert not verdict.passed
    with pytest.raises(Conflict, match=r"2 assets that are found now would be lost: bad \(EncoderBroke"):
        reindex.switch(parts, "c")
    assert sorted(f.external_id for f in parts.catalogue.failures(ME, "c", index=verdict.index)) == ["bad", "worse"]
    assert parts.catalogue.failures(ME, "c") == []
    failing.fails = None
    reindex.resume(parts, "c")
    rebuilding.run(parts, "c")
    assert verify(parts, "c").passed
    reindex.switch(parts, "c")
    check_all(parts)


def test_a_model_that_fails_most_stops_and_says_why(parts: Parts, failing: Turned) -> None:
    failing.fails = "e"
    put(parts, {f"a{i:02}": "green" for i in range(30)})
    reindex.start(parts, "c", SWITCHED)
    said = rebuilding.run(parts, "c")
    assert (said.built, said.paused) == (False, True)
    assert "assets failed:" in reindex.coming(parts, "c").plan["why_paused"]
    assert names(parts, "red")


def test_a_build_that_is_paused_does_nothing_until_it_is_resumed(parts: Parts) -> None:
    reindex.start(parts, "c", SWITCHED)
    reindex.pause(parts, "c")
    assert rebuilding.run(parts, "c").done == 0
    reindex.resume(parts, "c")
    assert rebuilding.run(parts, "c").built


def test_a_disk_that_is_full_stops_the_build_and_harms_nobody(parts: Parts) -> None:
    new = reindex.start(parts, "c", SWITCHED).index
    real = parts.store

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def upsert(self, index: Any, points: Any) -> None:
            if index.id == new.id:
                raise StoreDown("No space left on device")
            real.upsert(index, points)

    parts.__dict__["store"] = Full()
    with pytest.raises(StoreDown):
        rebuilding.run(parts, "c")
    put(parts, {"new": "green"})
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 5
    assert state_of(parts) == [S.SERVING, S.BUILDING]
    parts.__dict__["store"] = real
    parts.catalogue.pardon(new.id)
    rebuilding.run(parts, "c")
    assert verify(parts, "c").passed
    check_all(parts)
