"""A reindexing under traffic: who asks meanwhile sees no fault, no empty answer, and never two models in one."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from core.errors import NoSuchCollection
from core.runtime.wiring import Parts
from tests.flow.promises import ME, upkeep
from tests.flow.reindexed import SWITCHED, ask, check_all, embedded, put
from workers import rebuilding, reindex
from workers.removal import remove
from workers.verify import verify

ROUNDS = 2


class Traffic:
    """Threads that add, replace, remove and ask until told to stop; what went wrong is kept."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.wrong: list[str] = []
        self.asked = 0
        self.models: set[str] = set()
        self.last: dict[str, str | None] = {}  # by name: the colour it has now; None: it was removed
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(work,))
            for work in (self._ask, self._ask, self._change, self._change)
        ]
        self._turn = iter(range(10**6))

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work: object) -> None:
        draw = random.Random(next(self._turn))
        while not self._stopping.is_set():
            try:
                work(draw)  # type: ignore[operator]  # one of ours
            except Exception as fault:  # noqa: BLE001  # whatever it is, nobody may see it
                self.wrong.append(f"{type(fault).__name__}: {fault}")
                return

    def _ask(self, _: random.Random) -> None:
        """The colours that stay are always found, each by its own model."""
        for colour in ("red", "green", "blue"):
            answer = ask(self.parts, colour, limit=5)
            self.asked += 1
            self.models.add(answer.encoders["colour"])
            top = [hit.external_id for hit in answer.hits]
            if not top:
                self.wrong.append(f"nothing was found for {colour}")
            elif f"stays-{colour}" not in top:
                self.wrong.append(f"{colour}: {top}")

    def _change(self, draw: random.Random) -> None:
        name = f"x{threading.get_native_id()}-{draw.randrange(12)}"
        if draw.random() < 0.3:
            ids = [a.id for a, _ in self.parts.catalogue.assets(ME, "c", limit=500) if a.external_id == name]
            remove(self.parts, ME, "c", ids, patience=30)
            self.last[name] = None
            for index in self.parts.catalogue.indexes("c") if ids else ():
                with suppress(NoSuchCollection):  # dropped since it was listed
                    if self.parts.store.of_assets(index, ids):
                        self.wrong.append(f"{name} was removed, and is there")
        else:
            word = draw.choice(["cat", "dog", "rocket"])
            put(self.parts, {name: f"{word} {draw.random()}"})
            self.last[name] = word


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = embedded(tmp_path / "data")
    put(made, {f"stays-{colour}": f"{colour} {colour} {colour}" for colour in ("red", "green", "blue")})
    put(made, {f"o{i:02}": f"{['cat', 'dog', 'coffee'][i % 3]} number {i}" for i in range(24)})
    return made


def settled(parts: Parts) -> None:
    """Verified, while others go on to write: what is in their hands is waited for."""
    until = monotonic() + 60
    while not verify(parts, "c", sample=8).passed:
        assert monotonic() < until, reindex.status(parts, "c").checks
        rebuilding.run(parts, "c")


def test_nobody_who_asks_meanwhile_notices(parts: Parts) -> None:
    with Traffic(parts) as traffic:
        for _ in range(ROUNDS):
            reindex.start(parts, "c", SWITCHED)
            assert rebuilding.run(parts, "c").built
            settled(parts)
            reindex.switch(parts, "c")
            seen = traffic.asked
            while traffic.asked < seen + 20 and not traffic.wrong:
                pass
            reindex.rollback(parts, "c")
            reindex.retire(parts, "c")
            if traffic.wrong:
                break
    assert traffic.wrong == []
    assert traffic.models == {"toy", "turned"}
    assert traffic.asked > 60
    upkeep(parts)
    check_all(parts)
    there = {asset.external_id for asset, _ in parts.catalogue.assets(ME, "c", limit=1000)}
    kept = {name for name, word in traffic.last.items() if word is not None}
    assert {name for name in there if name.startswith("x")} == kept, "lost, or come back"
