"""A film of two hours costs a worker and its decoder less than a gigabyte, and is found at the second.

The pictures are embedded by the models of the profile `packaged`, the sound by a toy: no model of sound is in a wheel.
"""

from __future__ import annotations

import os
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
from numpy.typing import NDArray
from PIL import Image

from core.encoders.registry import Encoders
from core.records import State
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from quiver import Quiver
from tests.doubles import PitchEncoder
from tests.integration.test_celery_worker import broker, until  # noqa: F401  a fixture
from tests.media import BLUE, GREEN, HIGH, LOW, RED, tones
from tests.slow.resident import Resident, resident

pytestmark = pytest.mark.slow
HOURS, FRAMES = 2, 4  # of the film, and a second
SECONDS = HOURS * 3600
SHOWN = 5025  # 1:23:45, the second at which it turns blue for a while, and high
PROFILE = "packaged+pitch"
MOST = 10**9  # bytes
GROWTH = 32 * 2**20  # bytes that the second hour may take more than the first: the files of the index are mapped

WORKER = """
import sys
from core.encoders import registry
from tests.doubles import PitchEncoder

class Family:
    def load(self):
        return lambda argument: [PitchEncoder()]

found = registry.families()
registry.families = lambda: {**found, "pitch": Family()}
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
            there = SHOWN <= second < SHOWN + 20
            colour = BLUE if there else (RED, GREEN)[second // 30 % 2]
            for at in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(drawn(colour, second * FRAMES + at), format="rgb24")
                made.mux(stream.encode(frame))
            wave = av.AudioFrame.from_ndarray(high if there else low, format="fltp", layout="mono")
            wave.sample_rate, wave.pts, wave.time_base = 16_000, second * 16_000, Fraction(1, 16_000)
            made.mux(voice.encode(wave))
        made.mux(stream.encode())
        made.mux(voice.encode())


def drawn(colour: tuple[int, int, int], count: int) -> NDArray[np.uint8]:
    """A frame of 640 x 360: something moves."""
    picture = np.full((360, 640, 3), colour, np.uint8)
    left = count * 7 % 600
    picture[160:200, left : left + 40] ^= 255
    return picture


def shown(folder: Path) -> Path:
    """A picture of the film when it is blue."""
    path = folder / "blue.png"
    Image.fromarray(drawn(BLUE, (SHOWN + 8) * FRAMES)).save(path)
    return path


@contextmanager
def working(data: Path, url: str) -> Iterator[int]:
    """`quiver worker` in a process of its own; its id."""
    env = {**os.environ, "QUIVER_DATA": str(data), "QUIVER_PROFILE": PROFILE, "QUIVER_BROKER_URL": url}
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


@pytest.mark.timeout(1800)
def test_a_film_of_two_hours_takes_less_than_a_gigabyte_and_is_found_at_the_second(
    tmp_path: Path,
    broker: str,  # noqa: F811  the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = tmp_path / "film.mp4"
    write_film(film)
    data = tmp_path / "data"
    held: list[Resident] = []
    began = time.monotonic()
    said = load_settings(data=data, profile=PROFILE, broker_url=broker, lanes=1)
    with Quiver(Parts(said, Encoders({"pitch": lambda _: [PitchEncoder()]}))) as quiver:
        quiver.create("c")
        with working(data, broker) as worker:
            added = quiver.add("c", file=film, id="film")
            while quiver.show("c", added.id).state in {State.PENDING, State.WORKING}:
                held.append(resident(worker))
                time.sleep(0.2)
        view = quiver.show("c", added.id)
        assert view.state is State.INDEXED, view.failure
        seen = quiver.search("c", image=shown(tmp_path), modality="video").hits[0]
        heard = quiver.search("c", "high", modality="video").hits[0]
    peak = max(one.rss for one in held)
    half = len(held) // 2
    growth = peak - max(one.rss for one in held[:half])
    spans = []
    for hit, space in ((seen, "visual"), (heard, "pitch")):
        [match] = [match for match in hit.matches if match.space == space][:1]
        assert match.span is not None
        spans.append(match.span)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{film.stat().st_size / 2**20:.0f} MiB of film in {time.monotonic() - began:.0f} s, worker and decoder "
            f"together at most {peak / 2**20:.0f} MiB resident ({max(one.pss for one in held) / 2**20:.0f} MiB with "
            f"shared pages divided), the second half {growth / 2**20:.0f} MiB more than the first; of second {SHOWN}, "
            f"blue is found at {spans[0].start:.0f} to {spans[0].end:.0f}, high at {spans[1].start:.0f} to "
            f"{spans[1].end:.0f}\n"
        )
    assert peak < MOST
    assert growth < GROWTH
    for span in spans:
        assert span.start >= SHOWN - 2
        assert span.end <= SHOWN + 22
