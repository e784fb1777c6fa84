"""A reindexing beside the encoder alone, a copy of vectors, and the searches that go on meanwhile.

    python -m benchmarks.reindex [--texts 2000]

Texts through real weights (all-MiniLM-L6-v2): the collection is ingested in one profile, then a second space is added.
What must be embedded is embedded, the other space's vectors are copied. A thread asks all the while; its p99 is set
beside that of a quiet second. Then an index of the same spaces is built anew: nothing is embedded.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.load import cores, measured
from benchmarks.minilm import minilm
from benchmarks.phrases import phrase
from core.encoders.registry import Encoders
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.types import Text
from quiver import Quiver
from workers.rebuilding import run
from workers.reindex import retire, start, switch
from workers.verify import verify
from workers.wishes import Wish

CACHE = Path(".cache/bench/reindex")
OUT = Path("docs/benchmarks/reindex.json")
BATCH = 32
PAUSE = 0.02  # seconds between two searches of the thread that asks


class Asking:
    """Searches on a thread of their own while a block runs."""

    def __init__(self, quiver: Quiver) -> None:
        self._quiver, self.took, self.empty = quiver, list[float](), 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._over.wait(PAUSE):
            began = perf_counter()
            answer = self._quiver.search("bench", phrase(number * 37))
            self.took.append(perf_counter() - began)
            self.empty += not answer.hits
            number += 1

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def p99_ms(self) -> float:
        """Of the searches so far."""
        return float(np.percentile(self.took, 99)) * 1e3 if self.took else 0.0


def encoder_alone(parts: Parts, profile: str, texts: list[str]) -> float:
    """Texts a second into the spaces that a reindexing embeds, a lane a core."""
    made = [encoder for encoder in parts.encoders.of_profile(profile) if not encoder.space.sparse]
    batches = [[Text(text) for text in texts[at : at + BATCH]] for at in range(0, len(texts), BATCH)]
    for encoder in made:
        encoder.encode(batches[0])
    began = perf_counter()
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda batch: [encoder.encode(batch) for encoder in made], batches))
    return len(texts) / (perf_counter() - began)


def main() -> None:
    """Print the table, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--texts", type=int, default=2000)
    args.add_argument("--more", default="", help="profile that is added; without it, MiniLM from its package")
    said = args.parse_args()
    more = said.more or f"hf:{minilm().absolute()}"
    data = CACHE / "data"
    shutil.rmtree(data, ignore_errors=True)
    texts = [f"{phrase(n)} Number {n}." for n in range(said.texts)]
    parts = Parts(load_settings(data=data), Encoders())
    with Quiver(parts) as quiver, measured() as load:
        quiver.create("bench", profile="packaged")
        quiver.add_texts("bench", [(f"{n}", text, {}) for n, text in enumerate(texts)])
        quiver.attend()
        for number in range(10):
            quiver.search("bench", phrase(number))
        with Asking(quiver) as quiet:
            threading.Event().wait(5)
        alone = encoder_alone(parts, more, texts)
        start(parts, "bench", Wish(profile=f"packaged+{more}"))
        with Asking(quiver) as during:
            began = perf_counter()
            run(parts, "bench")
            embedded = perf_counter() - began
        verdict = verify(parts, "bench")
        switch(parts, "bench")
        retire(parts, "bench")
        start(parts, "bench", Wish(), anew=True)
        began = perf_counter()
        run(parts, "bench")
        copied = perf_counter() - began
    out: dict[str, Any] = {
        "texts": said.texts,
        "cores": cores(),
        "encoder_alone_per_s": round(alone, 1),
        "reindex_per_s": round(said.texts / embedded, 1),
        "share_of_encoder": round(said.texts / embedded / alone, 3),
        "copied_points_per_s": round(said.texts / copied, 1),
        "search_p99_ms": {"idle": round(quiet.p99_ms, 1), "during the build": round(during.p99_ms, 1)},
        "searches": {
            "idle": len(quiet.took),
            "during the build": len(during.took),
            "empty": quiet.empty + during.empty,
        },
        "verified": verdict.passed,
        "cores_of_others": round(load.others, 2),
    }
    OUT.write_text(json.dumps(out, indent=1) + "\n")
    for name, value in out.items():
        print(f"{name:24}{value}")


if __name__ == "__main__":
    main()
