"""Any story of additions, replacements, removals, crashes and lost, doubled or late messages ends well after upkeep."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from core.errors import StoreDown
from core.stores.memory import MemoryStore
from core.types import AssetId, Modality, Text
from ingest.sources.manifest import Inline
from retrieval.request import SearchRequest
from retrieval.search import search
from tests.doubles import Flaky, toy_parts
from tests.flow.promises import ME, check, upkeep
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register
from workers.reconcile import reconcile
from workers.removal import remove

NAMES = st.sampled_from(["a", "b", "c", "d"])
WORDS = st.sampled_from(["red", "green", "blue", "cat", "dog rocket", "red " * 700])


class Story(RuleBasedStateMachine):
    """Messages are kept in a list instead of a broker, so that they can be lost, doubled and delivered late."""

    messages: Bundle[tuple[AssetId, ...]] = Bundle("messages")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="quiver-story-"))
        self.parts = toy_parts(self.folder, batch=2)
        self.fail_after = -1
        self.parts.__dict__["store"] = Flaky(MemoryStore(), self._before)
        self.parts.__dict__["catalogue"] = Flaky(self.parts.catalogue, self._before)
        self.collection = ensure(self.parts, "c")
        self.parts.store.create(self.parts.catalogue.serving("c"))
        self.there: dict[str, str] = {}

    def _before(self, name: str) -> None:
        self.fail_after -= 1
        if self.fail_after == 0:
            raise StoreDown(f"the story stops it at {name}")

    @rule(target=messages, name=NAMES, text=WORDS)
    def add_or_replace(self, name: str, text: str) -> tuple[AssetId, ...]:
        """Its message is what `messages` holds: it may never come, or come often."""
        sent: list[AssetId] = []
        register(self.parts, ME, self.collection, [Inline(name, text)], lambda _, ids: sent.extend(ids))
        self.there[name] = text
        return tuple(sent)

    @rule(ids=messages)
    def deliver(self, ids: Sequence[AssetId]) -> None:
        index_batch(self.parts, "c", ids)

    @rule(ids=messages, calls=st.integers(1, 14))
    def deliver_and_crash(self, ids: Sequence[AssetId], calls: int) -> None:
        """As a death: what is left behind stays, leases too."""
        self.fail_after = calls
        with suppress(StoreDown):
            index_batch(self.parts, "c", ids)
        self.fail_after = -1

    @rule(name=NAMES)
    def take_out(self, name: str) -> None:
        if self.there.pop(name, None) is not None:
            remove(self.parts, ME, "c", [self.parts.catalogue.asset(ME, "c", name).id])

    @rule(name=NAMES, calls=st.integers(1, 8))
    def take_out_and_crash(self, name: str, calls: int) -> None:
        if name not in self.there:
            return
        asset = self.parts.catalogue.asset(ME, "c", name)
        self.fail_after = calls
        with suppress(StoreDown):
            remove(self.parts, ME, "c", [asset.id])
        self.fail_after = -1
        if name not in {a.external_id for a, _ in self.parts.catalogue.assets(ME, "c")}:
            del self.there[name]

    @rule()
    def sweep(self) -> None:
        upkeep(self.parts)
        check(self.parts)

    @rule()
    def reconcile(self) -> None:
        reconcile(self.parts, "c", repair=True)

    @invariant()
    def what_is_known_is_what_was_said(self) -> None:
        known = {asset.external_id for asset, _ in self.parts.catalogue.assets(ME, "c")}
        assert known == set(self.there)

    @rule()
    def what_is_there_is_found_and_nothing_else(self) -> None:
        upkeep(self.parts)
        found = self._found()
        assert found == set(self.there)

    def _found(self) -> set[str]:
        request = SearchRequest(
            tenant=ME, collection="c", query=Text("red"), modalities=frozenset({Modality.TEXT}), limit=100
        )
        answer = search(
            request,
            catalogue=self.parts.catalogue,
            store=self.parts.store,
            encoder_of=lambda space: self.parts.encoders.of_space("toy", space),
        )
        return {hit.external_id for hit in answer.hits}

    def teardown(self) -> None:
        if hasattr(self, "parts"):
            upkeep(self.parts)
            check(self.parts)
            assert reconcile(self.parts, "c").counts == {}
            assert self._found() == set(self.there)
            self.parts.close()
            shutil.rmtree(self.folder)


TestAnyStory = Story.TestCase
TestAnyStory.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
