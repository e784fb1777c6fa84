"""Traffic while a collection is reindexed: those who ask and those who change things, and what they saw."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from core.errors import NoSuchCollection
from core.runtime.wiring import Parts
from tests.flow.promises import ME, upkeep
from tests.flow.reindexed import ask, check_all, put
from workers import rebuilding, reindex
from workers.removal import remove
from workers.verify import verify

COLOURS = ("red", "green", "blue")
ALIKE = 0.9  # cosine of a question and a text of the same colour; of a vector of the other model it is 0.1
WORDS = ("cat", "dog", "rocket")


@dataclass
class Seen:
    """What one of them saw and did. `name` is the beginning of the names of its own things."""

    name: str
    wrong: list[str] = field(default_factory=list)
    answers: list[tuple[float, float, str]] = field(default_factory=list)  # from when to when, and by whose model
    last: dict[str, str | None] = field(default_factory=dict)  # the word a thing has now; None: it was removed


def ask_all(parts: Parts, seen: Seen, _: random.Random) -> None:
    """The colours that stay are always found, each by its own model."""
    for colour in COLOURS:
        began = monotonic()
        answer = ask(parts, colour, limit=5)
        seen.answers.append((began, monotonic(), answer.encoders["colour"]))
        top = {hit.external_id: hit for hit in answer.hits}
        if not top:
            seen.wrong.append(f"nothing was found for {colour}")
        elif f"stays-{colour}" not in top:
            seen.wrong.append(f"{colour}: {list(top)}")
        elif not any(m.space == "colour" and m.score > ALIKE for m in top[f"stays-{colour}"].matches):
            seen.wrong.append(f"{colour} was compared with another model's vectors: {top[f'stays-{colour}'].matches}")


def change(parts: Parts, seen: Seen, draw: random.Random) -> None:
    """One of its things is added, replaced or removed."""
    name = f"x{seen.name}-{draw.randrange(12)}"
    if draw.random() < 0.3:
        ids = [asset.id for asset, _ in parts.catalogue.assets(ME, "c", limit=500) if asset.external_id == name]
        remove(parts, ME, "c", ids, patience=30)
        seen.last[name] = None
        for index in parts.catalogue.indexes("c") if ids else ():
            with suppress(NoSuchCollection):  # dropped since it was listed
                if parts.store.of_assets(index, ids):
                    seen.wrong.append(f"{name} was removed, and is there")
    else:
        word = draw.choice(WORDS)
        put(parts, {name: f"{word} {draw.random()}"})
        seen.last[name] = word


def go_on(
    parts: Parts, seen: Seen, work: Callable[[Parts, Seen, random.Random], None], until: Callable[[], bool]
) -> None:
    """The same again and again. A fault, whatever it is, ends it and is kept: nobody may see one."""
    draw = random.Random(seen.name)
    while not until() and not seen.wrong:
        try:
            work(parts, seen, draw)
        except Exception as fault:  # noqa: BLE001  # whatever it is, nobody may see it
            seen.wrong.append(f"{type(fault).__name__}: {fault}")


def fill(parts: Parts) -> None:
    """What stays, and some more."""
    put(parts, {f"stays-{colour}": f"{colour} {colour} {colour}" for colour in COLOURS})
    put(parts, {f"o{i:02}": f"{['cat', 'dog', 'coffee'][i % 3]} number {i}" for i in range(12)})


def settled(parts: Parts) -> None:
    """Verified, while others go on to write: what is in their hands is waited for."""
    until = monotonic() + 60
    while not verify(parts, "c", sample=8).passed:
        assert monotonic() < until, reindex.status(parts, "c").checks
        rebuilding.run(parts, "c")


def check_end(parts: Parts, all_seen: Sequence[Seen]) -> None:
    """Nobody saw anything wrong, nothing was lost and nothing came back."""
    assert [wrong for seen in all_seen for wrong in seen.wrong] == []
    upkeep(parts)
    check_all(parts)
    there = {asset.id: asset.external_id for asset, _ in parts.catalogue.assets(ME, "c", limit=1000)}
    texts = {
        point.payload["asset"]: point.payload["text"]
        for point in parts.store.scroll(parts.catalogue.serving("c"), limit=1000)
    }
    found = {name: texts[str(asset)].split()[0] for asset, name in there.items() if name.startswith("x")}
    kept = {name: word for seen in all_seen for name, word in seen.last.items() if word is not None}
    assert found == kept, "lost, or come back"
