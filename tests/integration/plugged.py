"""What the tests of the plug-ins search: a few texts and two pictures, in toy spaces."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TypeVar

import PIL.Image

from quiver import Quiver
from quiver.remote.quiver import RemoteQuiver

TEXTS = {"cat.txt": "a red cat", "dog.txt": "a blue dog", "rocket.txt": "a green rocket", "coffee.txt": "red coffee"}
PICTURES = {"red.png": (255, 0, 0), "blue.png": (0, 0, 255)}
PRICES = {name: price for price, name in enumerate([*TEXTS, *PICTURES], start=1)}
ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ("-m", "tests.launch")  # `quiver` with the toy encoders, run by sys.executable in ROOT


def picture(colour: tuple[int, int, int]) -> bytes:
    """A PNG of one colour."""
    out = io.BytesIO()
    PIL.Image.new("RGB", (20, 16), colour).save(out, "PNG")
    return out.getvalue()


Q = TypeVar("Q", Quiver, RemoteQuiver)


def filled(quiver: Q, collection: str = "c") -> Q:
    """With TEXTS and PICTURES, each with its price."""
    quiver.create(collection, fields={"price": "integer"}, profile="toy")
    quiver.add_texts(collection, [(name, text, {"price": PRICES[name]}) for name, text in TEXTS.items()])
    for name, colour in PICTURES.items():
        quiver.add(collection, file=picture(colour), id=name, metadata={"price": PRICES[name]})
    quiver.wait(collection)
    return quiver


def without(package: str, module: str) -> str:
    """A program that imports a module where a package is not installed."""
    return f"import sys; sys.modules[{package!r}] = None; import {module}"


PYTHON = sys.executable
