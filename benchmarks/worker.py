"""The rate of a Celery worker over that of its encoders alone, and where the rest goes.

Small JPEGs, so that all that is not encoding shows. A real broker, store process and worker, all on this machine;
the clock starts when all are registered and stops when all have receipts. Rounds alternate with the encoders alone,
one lane a core as in the worker, and medians count. What each stage took is what the worker tells Prometheus.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import or_
from pathlib import Path
from urllib.request import urlopen

from benchmarks.load import cores, measured
from benchmarks.photos import make_photos
from benchmarks.pipeline import BATCH, CACHE, decode, encode_all, on_all_cores, unseen
from core.errors import Unavailable
from core.records import State
from core.runtime.wiring import Parts, open_parts
from core.types import AssetId, Tenant
from ingest.sources.paths import items
from workers.broker import broker
from workers.collections import ensure
from workers.intake import register
from workers.supervise import Service, supervise
from workers.tasks import enqueue

OUT = Path("docs/benchmarks/worker.json")
SMALL = ((320, 240, 1.0),)
ME = Tenant("default")
QUIVER = (sys.executable, "-c", "from quiver.cli.app import main; main()")
STAGE = re.compile(r'quiver_stage_seconds_total\{stage="(\w+)"\} (\S+)')
LONGEST = 1800.0  # seconds


@contextmanager
def machine(folder: Path) -> Iterator[tuple[Parts, int]]:
    """A store process, a broker and a worker; parts of this process that speak to them, and the worker's metrics."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = broker(folder / "broker")
    env = {"QUIVER_DATA": str(folder), "QUIVER_STORE": "process", **ours.env}
    parts = open_parts(data=folder, store="process", broker_url=ours.env["QUIVER_BROKER_URL"])
    parts.catalogue.collections()  # migrated before anybody else looks
    services = [
        Service(name="store", argv=[*QUIVER, "store"], env=env, ready=parts.store_answers),
        ours,
        Service(
            name="worker",
            argv=[*QUIVER, "worker", "--loglevel", "error"],
            env={**env, "QUIVER_METRICS_PORT": str(port)},
            ready=lambda: bool(stages(port) is not None),
        ),
    ]
    stopping, up = threading.Event(), threading.Event()
    group = threading.Thread(target=lambda: supervise(services, stopping, on_ready=up.set))
    group.start()
    try:
        while not up.wait(0.1):
            if not group.is_alive():
                raise Unavailable("the worker did not come up: see above")
        yield parts, port
    finally:
        stopping.set()
        group.join()
        parts.close()


def stages(port: int) -> dict[str, float] | None:
    """Seconds that the worker's lanes spent so far, by stage; None while it does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return {name: float(spent) for name, spent in STAGE.findall(answer.read().decode())}
    except OSError:
        return None


def index(parts: Parts, collection: str, photos: Sequence[Path]) -> float:
    """Seconds from telling the worker of all photos, registered before, until the last has its receipt."""
    batches: list[Sequence[AssetId]] = []
    made = ensure(parts, collection)
    register(parts, ME, made, items(photos), lambda _, ids: batches.append(ids))
    tell = enqueue(parts)
    began = time.perf_counter()
    for ids in batches:
        tell(collection, ids)
    while (counts := parts.catalogue.counts(ME, collection))[State.INDEXED] < len(photos):
        if counts[State.FAILED] or time.perf_counter() - began > LONGEST:
            raise SystemExit(f"not all were indexed: {counts}")
        time.sleep(0.1)
    return time.perf_counter() - began


def main() -> None:
    """Print the table, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--photos", type=int, default=2000)
    args.add_argument("--rounds", type=int, default=3)
    said = args.parse_args()
    photos = make_photos(CACHE / "small", said.photos, of=SMALL)
    n = len(photos)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder, machine(Path(folder)) as (parts, port):
        made = parts.encoders.of_profile(parts.settings.profile)
        some = decode(photos[:BATCH], reduce(or_, (encoder.wants for encoder in made)))
        encode_all(made, some)
        index(parts, "warm", photos[: 4 * BATCH])
        for number in range(said.rounds):
            alone = on_all_cores(lambda batch: encode_all(made, unseen(some[: len(batch)])), photos)
            before = stages(port) or {}
            with measured() as load:
                worked = index(parts, f"round-{number}", photos)
            after = stages(port) or {}
            lanes = {name: spent - before.get(name, 0.0) for name, spent in after.items()}
            lanes["waiting"] = cores() * worked - sum(lanes.values())
            one = {"encoders_per_s": n / alone, "worker_per_s": n / worked, "share": alone / worked}
            one |= {f"{name}_ms": 1000 * spent / n for name, spent in lanes.items()}
            one |= {"encoders_ms": 1000 * alone * cores() / n, "registered_and_indexed_s": load.wall}
            rounds.append(one)
            print(f"round {number + 1}: " + "  ".join(f"{name} {value:.2f}" for name, value in one.items()), flush=True)
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    table = {
        "encoders alone, a lane a core": f"{median['encoders_per_s']:.1f} images/s",
        "**a worker of as many lanes**": f"**{median['worker_per_s']:.1f} images/s, {median['share']:.2f} of it**",
        "encoders alone, lane time an image": f"{median['encoders_ms']:.2f} ms",
        **{
            f"in the worker: {name}": f"{median[f'{name}_ms']:.2f} ms"
            for name in ("encode", "decode", "upsert", "commit", "waiting")
        },
    }
    print(f"\n{n} photos of 320x240, {cores()} cores, median of {said.rounds} rounds")
    for name, value in table.items():
        print(f"  {name:36} {value}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(
        json.dumps({"assets": n, "cores": cores(), "table": table, "median": median, "rounds": rounds}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
