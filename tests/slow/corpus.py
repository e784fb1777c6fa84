"""Real small files, one in twenty of them bad, and what is to be said of each."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import PIL.Image

from tests.doubles import COLOURS, VOCABULARY
from tests.photos import huge_png, photo

MEMORY = 128 << 20  # bytes that decoding one file may take in a run
CPU_SECONDS = 1
JPEG = b"\xff\xd8"
SHARE = 20  # one file in so many is bad


@dataclass(frozen=True, slots=True)
class Bad:
    """A kind of bad file: its name's ending, the class it is reported as, and whether the ingest itself reports it."""

    what: str
    suffix: str
    make: Callable[[int], bytes]
    kind: str
    at_intake: bool


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was written: good names, and bad names with what they are."""

    folder: Path
    good: tuple[str, ...]
    bad: dict[str, Bad]


def bomb(number: int) -> bytes:
    """A PNG of a few hundred bytes that claims 3.6 thousand million pixels."""
    made = photo("PNG", seed=number)
    head = b"IHDR" + struct.pack(">II", 60_000, 60_000) + made[24:29]
    return made[:12] + head + struct.pack(">I", zlib.crc32(head)) + made[33:]


@cache
def _spinner() -> bytes:
    out = io.BytesIO()
    PIL.Image.new("L", (3000, 3000), 90).save(out, "JPEG", progressive=True)
    made = out.getvalue()
    last = made.rindex(b"\xff\xda")
    return made[:last] + made[last:-2] * 2000 + made[-2:]


def spinner(number: int) -> bytes:
    """A valid JPEG of 80 kB whose last scan comes 2,000 times: seconds of processor time for 9 million pixels."""
    return _spinner() + bytes([number % 256])


@cache
def _hoarder() -> bytes:
    return huge_png(9_000, 9_000)


def hoarder(number: int) -> bytes:
    """A PNG inside the limit of pixels that unpacks to more memory than decoding may take."""
    return _hoarder() + bytes([number % 256])


def late_nonsense(number: int) -> bytes:
    """A text that stops being UTF-8 after what is looked at when it comes in."""
    return f"a text {number} ".encode() * 10_000 + b"\xff\xfe"


BAD = (
    Bad(
        "truncated JPEG", ".jpg", lambda n: (made := photo(seed=n, width=200))[: len(made) // 2], "CorruptMedia", False
    ),
    Bad("truncated PNG", ".png", lambda n: (made := photo("PNG", seed=n))[: len(made) * 2 // 3], "CorruptMedia", False),
    Bad("header cut off", ".png", lambda n: photo("PNG", seed=n)[:20], "CorruptMedia", True),
    Bad("decompression bomb", ".png", bomb, "TooLarge", True),
    Bad("too many pixels", ".png", lambda n: huge_png(20_000, 10_000) + bytes([n % 256]), "TooLarge", True),
    Bad("too much memory", ".png", hoarder, "OutOfMemory", False),
    Bad("kills its decoder", ".jpg", spinner, "TimedOut", False),
    Bad("text named .jpg", ".jpg", lambda n: f"a letter {n}".encode(), "CorruptMedia", True),
    Bad("empty", ".txt", lambda n: b"", "EmptyMedia", True),
    Bad("a program", ".bin", lambda n: b"\x7fELF\2\1\1" + bytes(range(256)) * (n % 5 + 1), "UnsupportedMedia", True),
    Bad("not UTF-8 at its end", ".txt", late_nonsense, "CorruptMedia", False),
    Bad("breaks the encoder", ".txt", lambda n: f"poison {n}".encode(), "EncoderBroke", False),
)


def text(number: int, version: int = 1) -> bytes:
    """A small text that both toy encoders see; every third version is long enough for several segments."""
    said = f"a {COLOURS[number % 3]} {VOCABULARY[number % 4]}, number {number}, version {version}. "
    return (said * (1 if version % 3 else 100)).encode()


def picture(number: int) -> bytes:
    """A small JPEG or PNG."""
    return photo("JPEG" if number % 3 else "PNG", 160 + number % 97, 120 + number % 61, seed=number)


def make_corpus(folder: Path, count: int) -> Corpus:
    """`count` files: nineteen in twenty are good, two thirds of those pictures."""
    folder.mkdir(parents=True)
    good: list[str] = []
    bad: dict[str, Bad] = {}
    for number in range(count):
        if number % SHARE == SHARE // 2:
            what = BAD[number // SHARE % len(BAD)]
            name, data = f"{number:05}{what.suffix}", what.make(number)
            bad[name] = what
        elif number % 3:
            data = picture(number)
            name = f"{number:05}{'.jpg' if data[:2] == JPEG else '.png'}"
            good.append(name)
        else:
            name, data = f"{number:05}.txt", text(number)
            good.append(name)
        (folder / name).write_bytes(data)
    return Corpus(folder, tuple(good), bad)
