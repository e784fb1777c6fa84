"""The HTTP API under load, and whether anything is lost when its worker is killed meanwhile.

    python -m benchmarks.http [--seconds 60] [--clients 32]

`quiver up` with one worker, a collection of texts and small photos, and clients of `locust` on the same machine that
ask again as soon as they were answered: 80 % searches, a third of them filtered, 15 % texts, 3 % pictures, 2 % status.
Then the same for half the time while the worker is killed twice. Every id that was accepted must be indexed once in
the end. The status is 1 if a request failed or that does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks.group import Group, Watch, group, watched
from benchmarks.load import cores, measured
from benchmarks.photos import make_photos
from benchmarks.phrases import FIELDS, metadata, phrase, queries
from benchmarks.pipeline import CACHE
from core.errors import Unavailable
from core.ports import Catalogue
from core.records import State
from core.runtime.wiring import open_parts
from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver

OUT = Path("docs/benchmarks/http.json")
LOG = CACHE / "http.log"
COLLECTION = "load"
SMALL = ((320, 240, 1.0),)
TOLD = ("api", "worker", "store")
SENDERS = 8
LONGEST = 900.0  # seconds for all that was accepted to be indexed


def fill(remote: RemoteQuiver, texts: int, photos: list[Path]) -> set[str]:
    """Put in what searches are to find, and wait until it is indexed; external ids."""
    remote.create(COLLECTION, fields=FIELDS)
    remote.add_texts(COLLECTION, [(f"text-{n}", phrase(n), metadata(n)) for n in range(texts)])

    def send(path: Path) -> str:
        return remote.add(COLLECTION, file=path, id=path.name, metadata={"kind": "photo"}).external_id

    with ThreadPoolExecutor(SENDERS) as pool:
        names = set(pool.map(send, photos))
    remote.wait(COLLECTION, timeout=LONGEST)
    return names | {f"text-{n}" for n in range(texts)}


def alone(remote: RemoteQuiver) -> float:
    """Milliseconds of a search while nothing else is asked: the median of a hundred, after as many to warm up."""
    asked, times = queries()[:100], []
    for words in [*asked, *asked]:
        began = time.perf_counter()
        remote.search(COLLECTION, words)
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times[len(asked) :])


def percentile(times: Mapping[str, int], share: float) -> float:
    """Milliseconds within which that share of the requests was answered; `times` counts them by milliseconds."""
    counted = sorted((float(time), count) for time, count in times.items())
    wanted = share * sum(count for _, count in counted)
    for each, count in counted:
        wanted -= count
        if wanted <= 0:
            return each
    return 0.0


def summary(said: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of what locust wrote, by kind of request: how many, how many failed, a second, p50 and p99 in milliseconds."""
    began = min(each["start_time"] for each in said)
    wall = max(each["last_request_timestamp"] for each in said) - began
    return {
        each["name"]: {
            "requests": each["num_requests"],
            "failed": each["num_failures"],
            "per_s": each["num_requests"] / wall,
            "p50_ms": percentile(each["response_times"], 0.5),
            "p99_ms": percentile(each["response_times"], 0.99),
            "most_ms": each["max_response_time"],
        }
        for each in said
    }


def drive(made: Group, folder: Path, photos: Path, *, clients: int, seconds: int) -> list[dict[str, Any]]:
    """Clients for that long; those that asked are waited for. What they wrote lies in `folder`."""
    folder.mkdir()
    env = {"BENCH_OUT": str(folder), "BENCH_PHOTOS": str(photos), "BENCH_COLLECTION": COLLECTION}
    argv = [sys.executable, "-m", "locust", "-f", "benchmarks/locustfile.py", "--headless", "--only-summary", "--json"]
    argv += ["-u", str(clients), "-r", str(clients), "-t", f"{seconds}s", "--stop-timeout", "60", "--host", made.base]
    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    try:
        said: list[dict[str, Any]] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Unavailable(f"locust ended with status {done.returncode}: {done.stdout[-2000:]}{done.stderr}") from None
    if not said:
        raise Unavailable(f"locust asked nothing: {done.stderr[-4000:]}")
    return said


def killing(made: Group, seconds: float, ended: Event) -> int:
    """Kill the worker at a third and at two thirds of the time; how often there was one."""
    killed = 0
    for _ in range(2):
        if not ended.wait(seconds / 3):
            killed += made.kill_worker()
    return killed


def settle(made: Group, catalogue: Catalogue, collection: str) -> float:
    """Seconds until nothing waits any more. Raises Unavailable when the group has ended."""
    began = time.monotonic()
    while catalogue.oldest_waiting(collection):
        if made.process.poll() is not None:
            raise Unavailable(f"the group ended with status {made.process.returncode}: see {LOG}")
        if time.monotonic() - began > LONGEST:
            break  # what is missing is counted by who asked
        time.sleep(0.1)
    return time.monotonic() - began


