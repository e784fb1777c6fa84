"""A film of two hours costs a worker and its decoder less than a gigabyte, and is found at the second."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from core.records import State
from quiver import Quiver
from quiver.sheet import moment
from tests.doubles import toy_parts
from tests.integration.test_celery_worker import broker, until  # noqa: F401  a fixture
from tests.media import BLUE, GREEN, HIGH, LOW, RED, tones

pytestmark = pytest.mark.slow
HOURS, FRAMES = 2, 4  # of the film, and a second
SECONDS = HOURS * 3600
SHOWN = 5025  # 1:23:45, the second at which it turns blue for a while, and high
MOST = 2**30  # bytes

WORKER = """
import sys
from core.encoders import registry
from tests.doubles import hearing

class Family:
    def load(self):
        return hearing

registry.families = lambda: {"hearing": Family()}
sys.argv = ["quiver", "worker", "--concurrency", "1"]
from quiver.cli.app import main
main()
"""


def write_film(path: Path) -> None:
    """Two hours of 640 x 360: shots of half a minute, red and green, one of them blue; low, and there high."""
    with av.open(path, "w", format="mp4") as made:
        options = {"preset": "ultrafast", "crf": "32", "g": str(2 * FRAMES)}
        stream: Any = made.add_stream("libx264", rate=FRAMES, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        voice: Any = made.add_stream("aac", rate=16_000, layout="mono")
        voice.bit_rate = 24_000
        low, high = tones(LOW, seconds=1.0, rate=16_000), tones(HIGH, seconds=1.0, rate=16_000)
        for second in range(SECONDS):
            shown = SHOWN <= second < SHOWN + 20
            colour = BLUE if shown else (RED, GREEN)[second // 30 % 2]
            picture = np.full((360, 640, 3), colour, np.uint8)
            for at in range(FRAMES):
                left = (second * FRAMES + at) * 7 % 600
                picture[160:200, left : left + 40] ^= 255  # something moves
                made.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            wave = av.AudioFrame.from_ndarray(high if shown else low, format="fltp", layout="mono")
            wave.sample_rate, wave.pts, wave.time_base = 16_000, second * 16_000, Fraction(1, 16_000)
            made.mux(voice.encode(wave))
        made.mux(stream.encode())
        made.mux(voice.encode())


@contextmanager
def working(data: Path, url: str) -> Iterator[int]:
    """`quiver worker` in a process of its own; its id."""
    env = {**os.environ, "QUIVER_DATA": str(data), "QUIVER_PROFILE": "hearing", "QUIVER_BROKER_URL": url}
    log = data.parent / "worker.log"
    with (
        log.open("w") as out,
        subprocess.Popen([sys.executable, "-c", WORKER], env=env, stdout=out, stderr=subprocess.STDOUT) as child,
    ):
        try:
            until("the worker is ready", lambda: " ready." in log.read_text() or child.poll() is not None)
            assert child.poll() is None, log.read_text()
            yield child.pid
        finally:
            child.kill()


def resident(pid: int) -> int:
    """Bytes in memory of a process and all below it."""
    try:
        said = Path(f"/proc/{pid}/status").read_text()
        below = [
            each for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = re.search(r"VmRSS:\s+(\d+) kB", said)
    return (int(own[1]) * 1024 if own else 0) + sum(resident(int(each)) for each in below)


@pytest.mark.timeout(1800)
def test_a_film_of_two_hours_takes_less_than_a_gigabyte_and_is_found_at_the_second(
    tmp_path: Path,
    broker: str,  # noqa: F811  the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = tmp_path / "film.mp4"
    write_film(film)
    data = tmp_path / "data"
    peak, began = 0, time.monotonic()
    with Quiver(toy_parts(data, profile="hearing", decode="cage", broker_url=broker)) as quiver:
        quiver.create("c")
        with working(data, broker) as worker:
            added = quiver.add("c", file=film, id="film")
            while quiver.show("c", added.id).state in {State.PENDING, State.WORKING}:
                peak = max(peak, resident(worker))
                time.sleep(0.1)
        view = quiver.show("c", added.id)
        assert view.state is State.INDEXED, view.failure
        seen = quiver.search("c", "blue", modality="video").hits[0]
        heard = quiver.search("c", "high", modality="video").hits[0]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{film.stat().st_size / 2**20:.0f} MiB of film in {time.monotonic() - began:.0f} s, worker and decoder "
            f"together at most {peak / 2**20:.0f} MiB; blue at {moment(seen)}, high at {moment(heard)}\n"
        )
    assert peak < MOST
    for hit, space in ((seen, "colour"), (heard, "pitch")):
        [match] = [match for match in hit.matches if match.space == space][:1]
        assert match.span is not None
        assert match.span.start >= SHOWN - 2
        assert match.span.end <= SHOWN + 22
