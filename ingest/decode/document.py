"""Documents: files that hold text among other things. What they are by their bytes, and their text.

The readers are imported where they are used: in the child that decodes, and not by every process that sniffs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from core.errors import CorruptMedia
from core.types import Segment, Span, Text, Wants
from ingest.decode.text import decode_text, said
from ingest.limits import Limits

HTML = "text/html"
PDF = "application/pdf"
RTF = "application/rtf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ODT = "application/vnd.oasis.opendocument.text"
EPUB = "application/epub+zip"
DOCUMENTS = frozenset({HTML, PDF, RTF, DOCX, ODT, EPUB})

_BEGINS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), kind)
    for pattern, kind in (
        (rb"(?:\xef\xbb\xbf)?\s{0,64}%PDF-", PDF),
        (rb"\{\\rtf\d", RTF),
        # Both formats want an entry of this name first, and not compressed, to be known by.
        (rb"PK\x03\x04.{26}mimetypeapplication/epub\+zip", EPUB),
        (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument\.text(?!-)", ODT),
        (rb"(?:\xef\xbb\xbf)?(?:\s|<\?xml.{0,200}?\?>|<!--.{0,2000}?-->){0,8}<(?:!doctype html|html)[\s>]", HTML),
    )
)
_ZIP = b"PK\x03\x04"
_TAIL = 1 << 20  # bytes at the end of an archive in which its list of parts is looked for
_WORD = re.compile(rb"PK\x01\x02.{42}word/document\d*\.xml", re.DOTALL)


def document_of(source: BinaryIO, head: bytes) -> str | None:
    """The media type of a document that begins so; None: it is none. `source` is left anywhere."""
    for pattern, kind in _BEGINS:
        if pattern.match(head):
            return kind
    if head.startswith(_ZIP):
        size = source.seek(0, os.SEEK_END)
        source.seek(max(0, size - _TAIL))
        return DOCX if _WORD.search(source.read(_TAIL)) else None
    return None


def is_plain(media_type: str) -> bool:
    """Whether a text is its file's bytes, so that reading it runs no parser."""
    return media_type.startswith("text/") and media_type not in DOCUMENTS


def decode_document(source: BinaryIO, *, media_type: str, limits: Limits, wants: Wants) -> Iterator[Segment]:
    """The text of a file of any kind, whole or a page a segment, each with its place in all of it; for pages without
    text see `ingest.decode.pdf`. Raises CorruptMedia, EmptyMedia, UnsupportedMedia, TooLarge."""
    if media_type == PDF:
        from ingest.decode.pdf import decode_pdf

        yield from decode_pdf(source, limits=limits, wants=wants)
        return
    text = said(_text(source, media_type, limits))
    yield Segment(0, Text(text), Span(0, len(text), "char"))


def _text(source: BinaryIO, media_type: str, limits: Limits) -> str:
    if media_type == HTML:
        from ingest.decode.flow import html_text

        return html_text(source.read(), limits=limits)
    if media_type == RTF:
        return _rtf_text(source.read(), limits)
    if media_type in (DOCX, ODT, EPUB):
        from ingest.decode.office import docx_text, epub_text, odt_text

        return {DOCX: docx_text, ODT: odt_text, EPUB: epub_text}[media_type](source, limits=limits)
    return decode_text(source.read(), limits=limits)


def _rtf_text(data: bytes, limits: Limits) -> str:
    from striprtf import striprtf

    read: Callable[..., str] = striprtf.rtf_to_text
    try:
        text = read(data.decode("latin-1"), errors="replace")  # bytes of other encodings are escaped in it
    except (ValueError, LookupError, IndexError, TypeError, RecursionError) as exc:
        raise CorruptMedia(f"the RTF is damaged ({exc}): save it again") from exc
    limits.check("text_chars", len(text))
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # it writes an emoji as two halves
    return whole.replace("\0", "")
