"""Texts a second: batches of like lengths under a budget of tokens, beside batches as texts arrive.

    python -m benchmarks.texts [--texts N] [--rounds N]

Both by the same model in the same precision on one thread, all-MiniLM-L6-v2 with its real weights: what is compared is
how batches are made. Rounds alternate; medians of the ratios within a round count.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.load import measured
from benchmarks.minilm import minilm
from benchmarks.prose import prose
from core.encoders.batches import by_tokens
from core.encoders.models import of_folder
from core.encoders.towers import Float

OUT = Path("docs/benchmarks/texts.json")
BATCH = 32  # texts as they arrive
ARRIVING, WITHIN, SORTED = "as they arrive", "by length, of 32", "by length, of all"


def padded(lengths: Sequence[int], batches: Iterable[Sequence[int]]) -> int:
    """Tokens that a model is given, padding with them."""
    return sum(len(some) * max(lengths[i] for i in some) for some in batches)


def main() -> None:
    """Print the table, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--texts", type=int, default=256)
    args.add_argument("--rounds", type=int, default=5)
    said = args.parse_args()
    encoder = of_folder(minilm())
    words, towers = encoder.tokens, encoder._loaded()
    if words is None or towers.texts is None:
        raise SystemExit("the checkpoint has no tokenizer")
    rows = words.batch(prose(said.texts))
    lengths, embed = [len(row) for row in rows], towers.texts

    def run(batches: Iterable[list[int]]) -> Float:
        out = np.zeros((len(rows), towers.dim), np.float32)
        for some in batches:
            out[some] = embed(*words.padded([rows[i] for i in some]))
        return out

    def arriving() -> list[list[int]]:
        return [list(range(at, min(at + BATCH, len(rows)))) for at in range(0, len(rows), BATCH)]

    def within() -> list[list[int]]:
        return [[some[i] for i in few] for some in arriving() for few in by_tokens([lengths[i] for i in some])]

    # A lane is given 32 assets at a time; a long document alone has as many texts as all of these.
    ways: dict[str, Callable[[], list[list[int]]]] = {
        ARRIVING: arriving,
        WITHIN: within,
        SORTED: lambda: list(by_tokens(lengths)),
    }
    made = {name: run(batches()) for name, batches in ways.items()}  # warm, and the same rows
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in made.values()]
    rounds = []
    for number in range(said.rounds):
        per_s, others = {}, 0.0
        for name, batches in ways.items():
            with measured() as load:
                run(batches())
            per_s[name] = len(rows) / load.wall
            others = max(others, load.others)
        ratios = {f"{name}, times": per_s[name] / per_s[ARRIVING] for name in (WITHIN, SORTED)}
        rounds.append({**per_s, **ratios, "cores_of_others": others})
        print(f"round {number + 1}: " + "  ".join(f"{k} {v:.2f}" for k, v in rounds[-1].items()), flush=True)
    result = {
        "texts": said.texts,
        "tokens": sum(lengths),
        "padded": {name: padded(lengths, batches()) for name, batches in ways.items()},
        "how": towers.how["texts"],
        "median": {name: statistics.median(one[name] for one in rounds) for name in rounds[0]},
        "least_cosine": min(float((unit[0] * one).sum(1).min()) for one in unit),
        "rounds": rounds,
    }
    print(json.dumps({name: value for name, value in result.items() if name != "rounds"}, indent=1))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
