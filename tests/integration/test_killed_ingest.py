"""An ingest that is killed loses nothing and doubles nothing, however often it is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from core.points import Scope
from core.records import State
from quiver import Quiver
from tests.doubles import toy_parts
from tests.flow.promises import ME, check
from tests.photos import photo

COUNT = 500
DEADLINE = 60.0  # seconds; a healthy machine needs a few

SLOWLY = """
import sys, time
from pathlib import Path
from quiver import Quiver
from tests import doubles

real = doubles.ColourEncoder.encode

def encode(self, contents):
    time.sleep(0.004 * len(contents))  # so that the kill lands in the middle
    return real(self, contents)

doubles.ColourEncoder.encode = encode
with Quiver(doubles.toy_parts(Path(sys.argv[1]), batch=8)) as quiver:
    quiver.ingest(sys.argv[2], collection="c")
"""


def counts(data: Path) -> dict[State, int]:
    """As the catalogue says, read beside the process that works."""
    parts = toy_parts(data)
    try:
        known = {made.name for made in parts.catalogue.collections()}
        return parts.catalogue.counts(ME, "c") if "c" in known else {}
    finally:
        parts.close()


def kill_in_the_middle(data: Path, files: Path, *, after: int) -> int:
    """Start an ingest, kill it without warning when more than `after` assets are indexed; how many then were."""
    child = subprocess.Popen([sys.executable, "-c", SLOWLY, str(data), str(files)], stderr=subprocess.PIPE, text=True)
    with child:
        until = time.monotonic() + DEADLINE
        while child.poll() is None and time.monotonic() < until:
            if data.joinpath("catalogue.db").exists() and counts(data).get(State.INDEXED, 0) > after:
                break
            time.sleep(0.05)
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        child.kill()
    return counts(data)[State.INDEXED]


def test_an_ingest_killed_twice_over_500_pictures_ends_with_each_found_once(tmp_path: Path) -> None:
    files, data = tmp_path / "files", tmp_path / "data"
    files.mkdir()
    for at in range(COUNT):
        kind = ("jpg", "JPEG") if at % 2 else ("png", "PNG")
        (files / f"{at:03}.{kind[0]}").write_bytes(photo(kind[1], 32 + at % 40, 24 + at // 40, seed=at))
    counts(data)  # makes the tables, so that no poll meets half of them
    first = kill_in_the_middle(data, files, after=20)
    assert 20 < first < COUNT, "the kill was to land in the middle"
    second = kill_in_the_middle(data, files, after=first + 40)
    assert first < second < COUNT, "the second run was to go on from where the first was stopped"

    for _ in range(2):
        with Quiver(toy_parts(data)) as quiver:
            report = quiver.ingest(files, collection="c")
            assert report.ok, (report.refused, report.failures)
            (status,) = quiver.status("c")
            assert status.counts[State.INDEXED] == sum(status.counts.values()) == COUNT
    assert (report.added, report.changed, report.unchanged, report.indexed) == (0, 0, COUNT, 0)

    parts = toy_parts(data)
    with Quiver(parts) as quiver:
        check(parts)
        index = parts.catalogue.serving("c")
        points = parts.store.scroll(index, limit=2 * COUNT)
        assert len(points) == parts.store.count(index, Scope(tenant=ME)) == COUNT
        assert {point.payload["external_id"] for point in points} == {path.name for path in files.iterdir()}
        hits = quiver.search("c", "red", limit=1000, exact=True).hits
        assert len(hits) == len({hit.asset for hit in hits}) == COUNT
        for name in ("000.png", "255.jpg", "499.jpg"):
            assert quiver.content("c", name) == (files / name).read_bytes()
        stored = [path for path in (data / "blobs").rglob("*") if path.is_file()]
        assert not [path for path in stored if path.parent.name == "discarded"]
        digests = {asset.digest for asset, _ in parts.catalogue.assets(ME, "c", limit=2 * COUNT)}
        assert {path.name for path in stored if path.parent.name != "incoming"} == digests
