"""Quiver and its peers, each in an environment of its own, on the same weights and the same files, in one run.

    python -m benchmarks.peers [--files 400] [--rounds 3] [--points 100000] [--peers NAME ...]

Sides are processes that load once; in every round each takes in all photos, one side after the other, so that what
others do to the machine strikes all. Then texts are asked of 100,000 points, in turns of `--searches`. A side that
cannot be installed or fails is in the table with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import cores, measured
from benchmarks.peers.checkpoint import checkpoint
from benchmarks.peers.child import Child, Failed, alternate
from benchmarks.peers.environment import NotInstalled, environment
from benchmarks.peers.figures import OURS, cosine, ingest_rows, install_rows, latencies, rates, search_rows
from benchmarks.photos import make_photos
from benchmarks.phrases import phrase
from benchmarks.search import CLUSTERS
from core.encoders.registry import Encoders
from core.spaces import Dense
from core.types import Text

CACHE = Path(".cache/bench")
OUT = Path("docs/benchmarks/peers.json")
TURNS = 5
WARM = 5  # searches before those that count
WAKING = 32  # photos before those that count: a side that waits for the others may lose its pages meanwhile
DIFFERENT = 7 * 7 * 7 * 6  # first sentences of phrases
STRIDE = 37  # of their numbers: neighbours differ in one word only


@dataclass(frozen=True, slots=True)
class Side:
    """One row: the lock of its environment (none: ours), its module in `sides`, its variant."""

    lock: str
    module: str
    variant: str = "-"
    searches: bool = False


SIDES = {
    OURS: Side("", "ours", searches=True),
    "sentence-transformers": Side("sentence-transformers", "sentences", "fp32", searches=True),
    "sentence-transformers bf16": Side("sentence-transformers", "sentences", "bf16", searches=True),
    "txtai": Side("txtai", "txtai"),
    "infinity": Side("infinity", "infinity"),
    "clip-retrieval": Side("clip-retrieval", "clip_retrieval"),
}


@dataclass(slots=True)
class Bench:
    """What was found out so far."""

    children: dict[str, Child] = field(default_factory=dict)
    sides: dict[str, dict[str, Any]] = field(default_factory=dict)
    vectors: dict[str, list[float]] = field(default_factory=dict)  # of the first photo
    failed: dict[str, str] = field(default_factory=dict)  # to be installed, to load or to ingest: why
    unsearched: dict[str, str] = field(default_factory=dict)  # the same of searches
    ingested: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    searched: dict[str, list[list[float]]] = field(default_factory=dict)

    def spent(self) -> float:
        """Core seconds of all children."""
        return sum(child.spent() for child in self.children.values())

    def end(self) -> None:
        """Of all children."""
        for child in self.children.values():
            child.end()

    def start(self, name: str, model: Path, photo: str) -> None:
        """Install, load, and embed one photo, so that nothing is done for the first time in a round.

        Raises NotInstalled, Failed.
        """
        side, about = SIDES[name], self.sides.setdefault(name, {})
        python = sys.executable
        if side.lock:
            made = environment(side.lock, CACHE / "venvs")
            python = made.python
            about |= {"install_seconds": made.seconds, "bytes": made.size}
        label = f"{side.module}-{side.variant}"
        argv = [python, "-m", f"benchmarks.peers.sides.{side.module}", str(model)]
        argv += [str((CACHE / "peers" / label).absolute()), side.variant]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("QUIVER_")}
        child = Child(argv, log=CACHE / "peers" / f"{label}.log", env=kept | {"HF_HUB_OFFLINE": "1"})
        self.children[name] = child
        about["versions"] = child.ready()
        self.vectors[name] = child.ask("vector", path=photo).value

    def ingest(self, name: str, child: Child, paths: list[str]) -> None:
        """One round of one side, once it is awake and the files are in memory. Raises Failed."""
        child.ask("ingest", paths=paths[:WAKING])
        for path in paths:
            Path(path).read_bytes()
        with measured(also=self.spent) as load:
            answer = child.ask("ingest", paths=paths)
        if answer.value != len(paths):
            raise Failed(f"{answer.value} of {len(paths)} were taken in")
        per_s = len(paths) / answer.seconds
        self.ingested.setdefault(name, []).append({"per_s": per_s, "cores_of_others": load.others})
        print(f"{name:28} {per_s:8.1f} photos/s   others {load.others:.2f}", flush=True)

    def search(self, name: str, child: Child, texts: list[str]) -> None:
        """One turn of one side, once it is awake. Raises Failed."""
        child.ask("search", texts=[_text(-1 - n) for n in range(WARM)])
        took = child.ask("search", texts=texts).value
        self.searched.setdefault(name, []).append(took)
        print(f"{name:28} {1000 * float(np.median(took)):8.1f} ms at p50", flush=True)


def run(said: argparse.Namespace) -> dict[str, Any]:
    """All of it; what stands in the JSON."""
    (CACHE / "peers").mkdir(parents=True, exist_ok=True)
    model = checkpoint(CACHE / "vit-b-32").absolute()
    # in a folder of their own, for clip-retrieval takes whole folders
    paths = [str(path.absolute()) for path in make_photos(CACHE / f"peers-photos-{said.files}", said.files)]
    bench = Bench()
    with ExitStack() as left:
        left.callback(bench.end)
        for name in said.peers:
            try:
                bench.start(name, model, paths[0])
            except (NotInstalled, Failed) as exc:
                bench.failed[name] = bench.unsearched[name] = str(exc)
            print(f"{name:28} {bench.failed.get(name, 'ready')}", flush=True)
        able = {name: child for name, child in bench.children.items() if name not in bench.failed}
        bench.failed |= alternate(able, said.rounds, lambda name, child, _: bench.ingest(name, child, paths))
        asking = [name for name in said.peers if SIDES[name].searches and said.points]
        others = _searching(bench, {name: able[name] for name in asking if name in able}, said, model)
    for name, vector in bench.vectors.items():
        if OURS in bench.vectors:
            bench.sides[name]["cosine"] = cosine(bench.vectors[OURS], vector)
    return {
        "files": said.files,
        "rounds": said.rounds,
        "points": said.points,
        "cores": cores(),
        "sides": bench.sides,
        "failed": bench.failed,
        "unsearched": bench.unsearched,
        "ingest": rates(bench.ingested),
        "searched": asking,
        "search": latencies(bench.searched),
        "cores_of_others_in_search": others,
        "ingest_rounds": bench.ingested,
    }


def _searching(bench: Bench, able: dict[str, Child], said: argparse.Namespace, model: Path) -> float:
    """The same points into each, then the same texts, in turns; the cores that others used meanwhile."""
    if not able:
        return 0.0
    vectors = CACHE / "peers" / f"vectors-{said.points}.npy"
    np.save(vectors, _among(model, said.points))

    def fill(name: str, child: Child, _: int) -> None:
        answer = child.ask("fill", vectors=str(vectors.absolute()))
        if answer.value != said.points:
            raise Failed(f"{answer.value} of {said.points} points were written")
        print(f"{name:28} {answer.seconds:8.1f} s to write {said.points:,} points", flush=True)

    def turn(name: str, child: Child, number: int) -> None:
        first = number * said.searches
        bench.search(name, child, [_text(first + n) for n in range(said.searches)])

    failed = alternate(able, 1, fill)
    filled = {name: child for name, child in able.items() if name not in failed}
    with measured(also=bench.spent) as load:
        failed |= alternate(filled, TURNS, turn)
    bench.unsearched |= failed
    return load.others


def _among(model: Path, count: int) -> Dense:
    """f32 (count, dim), unit rows, around what texts embed to by the model: a query is asked among its like. Of points
    that have nothing to do with queries no graph tells which are near."""
    [encoder] = Encoders().of_profile(f"clip:{model}")
    centres = np.asarray(encoder.encode([Text(phrase(97 * number)) for number in range(CLUSTERS)]))
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((count, centres.shape[1]), np.float32) * centres.std(axis=0)
    rows = centres[rng.integers(0, CLUSTERS, count)] + 0.7 * noise
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _text(number: int) -> str:
    """Another for every number: nothing is asked twice."""
    return phrase((number * STRIDE) % DIFFERENT).partition(".")[0]


def main() -> None:
    """Print the tables, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--files", type=int, default=400)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--points", type=int, default=100_000, help="to search among; 0: no searches")
    args.add_argument("--searches", type=int, default=60, help="texts in each of the turns")
    args.add_argument("--peers", nargs="+", choices=SIDES, default=list(SIDES), metavar="NAME", help=", ".join(SIDES))
    args.add_argument("--out", type=Path, default=OUT)
    asked = args.parse_args()
    said = run(asked)
    print("\n".join(["", ingest_rows(said), search_rows(said), install_rows(said)]))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
