"""Any order of writes, removals and steps of a reindexing: found is what is there, in every index written to."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import Conflict
from core.fields import FieldType
from core.records import IndexState
from tests.flow.promises import ME, upkeep
from tests.flow.reindexed import check_all, embedded, names, put
from workers import rebuilding, reindex
from workers.removal import remove
from workers.verify import verify
from workers.wishes import Wish

WISHES = {
    "turned": Wish(profile="turned"),
    "toy": Wish(profile="toy"),
    "wide": Wish(profile="wide"),
    "field": Wish(fields={"year": FieldType.INTEGER}),
    "fewer": Wish(spaces=["colour"]),
}
TEXTS = st.sampled_from(["red red", "green", "blue cat", "red and green dog", "coffee"])
NAMES = st.sampled_from(["a", "b", "c", "d"])


class Reindexed(RuleBasedStateMachine):
    """Against what a person would expect: a name has a text, or has none."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.parts = embedded(Path(self.folder.name) / "data", batch=2, lanes=1)
        self.model: dict[str, str] = {}

    def teardown(self) -> None:
        upkeep(self.parts)
        check_all(self.parts)
        self.parts.close()
        self.folder.cleanup()

    @initialize()
    def _something_is_there(self) -> None:
        self.write("a", "red red", index=True)

    @rule(name=NAMES, text=TEXTS, index=st.booleans())
    def write(self, name: str, text: str, index: bool) -> None:
        put(self.parts, {name: text}, index=index)
        self.model[name] = text

    @rule(name=NAMES)
    def take_out(self, name: str) -> None:
        ids = [asset.id for asset, _ in self.parts.catalogue.assets(ME, "c") if asset.external_id == name]
        remove(self.parts, ME, "c", ids)
        self.model.pop(name, None)

    @rule(wish=st.sampled_from(sorted(WISHES)))
    def start(self, wish: str) -> None:
        with suppress(Conflict):
            reindex.start(self.parts, "c", WISHES[wish])

    @rule(whole=st.booleans())
    def build(self, whole: bool) -> None:
        with suppress(Conflict):
            made = reindex.coming(self.parts, "c")
            if whole:
                rebuilding.run(self.parts, "c")
            else:
                rebuilding.step(self.parts, "c", self.parts.catalogue.missing("c", limit=1, index=made.index.id))

    @rule()
    def verify(self) -> None:
        with suppress(Conflict):
            verify(self.parts, "c", sample=4)

    @rule()
    def switch(self) -> None:
        before = self._found()
        with suppress(Conflict):
            reindex.switch(self.parts, "c")
            assert before <= self._found(), "a switch has hidden something"

    @rule()
    def roll_back(self) -> None:
        before = self._found()
        with suppress(Conflict):
            reindex.rollback(self.parts, "c")
            assert before <= self._found(), "the way back has hidden something"

    @rule()
    def retire_or_abort(self) -> None:
        reindex.retire(self.parts, "c")
        with suppress(Conflict):
            reindex.abort(self.parts, "c")

    def _found(self) -> set[str]:
        index = self.parts.catalogue.serving("c")
        signed = {asset for asset, _, _ in self.parts.catalogue.signed(index, limit=100)}
        return {a.external_id for a, _ in self.parts.catalogue.assets(ME, "c") if a.id in signed}

    @invariant()
    def who_asks_is_answered(self) -> None:
        assert set(names(self.parts, "red", limit=10)) <= set(self.model), "something came back"
        assert len(self.parts.catalogue.tended("c", [IndexState.SERVING])) == 1


Reindexed.TestCase.settings = settings(
    max_examples=400 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 10, stateful_step_count=18, deadline=None
)
TestReindexed = Reindexed.TestCase
