"""The promises of a stage, to be run by whoever writes one: `check_reranker(quiver, "c", "my-stage", "words")`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from retrieval.request import Hit

if TYPE_CHECKING:
    from quiver.facade import Quiver

LIMIT = 100
THREADS = 4
NO_TIME = 1e-9  # seconds


@dataclass(frozen=True, slots=True)
class Trial:
    """A stage, and a question of a collection to try it on."""

    quiver: Quiver
    collection: str
    spec: str | Mapping[str, Any]
    query: str

    def plain(self, **more: Any) -> tuple[Hit, ...]:
        """What is found without the stage."""
        return self.quiver.search(self.collection, self.query, **{"limit": LIMIT, **more}).hits

    def staged(self, **more: Any) -> tuple[Hit, ...]:
        """What is found with it."""
        return self.quiver.search(self.collection, self.query, **{"limit": LIMIT, **more}, rerank=[self.spec]).hits


def check_reranker(quiver: Quiver, collection: str, spec: str | Mapping[str, Any], query: str) -> None:
    """Raise AssertionError, naming every promise of `retrieval.stages.Reranker` that a stage breaks over the hits of a
    query, of which there must be two at least and LIMIT at most."""
    trial, broken = Trial(quiver, collection, spec, query), list[str]()
    found = len(trial.plain(limit=LIMIT + 1))
    if not 2 <= found <= LIMIT:
        many = f"more than {LIMIT}" if found > LIMIT else found
        raise AssertionError(
            f"{query!r} finds {many} assets of {collection!r}: try a stage on a collection of 2 to {LIMIT} assets"
        )
    for promise in PROMISES:
        try:
            promise(trial)
        except Exception as exc:  # noqa: BLE001  # whatever a stage raises breaks the promise
            said = str(exc) if isinstance(exc, AssertionError) else f"{type(exc).__name__}: {exc}"
            broken.append(f"{(promise.__doc__ or '').rstrip('.')}: {said}")
    if broken:
        raise AssertionError("\n".join([f"{spec!r} breaks {len(broken)} promises", *broken]))


def _same_hits(trial: Trial) -> None:
    """it invents no hit and doubles none."""
    trial.staged()  # which the chain of stages looks after


def _ordered(trial: Trial) -> None:
    """scores fall, or stay, from hit to hit."""
    for one, other in pairwise(trial.staged()):
        assert one.score >= other.score, f"{one.score} comes before {other.score}"


def _again(trial: Trial) -> None:
    """the same question has the same answer again, of several threads at once, too."""
    first = [hit.asset for hit in trial.staged()]
    with ThreadPoolExecutor(THREADS) as pool:
        made = pool.map(lambda _: [hit.asset for hit in trial.staged()], range(THREADS))
        assert all(one == first for one in made), "the order differs"


def _untouched(trial: Trial) -> None:
    """what is shown of a hit stays as it was."""
    before = {hit.asset: (hit.external_id, dict(hit.metadata)) for hit in trial.plain()}
    for hit in trial.staged():
        assert before.get(hit.asset) == (hit.external_id, dict(hit.metadata)), f"{hit.external_id} was changed"


def _few(trial: Trial) -> None:
    """one hit, and none at all, are taken."""
    every = [hit.asset for hit in trial.plain()]
    one, none = len(trial.staged(without=every[1:])), len(trial.staged(without=every))
    assert one <= 1, f"one hit became {one}"
    assert not none, f"no hit became {none}"


def _late(trial: Trial) -> None:
    """without time the earlier order stands, and the answer says so."""
    answer = trial.quiver.search(
        trial.collection, trial.query, limit=LIMIT, rerank=[trial.spec], budget=NO_TIME, explain=True
    )
    assert answer.partial, "nothing was told"
    assert [hit.asset for hit in answer.hits] == [hit.asset for hit in trial.plain()], "the order is another"


PROMISES: tuple[Callable[[Trial], None], ...] = (_same_hits, _ordered, _again, _untouched, _few, _late)
