"""How much of known writing is read, and how long that takes: `python -m benchmarks.writing`."""

from __future__ import annotations

import random
import time
from collections import Counter

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from core.readers.ocr import Ocr
from core.types import Image

WORDS = (
    "harbour",
    "office",
    "invoice",
    "number",
    "total",
    "due",
    "dollars",
    "platform",
    "departure",
    "window",
    "garden",
)
PAGES = {"sign": (640, 480, 3, 48), "screen": (1600, 900, 12, 32), "page": (1654, 2339, 40, 30)}  # w, h, lines, size


def drawn(width: int, height: int, lines: int, size: int, pick: random.Random) -> tuple[Image, list[str]]:
    """A white page of random words and numbers, and what they are."""
    picture = PIL.Image.new("RGB", (width, height), "white")
    pen, font = PIL.ImageDraw.Draw(picture), PIL.ImageFont.load_default(size)
    said = []
    for line in range(lines):
        words: list[str] = []
        while pen.textlength(" ".join([*words, "platform"]), font) < width - 100:
            words.append(pick.choice([*WORDS, str(pick.randrange(10_000))]))
        pen.text((40, 30 + line * (height - 60) // lines), " ".join(words), fill="black", font=font)
        said += words
    return Image(np.array(picture)), said


def main() -> None:
    """A line for each kind of page."""
    reader, pick = Ocr(), random.Random(0)
    reader.read(drawn(*PAGES["sign"], pick)[0])  # loads the weights
    for name, shape in PAGES.items():
        right = count = 0
        spent = 0.0
        for _ in range(3):
            picture, said = drawn(*shape, pick)
            began = time.process_time()
            heard = " ".join(line for line, _ in reader.read(picture)).split()
            spent += time.process_time() - began
            right += (Counter(said) & Counter(heard)).total()
            count += len(said)
        print(f"{name:8} {right}/{count} words exactly ({right / count:.1%}), {spent / 3:.2f} CPU-s a picture")


if __name__ == "__main__":
    main()
