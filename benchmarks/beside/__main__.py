"""The same vectors and the same filters searched by Quiver and by other embedded stores, recall beside every latency.

    python -m benchmarks.beside [--points 100000] [--searches 50] [--rounds 3] [--sides NAME ...]

Each side is a process of its own, in an environment of its own, that is filled once and then asked in turns, so that
what others do to the machine strikes all. Each is used as its documentation shows. Recall is against an exact scan.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.beside.table import beside_table
from benchmarks.load import cores, measured
from benchmarks.peers.child import Child, Failed, alternate
from benchmarks.peers.environment import NotInstalled, environment
from benchmarks.peers.figures import OURS
from benchmarks.search import clustered
from core.spaces import Dense

CACHE = Path(".cache/bench")
OUT = Path("docs/benchmarks/beside.json")
LIMIT = 10
SIDES = {
    OURS: ("", "ours"),
    "LanceDB": ("lancedb", "lance"),
    "Chroma": ("chromadb", "chroma"),
    "qdrant-client local": ("", "local"),
}
SHARES = (None, 0.1, 0.01)  # of the points that the filter leaves; None: no filter


def truth(rows: Dense, queries: Dense, prices: NDArray[np.float64], most: float | None) -> list[set[int]]:
    """The ten nearest of those that the filter leaves, exactly."""
    scores = queries @ rows.T
    if most is not None:
        scores[:, prices >= most] = -np.inf
    return [set(np.argpartition(-row, LIMIT)[:LIMIT].tolist()) for row in scores]


def start(name: str) -> tuple[Child, dict[str, str]]:
    """A side's process, ready. Raises NotInstalled, Failed."""
    lock, module = SIDES[name]
    python = environment(lock, CACHE / "venvs").python if lock else sys.executable
    scratch = (CACHE / "beside" / module).absolute()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("QUIVER_")}
    argv = [python, "-m", f"benchmarks.beside.sides.{module}", "-", str(scratch), "-"]
    child = Child(argv, log=CACHE / "beside" / f"{module}.log", env=kept)
    return child, child.ready()


def run(points: int, searches: int, rounds: int, names: Sequence[str]) -> dict[str, Any]:
    """All of it; what stands in the JSON."""
    folder = CACHE / "beside"
    folder.mkdir(parents=True, exist_ok=True)
    rows, prices = clustered(points, 1), np.random.default_rng(3).random(points)
    queries = clustered(searches * rounds, 2)
    files = {name: str((folder / f"{name}.npy").absolute()) for name in ("rows", "prices")}
    np.save(files["rows"], rows)
    np.save(files["prices"], prices)
    failed: dict[str, str] = {}
    children: dict[str, Child] = {}
    versions: dict[str, dict[str, str]] = {}
    writing: dict[str, float] = {}
    took: dict[str, dict[str, list[float]]] = {}
    right: dict[str, dict[str, int]] = {}

    def fill(name: str, child: Child, _: int) -> None:
        answer = child.ask("fill", vectors=files["rows"], prices=files["prices"])
        if answer.value != points:
            raise Failed(f"{answer.value} of {points} points were written")
        writing[name] = answer.seconds
        print(f"{name:24} {answer.seconds:8.1f} s to write {points:,} points", flush=True)

    def turn(name: str, child: Child, number: int) -> None:
        some = queries[number * searches : (number + 1) * searches]
        np.save(folder / "queries.npy", some)
        for share in SHARES:
            label = "no filter" if share is None else f"{share:.0%} left"
            said = child.ask("search", queries=str((folder / "queries.npy").absolute()), most=share).value
            wanted = truth(rows, some, prices, share)
            took.setdefault(name, {}).setdefault(label, []).extend(seconds for seconds, _ in said)
            found = sum(len(each & set(ids)) for each, (_, ids) in zip(wanted, said, strict=True))
            right.setdefault(name, {}).setdefault(label, 0)
            right[name][label] += found

    with ExitStack() as left:
        for name in names:
            try:
                children[name], versions[name] = start(name)
                left.callback(children[name].end)
            except (NotInstalled, Failed) as exc:
                failed[name] = str(exc)
                print(f"{name:24} {exc}", flush=True)
        failed |= alternate(children, 1, fill)
        filled = {name: child for name, child in children.items() if name not in failed}
        with measured(also=lambda: sum(child.spent() for child in children.values())) as load:
            failed |= alternate(filled, rounds, turn)
    return {
        "points": points,
        "searches": searches * rounds,
        "cores": cores(),
        "cores_of_others": round(load.others, 2),
        "versions": versions,
        "failed": failed,
        "write_seconds": {name: round(seconds, 1) for name, seconds in writing.items()},
        "sides": {
            name: {
                label: {
                    "p50_ms": round(float(np.percentile(seconds, 50)) * 1e3, 2),
                    "p99_ms": round(float(np.percentile(seconds, 99)) * 1e3, 2),
                    "recall": round(right[name][label] / (LIMIT * searches * rounds), 3),
                }
                for label, seconds in labels.items()
            }
            for name, labels in took.items()
            if name not in failed
        },
    }


def main() -> None:
    """Print the table, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--points", type=int, default=100_000)
    args.add_argument("--searches", type=int, default=50, help="in each of the turns")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), metavar="NAME", help=", ".join(SIDES))
    asked = args.parse_args()
    said = run(asked.points, asked.searches, asked.rounds, asked.sides)
    print("\n" + beside_table(said))
    OUT.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
