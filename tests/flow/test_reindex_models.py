"""A new model that is not what it was said to be: the build ends in a clear state, and the old index serves on."""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from core.errors import Conflict, ModelMismatch
from core.records import IndexState, State
from core.runtime.wiring import Parts
from core.spaces import Dense
from tests.flow.promises import ME
from tests.flow.reindexed import COLOURS, SWITCHED, TURNED, Turned, Wide, check_all, names, put, state_of, switched
from workers import rebuilding, reindex, service
from workers.verify import verify
from workers.wishes import Wish

S = IndexState


def check_old_serves(parts: Parts) -> None:
    """Nothing is lost, and what comes in is found."""
    assert parts.catalogue.serving("c").profile == "toy"
    there = parts.catalogue.counts(ME, "c")[State.INDEXED]
    put(parts, {"new": "green"})
    counts = parts.catalogue.counts(ME, "c")
    assert (counts[State.INDEXED], sum(counts.values())) == (there + 1, there + 1)
    assert set(names(parts, "green")) >= {"green", "new"}
    with pytest.raises(Conflict, match="may not serve yet"):
        reindex.switch(parts, "c")
    reindex.abort(parts, "c")
    assert state_of(parts) == [S.SERVING, S.FAILED]
    check_all(parts)


def test_a_model_of_another_dimension_under_the_same_name_is_another_space(coloured: Parts) -> None:
    before = coloured.catalogue.serving("c").spaces[0]
    switched(coloured, Wish(profile="wide"))
    after = coloured.catalogue.serving("c").spaces[0]
    assert (before.name, before.dim, after.name, after.dim) == ("colour", 4, "colour", 6)
    assert before.vector_name != after.vector_name, "they never meet"
    assert set(names(coloured, "blue")) >= {"blue", "mixed"}
    reindex.rollback(coloured, "c")
    assert set(names(coloured, "blue")) >= {"blue", "mixed"}
    check_all(coloured)


@pytest.mark.parametrize("many", [0, 30], ids=["a few", "many"])
def test_a_model_whose_vectors_are_longer_than_it_says_never_serves(
    coloured: Parts, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(coloured, {f"a{n:02}": "red" for n in range(many)})
    reindex.start(coloured, "c", SWITCHED)
    real = Turned.encode

    def longer(self: Turned, contents: Any) -> Dense:
        return np.pad(real(self, contents), ((0, 0), (0, 2)))

    monkeypatch.setattr(Turned, "encode", longer)
    said = rebuilding.run(coloured, "c")
    made = reindex.coming(coloured, "c")
    failures = coloured.catalogue.failures(ME, "c", index=made.index.id)
    assert {failure.kind for failure in failures} == {"EncoderBroke"}
    assert (said.failed, said.paused) == (len(COLOURS) + many, bool(many))
    assert not verify(coloured, "c").passed
    check_old_serves(coloured)


def test_a_model_that_becomes_another_while_it_builds_stops_the_build_and_no_worker(
    coloured: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    reindex.start(coloured, "c", SWITCHED)
    monkeypatch.setattr(TURNED, "space", replace(Wide().space, model="turned"))
    with pytest.raises(ModelMismatch, match="'turned' makes colour"):
        rebuilding.run(coloured, "c")
    stopping = Event()
    worker = Thread(target=service.serve, args=(coloured, stopping), kwargs={"every": 0.01})
    worker.start()
    while rebuilding.being_built(coloured) and worker.is_alive():
        stopping.wait(0.01)
    put(coloured, {"later": "red"}, index=False)
    while coloured.catalogue.counts(ME, "c").get(State.PENDING) and worker.is_alive():
        stopping.wait(0.01)
    stopping.set()
    worker.join()
    assert coloured.catalogue.counts(ME, "c")[State.INDEXED] == len(COLOURS) + 1, "live work goes on"
    assert (
        reindex.coming(coloured, "c").plan["why_paused"].startswith("ModelMismatch: the index holds colour of turned")
    )
    check_old_serves(coloured)
