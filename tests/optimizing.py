"""A crowd at an index while it is optimized: searches with known answers, writes and deletes, and their seconds."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from time import perf_counter, sleep
from uuid import UUID

import numpy as np

from core.points import Nearest, Scope
from core.ports import VectorStore
from core.records import Index, IndexState
from core.spaces import Dense
from core.types import AssetId, Tenant
from tests.strategies import make_asset, make_points, make_space

T = Scope(tenant=Tenant("t"))
LATENT = 16  # dimensions that matter: as of real embeddings, and few enough for a graph to find every point by itself
LATE = 1_000_000  # the numbers of what is written meanwhile begin here


def rows_of(count: int, dim: int, seed: int = 0) -> Dense:
    """Unit vectors, no two alike."""
    random = np.random.default_rng(seed)
    plane = np.random.default_rng(99).normal(size=(LATENT, dim)).astype(np.float32)
    rows: Dense = random.normal(size=(count, LATENT)).astype(np.float32) @ plane
    rows += 0.1 * random.normal(size=(count, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def index_of(dim: int) -> Index:
    """One dense space and no declared fields."""
    return Index(id="i", collection="c", state=IndexState.SERVING, spaces=(make_space("s", dim),), fields={})


def write(store: VectorStore, index: Index, numbers: range, rows: Dense, generation: int = 1) -> None:
    """One point a number."""
    assets = [make_asset(number=n, generation=generation) for n in numbers]
    (space,) = index.spaces
    store.upsert(index, make_points(assets, {space: list(rows)}, fields={}))


def fill(store: VectorStore, index: Index, rows: Dense, start: int = 0, stop: int | None = None) -> None:
    """Number n has the vector rows[n - 1]; flushed as indexing does, after every batch."""
    stop = len(rows) if stop is None else stop
    for at in range(start, stop, 256):
        end = min(at + 256, stop)
        write(store, index, range(at + 1, end + 1), rows[at:end])
        store.flush(index)


def nearest(store: VectorStore, index: Index, vector: Dense) -> list[tuple[int, int]]:
    """The numbers and generations that are found, best first."""
    (space,) = index.spaces
    hits = store.search(index, [Nearest(space=space, vector=vector, scope=T, limit=3)])[0]
    return [(UUID(hit.payload["asset"]).int, hit.payload["generation"]) for hit in hits]


def held(store: VectorStore, index: Index) -> dict[int, int]:
    """Every number that is there, and its generation."""
    out: dict[int, int] = {}
    after: UUID | None = None
    while page := store.scroll(index, after=after, limit=1000):
        out |= {UUID(point.payload["asset"]).int: point.payload["generation"] for point in page}
        after = page[-1].id
    return out


@dataclass
class Crowd:
    """What was acknowledged, what was wrong, and the seconds that each search took."""

    index: Index
    rows: Dense
    written: dict[int, int] = field(default_factory=dict)  # number to generation
    gone: list[int] = field(default_factory=list)
    vectors: dict[int, Dense] = field(default_factory=dict)  # of what was written meanwhile
    wrong: list[str] = field(default_factory=list)
    took: list[tuple[float, float]] = field(default_factory=list)  # when it began, how long
    writes: list[float] = field(default_factory=list)
    filled: int = 0  # rows that are there from the beginning; all when 0

    def ask(self, store: VectorStore, turn: int) -> None:
        """One search: of a point that nobody touches, of one that was just written, of one that was deleted."""
        number = wanted = 2 * (turn * 7919 % ((self.filled or len(self.rows)) // 2)) + 1  # odd: nobody deletes those
        vector, generation = self.rows[number - 1], 1
        if turn % 3 == 1 and self.written:
            number = wanted = list(self.written)[-1]
            vector, generation = self.vectors[number], self.written[number]
        elif turn % 3 == 2 and self.gone:
            number, wanted = self.gone[-1], 0
            vector = self.rows[number - 1]
        began = perf_counter()
        found = nearest(store, self.index, vector)
        self.took.append((began, perf_counter() - began))
        if wanted and (not found or found[0][0] != wanted or found[0][1] < generation):
            self.wrong.append(f"{number} of generation {generation} is not first: {found}")
        if not wanted and number in dict(found):
            self.wrong.append(f"{number} was deleted and is found: {found}")

    def change(self, store: VectorStore, turn: int) -> None:
        """One write or delete; acknowledged when it is on the disk."""
        began = perf_counter()
        match turn % 4:
            case 0 | 1:  # new ones
                fresh = rows_of(8, self.rows.shape[1], seed=1000 + turn)
                numbers = range(LATE + 8 * turn, LATE + 8 * turn + 8)
                write(store, self.index, numbers, fresh)
                store.flush(self.index)
                self.vectors |= dict(zip(numbers, fresh, strict=True))
                self.written |= dict.fromkeys(numbers, 1)
            case 2 if self.written:  # a newer generation of one that is there
                number = next(iter(self.written))
                write(store, self.index, range(number, number + 1), self.vectors[number][None], generation=turn)
                store.flush(self.index)
                self.written[number] = turn
            case _:
                number = 2 * (turn % (len(self.rows) // 2)) + 2
                store.forget(self.index, {AssetId(UUID(int=number)): None})
                store.flush(self.index)
                self.gone.append(number)
        self.writes.append(perf_counter() - began)

    def check(self, store: VectorStore) -> list[str]:
        """What is not as it was acknowledged."""
        there = held(store, self.index)
        lost = [n for n, generation in self.written.items() if there.get(n, 0) < generation]
        lost += [n for n in range(1, (self.filled or len(self.rows)) + 1) if n not in there and n % 2]
        back = [n for n in self.gone if n in there]
        return [f"lost {lost[:9]}"] * bool(lost) + [f"came back {back[:9]}"] * bool(back)

    @contextmanager
    def at(self, store: VectorStore, *, pause: float = 0.03) -> Iterator[None]:
        """A thread that searches without a pause, and one that writes and deletes. What fails in either is raised."""
        done = Event()

        def searching() -> None:
            turn = 0
            while not done.is_set():
                self.ask(store, turn := turn + 1)

        def writing() -> None:
            turn = len(self.writes)
            while not done.is_set():
                self.change(store, turn := turn + 1)
                sleep(pause)

        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(searching), pool.submit(writing)]
            try:
                yield
            finally:
                done.set()
            for each in running:
                each.result()

    def said(self) -> str:
        """Milliseconds: half of the searches, 99 of 100, all; the slowest write."""
        half, most, slowest = (1e3 * float(np.quantile([s for _, s in self.took], q)) for q in (0.5, 0.99, 1))
        writes = 1e3 * max(self.writes, default=0.0)
        return (
            f"{len(self.took):,} searches: half within {half:.1f} ms, 99 % within {most:.1f}, all within {slowest:.1f};"
            f" {len(self.writes):,} writes, all within {writes:.0f} ms"
        )
