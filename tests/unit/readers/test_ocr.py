"""The writing in pictures, by the real recognizer on writing that is known."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from core.errors import MissingExtra, ReaderBroke
from core.readers.ocr import Ocr
from core.types import Image, Reading
from tests.papers import written

LINES = ("HARBOUR OFFICE", "Invoice number 2481", "Total due: 73 dollars", "Thank you!")


@pytest.fixture(scope="module")
def ocr() -> Ocr:
    return Ocr()


def image(*lines: str, **more: Any) -> Image:
    return Image(np.array(written(lines, **more)))


def lines(ocr: Ocr, picture: Image) -> list[str]:
    return [line for line, _ in ocr.read(picture)]


def test_writing_is_read_exactly_and_in_order(ocr):
    assert lines(ocr, image(*LINES)) == list(LINES)
    assert [span for _, span in ocr.read(image(*LINES))] == [None] * len(LINES)
    assert ocr.reading is Reading.OCR


def test_the_recognizer_is_given_blue_first_as_it_was_trained():
    given: list[np.ndarray] = []

    class Seen:
        txts = ("  a line ", " ")

    def engine(pixels: np.ndarray) -> Seen:
        given.append(pixels)
        return Seen()

    reader = Ocr(_engine=engine)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert lines(reader, Image(pixels)) == ["a line"]
    assert np.array_equal(given[0], pixels[..., [2, 1, 0]])


@pytest.mark.parametrize("shape", [(1, 1), (8, 800), (64, 64), (800, 9)])
def test_a_picture_without_writing_says_nothing_whatever_its_size(ocr, shape):
    assert ocr.read(Image(np.full((*shape, 3), 255, np.uint8))) == []


def test_long_lines_are_not_turned_upside_down(ocr):
    page = [f"Line {i} of a long letter from the harbour office about invoice number {i * 37}" for i in range(6)]
    assert lines(ocr, image(*page, size=(1600, 500), height=30)) == page


@pytest.mark.timeout(60)
def test_a_line_as_slim_as_a_ribbon_is_read_in_the_time_of_other_pictures(ocr):
    assert lines(ocr, image("HARBOUR OFFICE", size=(3000, 120), height=50)) == ["HARBOUR OFFICE"]


def test_noise_is_no_writing(ocr):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    assert ocr.read(Image(pixels)) == []


def test_a_large_page_is_read_as_well(ocr):
    assert lines(ocr, image(*LINES, size=(3000, 2400), height=90)) == list(LINES)


def test_threads_read_what_one_reads(ocr):
    pages = [image(f"Page {i}", f"of {i * 7}", size=(500, 240)) for i in range(4)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ocr.read, pages)) == [ocr.read(page) for page in pages]


def test_what_breaks_inside_is_a_defect_that_names_the_reader(ocr):
    with pytest.raises(ReaderBroke, match="ocr by RapidOCR"):
        ocr.read(Image(np.zeros((50, 50, 7), np.uint8)))


def test_without_the_extra_the_message_says_how_to_install_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("core.readers.ocr.find_spec", lambda name: None if name == "rapidocr" else find(name))
    with pytest.raises(MissingExtra, match=r'pip install "quiver\[ocr\]"'):
        Ocr()
