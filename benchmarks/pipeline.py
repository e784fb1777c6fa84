"""Images a second through the whole pipeline, over what decoding and encoding alone would allow.

The roofline of two stages on n cores is n / (decode + encode core seconds an image): both stages run on every core, so
their costs add. Rounds alternate, medians count, and the cores that others used are printed beside each figure. What is
measured is a service at work: weights are loaded, decoders run, the collection is made, files lie in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import or_
from pathlib import Path

from benchmarks.group import spent_below
from benchmarks.load import cores, measured
from benchmarks.photos import make_photos
from core.encoders.registry import Encoders
from core.ports import Encoder
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.types import Content, Image, Modality, Wants
from ingest.limits import Limits
from ingest.prepare import prepare, whole
from quiver import Quiver

CACHE = Path(".cache/bench")
OUT = Path("docs/benchmarks/pipeline.json")
BATCH = 32


def decode(paths: Sequence[Path], wants: Wants) -> list[Content]:
    """As the workers do it."""
    limits = Limits()
    out: list[Content] = []
    for path in paths:
        with path.open("rb") as source:
            made = prepare(source, modality=Modality.IMAGE, media_type="image/jpeg", limits=limits, wants=wants)
            out += [segment.content for segment in whole(made)]
    return out


def on_all_cores(work: Callable[[Sequence[Path]], object], paths: Sequence[Path]) -> float:
    """Seconds for batches of paths on one thread a core."""
    batches = [paths[at : at + BATCH] for at in range(0, len(paths), BATCH)]
    with measured() as load, ThreadPoolExecutor(cores()) as pool:
        list(pool.map(work, batches))
    return load.wall


def unseen(contents: Sequence[Content]) -> list[Content]:
    """The same pictures as new ones: an encoder remembers those it saw last."""
    return [Image(content.pixels) for content in contents if isinstance(content, Image)]


def encode_all(encoders: Sequence[Encoder], contents: Sequence[Content]) -> None:
    """Into every space that takes images."""
    for encoder in encoders:
        if Modality.IMAGE in encoder.space.modalities:
            encoder.encode(contents)


def in_memory(paths: Sequence[Path]) -> None:
    """Read them, so that no disk is measured: the roofline knows none."""
    for path in paths:
        path.read_bytes()


def decoders() -> float:
    """Core seconds of the processes that decode."""
    return spent_below(os.getpid())


def main() -> None:
    """Print the table, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--photos", type=int, default=1000)
    args.add_argument("--rounds", type=int, default=5)
    said = args.parse_args()
    photos = make_photos(CACHE / "photos", said.photos)
    encoders = Encoders()
    made = encoders.of_profile("packaged")
    wants = reduce(or_, (encoder.wants for encoder in made))
    some = decode(photos[:BATCH], wants)
    encode_all(made, some)
    with Quiver(Parts(load_settings(data=CACHE / "warm"), encoders)) as quiver:
        quiver.ingest(photos[0], collection="warm")
        quiver.search("warm", "a photo")  # weights and engine are loaded, of texts too: a service runs for weeks
    rounds = []
    for number in range(said.rounds):
        in_memory(photos)
        decoding = on_all_cores(lambda batch: decode(batch, wants), photos)
        encoding = on_all_cores(lambda batch: encode_all(made, unseen(some[: len(batch)])), photos)
        data = CACHE / "data"
        shutil.rmtree(data, ignore_errors=True)
        with Quiver(Parts(load_settings(data=data), encoders)) as quiver:
            quiver.ingest(photos[0], collection="first")  # the database is made, and the decoders run
            quiver.create("bench")
            in_memory(photos)
            with measured(also=decoders) as load:
                report = quiver.ingest(photos[0].parent, collection="bench")
        if report.indexed != said.photos:
            raise SystemExit(f"{report.indexed} of {said.photos} indexed: {report.refused} {report.failures}")
        n = said.photos
        rounds.append(
            {
                "decode_per_s": n / decoding,
                "encode_per_s": n / encoding,
                "roofline_per_s": n / (decoding + encoding),
                "pipeline_per_s": n / load.wall,
                "share": (decoding + encoding) / load.wall,
                "cores_of_others": load.others,
            }
        )
        print(
            f"round {number + 1}: " + "  ".join(f"{name} {value:.2f}" for name, value in rounds[-1].items()), flush=True
        )
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    print(f"\n{said.photos} photos, {cores()} cores, median of {said.rounds} rounds")
    for name, value in median.items():
        print(f"  {name:16} {value:8.2f}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(
        json.dumps({"photos": said.photos, "cores": cores(), "median": median, "rounds": rounds}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
