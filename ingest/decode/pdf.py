"""PDF to the text of its pages, or to pictures of those that have none, by PDFium: the reader of a browser, which is
fuzzed without pause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil
from typing import BinaryIO

import numpy as np
import pypdfium2 as pdfium

from core.errors import CorruptMedia, EmptyMedia, UnsupportedMedia
from core.types import Image, Modality, Segment, Span, Text, Wants
from ingest.limits import Limits

FEED = "\f"  # between two pages
POINTS = 72  # an inch
INK = 200  # dots an inch that a page is drawn with: what recognizers of writing are trained on
_PASSWORD = 4  # FPDF_ERR_PASSWORD
_HYPHEN = re.compile("[\x02\ufffe]")  # PDFium's sign for a hyphen at the end of a line, which is not in the word
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def decode_pdf(source: BinaryIO, *, limits: Limits, wants: Wants) -> Iterator[Segment]:
    """A segment for each page that says or shows something: its text, with its place in that of all pages, FEED
    between them; or, where images are wanted, a picture of a page without any.

    Raises CorruptMedia, UnsupportedMedia (it has a password, or no text), EmptyMedia, TooLarge.
    """
    try:
        document = pdfium.PdfDocument(source.read())
        yield from _pages(document, limits, wants)
    except pdfium.PdfiumError as exc:
        if getattr(exc, "err_code", None) == _PASSWORD:
            raise UnsupportedMedia("the PDF has a password: save it without one") from exc
        raise CorruptMedia(f"the PDF is damaged ({exc}): repair it or ingest another copy") from exc


def _pages(document: pdfium.PdfDocument, limits: Limits, wants: Wants) -> Iterator[Segment]:
    at = ordinal = drawn = 0
    for number in range(len(document)):
        page = document[number]
        said = _text(page)
        if said.strip():
            limits.check("text_chars", at + len(said))
            yield Segment(ordinal, Text(said), Span(at, at + len(said), "char"))
            at += len(said) + len(FEED)
            ordinal += 1
        elif next(page.get_objects(max_depth=1), None) is not None:
            drawn += 1
            if Modality.IMAGE in wants.contents:
                yield Segment(ordinal, _picture(page, limits, wants))
                ordinal += 1
        page.close()
    if not ordinal and drawn:
        raise UnsupportedMedia(
            "the PDF has no text, only pictures of it: let the collection read it (--read ocr), or run it through an "
            "OCR program first"
        )
    if not ordinal:
        raise EmptyMedia("the PDF's pages are empty: there is nothing to index")


def _text(page: pdfium.PdfPage) -> str:
    text = page.get_textpage()
    try:
        said: str = text.get_text_bounded()
    finally:
        text.close()
    return _NO_TEXT.sub("", _HYPHEN.sub("", said)).replace("\r\n", "\n")


def _picture(page: pdfium.PdfPage, limits: Limits, wants: Wants) -> Image:
    """A page as it is printed. With a `pixels` wanted its short side is no more than twice that."""
    width, height = page.get_size()
    scale = INK / POINTS
    if wants.pixels:
        scale = min(scale, 2 * wants.pixels / max(1.0, min(width, height)))
    while ceil(scale * width) * ceil(scale * height) > limits.pixels:  # PDFium rounds each side up
        scale *= 0.9
    bitmap = page.render(scale=scale, rev_byteorder=True)
    try:
        pixels = np.asarray(bitmap.to_numpy())
        return Image(np.ascontiguousarray(pixels[..., :3] if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)))
    finally:
        bitmap.close()
