"""The rate of a Celery worker beside the same work in one process and its encoders alone, and where the rest goes.

Small JPEGs, so that all that is not encoding shows. A real broker, store process and worker, all on this machine. The
clock runs from the first file that is registered to the last receipt, in the worker as in the one process. Rounds
alternate, the encoders alone run on one lane a core as in both, and medians count. What each stage took is what the
worker tells Prometheus. Each run is a tenant's own, so that nothing is found of the run before.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
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

from benchmarks.group import spent_below
from benchmarks.load import cores, measured
from benchmarks.photos import make_photos
from benchmarks.pipeline import BATCH, CACHE, decode, encode_all, on_all_cores, unseen
from core.encoders.registry import Encoders
from core.errors import Unavailable
from core.records import State
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts, open_parts
from core.types import AssetId, Tenant
from ingest.sources.paths import items
from quiver import Quiver
from workers.broker import broker
from workers.collections import ensure
from workers.intake import register
from workers.supervise import Service, supervise
from workers.tasks import enqueue

OUT = Path("docs/benchmarks/worker.json")
SMALL = ((320, 240, 1.0),)
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


def ingest(parts: Parts, name: str, photos: Sequence[Path], *, a_task: int) -> float:
    """Seconds from registering the first, told to the worker by so many a task, until the last has its receipt."""
    made, tenant, tell = ensure(parts, "bench"), Tenant(name), enqueue(parts)

    def submit(collection: str, ids: Sequence[AssetId]) -> None:
        for at in range(0, len(ids), a_task):
            tell(collection, ids[at : at + a_task])

    began = time.perf_counter()
    register(parts, tenant, made, items(photos), submit)
    while (counts := parts.catalogue.counts(tenant, made.name))[State.INDEXED] < len(photos):
        if counts[State.FAILED] or time.perf_counter() - began > LONGEST:
            raise SystemExit(f"not all were indexed: {counts}")
        time.sleep(0.05)
    return time.perf_counter() - began


def in_process(folder: Path, encoders: Encoders, photos: Sequence[Path]) -> float:
    """Seconds that the same takes without a worker, from the first to the last."""
    shutil.rmtree(folder, ignore_errors=True)
    with Quiver(Parts(load_settings(data=folder), encoders)) as quiver, measured() as load:
        report = quiver.ingest(*photos, collection="bench")
    if report.indexed != len(photos):
        raise SystemExit(f"{report.indexed} of {len(photos)} indexed: {report.refused} {report.failures}")
    return load.wall


def main() -> None:
    """Print the table, write the JSON."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--photos", type=int, default=800)
    args.add_argument("--rounds", type=int, default=3)
    said = args.parse_args()
    photos = make_photos(CACHE / "small", said.photos, of=SMALL)
    n, encoders = len(photos), Encoders()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder, machine(Path(folder)) as (parts, port):
        made = encoders.of_profile(parts.settings.profile)
        some = decode(photos[:BATCH], reduce(or_, (encoder.wants for encoder in made)))
        encode_all(made, some)
        ingest(parts, "warm", photos[: 4 * BATCH], a_task=BATCH)
        in_process(Path(folder) / "alone", encoders, photos[:BATCH])
        for number in range(said.rounds):
            with measured(also=lambda: spent_below(os.getpid())) as load:
                alone = on_all_cores(lambda batch: encode_all(made, unseen(some[: len(batch)])), photos)
                here = in_process(Path(folder) / "alone", encoders, photos)
                before = stages(port) or {}
                worked = ingest(parts, f"batches-{number}", photos, a_task=BATCH)
                after = stages(port) or {}
                singly = ingest(parts, f"singles-{number}", photos, a_task=1)
            lanes = {name: spent - before.get(name, 0.0) for name, spent in after.items()}
            lanes["waiting"] = cores() * worked - sum(lanes.values())
            one = {"encoders_per_s": n / alone, "in_process_per_s": n / here, "worker_per_s": n / worked}
            one |= {"singly_per_s": n / singly, "share": alone / worked, "of_in_process": here / worked}
            one |= {"singly_of_batches": worked / singly, "encoders_ms": 1000 * alone * cores() / n}
            one |= {f"{name}_ms": 1000 * spent / n for name, spent in lanes.items()}
            one |= {"cores_of_others": load.others}
            rounds.append(one)
            print(f"round {number + 1}: " + "  ".join(f"{name} {value:.2f}" for name, value in one.items()), flush=True)
    median = {name: statistics.median(one.get(name, 0.0) for one in rounds) for name in rounds[0]}
    spent = [name.removesuffix("_ms") for name in median if name.endswith("_ms") and name != "encoders_ms"]
    table = {
        "encoders alone, a lane a core": f"{median['encoders_per_s']:.1f} images/s",
        "all of it in one process": f"{median['in_process_per_s']:.1f} images/s",
        f"**through a worker, {BATCH} a task**": f"**{median['worker_per_s']:.1f} images/s: "
        f"{median['of_in_process']:.2f} of one process, {median['share']:.2f} of the encoders alone**",
        "through a worker, one a task": f"{median['singly_per_s']:.1f} images/s: {median['singly_of_batches']:.2f} of "
        f"{BATCH} a task",
        "encoders alone, lane time an image": f"{median['encoders_ms']:.2f} ms",
        **{f"in the worker: {name}": f"{median[f'{name}_ms']:.2f} ms" for name in spent},
        "cores that others used meanwhile": f"{median['cores_of_others']:.2f}",
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