def lost(remote: RemoteQuiver, expected: set[str]) -> dict[str, Any]:
    """What is not as it must be: each expected asset indexed once, in the catalogue and in the index."""
    page = remote.assets(COLLECTION, limit=1000)
    states = [(each.asset.external_id, each.state) for each in page]
    while page:
        page = remote.assets(COLLECTION, after=states[-1][0], limit=1000)
        states += [(each.asset.external_id, each.state) for each in page]
    indexed = {name for name, state in states if state is State.INDEXED}
    drift = remote.reconcile(COLLECTION)
    said = {
        "expected": len(expected),
        "missing": sorted(expected - indexed)[:20],
        "not_asked_for": sorted({name for name, _ in states} - expected)[:20],
        "listed_twice": len(states) - len(dict(states)),
        "counted_beside": sum(remote.status(COLLECTION)[0].counts.values()) - len(expected),
        "receipts_beside": drift.receipts - len(expected),
        "drift": {str(kind): count for kind, count in drift.counts.items()},
    }
    said["ok"] = not any(value for name, value in said.items() if name != "expected")
    return said


def part(
    made: Group,
    remote: RemoteQuiver,
    catalogue: Catalogue,
    expected: set[str],
    name: str,
    *,
    clients: int,
    seconds: int,
    photos: Path,
    kill: bool,
) -> dict[str, Any]:
    """One load and what came of it; `expected` grows by what was accepted."""
    out, ended, killed = made.data / name, Event(), [0]
    killer = Thread(target=lambda: killed.append(killing(made, seconds, ended) if kill else 0))
    with measured(also=made.spent) as load, watched(made, catalogue, COLLECTION) as watch:
        killer.start()
        try:
            said = drive(made, out, photos, clients=clients, seconds=seconds)
        finally:
            ended.set()
            killer.join()
    with watched(made, catalogue, COLLECTION) as after:
        lag = settle(made, catalogue, COLLECTION)
    accepted = (out / "accepted").read_text().splitlines()
    expected |= set(accepted)
    failures = (out / "failed").read_text().splitlines()
    by_kind = summary(said)
    result = {
        "seconds": seconds,
        "per_s": sum(one["per_s"] for one in by_kind.values()),
        "errors": sum(int(one["failed"]) for one in by_kind.values()),
        "first_errors": failures[:5],
        "requests": by_kind,
        "accepted": len(accepted),
        "accepted_twice": len(accepted) - len(set(accepted)),
        "killed": killed[-1],
        "to_kill": 2 if kill else 0,
        "lag": {
            "oldest_s": [round(each, 1) for each in watch.oldest],
            "most_s": max([*watch.oldest, *after.oldest]),
            "after_s": lag,
        },
        "rss_mib": held(watch),
        "cores": busy(watch),
        "cores_of_others": load.others,
        "cores_of_ours": load.own / load.wall,
        "lost": lost(remote, expected),
    }
    print(f"{name}: {json.dumps(result, indent=1)}", flush=True)
    return result


def sound(one: Mapping[str, Any]) -> bool:
    """Whether nothing failed, nothing was lost and the worker was killed as often as it was to be."""
    return not one["errors"] and one["lost"]["ok"] and not one["accepted_twice"] and one["killed"] == one["to_kill"]


def held(watch: Watch) -> dict[str, dict[str, float]]:
    """MiB of each service at the start, in the middle and at the end."""
    looks = [each for each in watch.services if set(TOLD) <= each.keys()]
    at = {"start": looks[0], "middle": looks[len(looks) // 2], "end": looks[-1]}
    return {name: {when: each[name].rss / 2**20 for when, each in at.items()} for name in TOLD}


def busy(watch: Watch) -> dict[str, float]:
    """Cores that each service used between its first look and its last, as long as it was the same process."""
    out = {}
    for name in TOLD:
        seen = [(at, each[name]) for at, each in zip(watch.seconds, watch.services, strict=True) if name in each]
        (began, first), (ended, last) = seen[0], next(one for one in reversed(seen) if one[1].pid == seen[0][1].pid)
        out[name] = (last.spent - first.spent) / max(ended - began, 1e-9)
    return out


def main() -> None:
    """Print both parts, write the JSON."""
    args = argparse.ArgumentParser(description="The HTTP API under load, and while its worker is killed.")
    args.add_argument("--seconds", type=int, default=60)
    args.add_argument("--clients", type=int, default=32)
    args.add_argument("--texts", type=int, default=2000)
    args.add_argument("--photos", type=int, default=100)
    said = args.parse_args()
    photos = make_photos(CACHE / "http", said.photos, of=SMALL)
    more: dict[str, Any] = {"clients": said.clients, "photos": CACHE / "http"}
    with tempfile.TemporaryDirectory(prefix="quiver-") as folder, group(Path(folder), LOG) as made:
        parts = open_parts(data=Path(folder))
        with Quiver.connect(made.base, patience=0) as remote:
            began = time.monotonic()
            expected = fill(remote, said.texts, photos)
            print(f"{len(expected)} assets sent and indexed in {time.monotonic() - began:.1f} s", flush=True)
            quiet = alone(remote)
            print(f"a search alone takes {quiet:.1f} ms", flush=True)
            both: dict[str, dict[str, Any]] = {}
            for name, seconds in (("steady", said.seconds), ("killed", max(1, said.seconds // 2))):
                kill = name == "killed"
                both[name] = part(made, remote, parts.catalogue, expected, name, seconds=seconds, kill=kill, **more)
        parts.close()
    wrong = [name for name, one in both.items() if not sound(one)]
    told = {"clients": said.clients, "cores": cores(), "texts": said.texts, "photos": said.photos, "alone_ms": quiet}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(told | both, indent=1) + "\n")
    if wrong:
        sys.exit(f"errors or losses in: {', '.join(wrong)}; what was logged is in {LOG}")


if __name__ == "__main__":
    main()
