"""What a file is, by its content: its name is only a hint."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from core.errors import CorruptMedia, EmptyMedia, UnsupportedMedia
from core.types import Modality
from ingest.decode.document import HTML, document_of
from ingest.decode.image import probe
from ingest.decode.text import BOM, UTF_8, broken_at, encoding_of, not_in
from ingest.kinds import MAYBE_PROBED, NAMES, PROBED, SVG, TARGA, is_svg, kind_of
from ingest.limits import Limits, size_limit

HEAD = 65_536  # bytes that decide whether a file is text
SUPPORTED = (
    "images (JPEG, PNG, GIF, WebP, HEIC, AVIF, TIFF, BMP, JPEG 2000, SVG and others), sounds (WAV, FLAC, MP3, M4A, "
    "AAC, Ogg and others), films (MP4, QuickTime, Matroska, WebM, AVI, MPEG, FLV, WMV and others); PDF, Word (docx), "
    "OpenDocument, EPUB, RTF and HTML; and text"
)
_TEXT_TYPES = {".md": "text/markdown", ".markdown": "text/markdown", ".html": HTML, ".htm": HTML, ".xhtml": HTML}
_TEXT_TYPES |= {
    f".{suffix}": f"text/x-{language}"  # x-: source code, see ingest.segment
    for language, suffixes in {
        "python": "py pyi pyx",
        "c": "c h",
        "c++": "cc cpp cxx hh hpp hxx",
        "csharp": "cs",
        "dart": "dart",
        "elixir": "ex exs",
        "erlang": "erl hrl",
        "go": "go",
        "haskell": "hs",
        "java": "java",
        "javascript": "js jsx mjs cjs",
        "julia": "jl",
        "kotlin": "kt kts",
        "lua": "lua",
        "objective-c": "m mm",
        "perl": "pl pm",
        "php": "php",
        "r": "r",
        "ruby": "rb",
        "rust": "rs",
        "scala": "scala",
        "shell": "sh bash zsh fish",
        "sql": "sql",
        "swift": "swift",
        "typescript": "ts tsx",
        "vue": "vue svelte",
    }.items()
    for suffix in suffixes.split()
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_KNOWN = tuple(
    (re.compile(pattern, re.DOTALL), what)
    for pattern, what in (
        (rb"PK\x03\x04", "a ZIP archive, or an office document of another kind: unpack it or export its text"),
        (rb"\xd0\xcf\x11\xe0", "an old office document or one with a password: save it as docx, without one"),
        (rb"%!PS", "PostScript: export its text or its pages as images"),
        (rb"\x1f\x8b|BZh[1-9]1AY|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd", "a compressed archive: unpack it"),
        (rb"\0\0\0\x0cJXL|\xff\x0a", "JPEG XL: convert it to JPEG"),
        (rb"\x7fELF|MZ.\0", "a program"),
        (rb"SQLite format 3\0", "an SQLite database"),
    )
)


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What a file holds."""

    modality: Modality
    media_type: str


def sniff(source: BinaryIO, *, name: str, limits: Limits, quoting: bool = True) -> Sniffed:
    """Decide by at most the header of an image or the first 64 KiB of text; `source` can seek, and is left anywhere.

    `quoting`: whether a fault may show how a text begins; not to one who did not send it. That the rest is whole is
    seen when it is decoded. Raises EmptyMedia, UnsupportedMedia, CorruptMedia, TooLarge.
    """
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    head = source.read(HEAD)
    if not head:
        raise EmptyMedia
    suffix = PurePath(name).suffix.lower()
    found = _media(source, head, size=size, limits=limits)
    limits.check(size_limit(found.media_type if found else "text/plain"), size)
    if found:
        return found
    document = document_of(source, head)
    if document and not (document == HTML and suffix in NAMES):  # "404 Not Found", saved as a photo
        return Sniffed(Modality.TEXT, document)
    _refuse_known(head)
    return _text(head, size=size, suffix=suffix, limits=limits, quoting=quoting)


def _media(source: BinaryIO, head: bytes, *, size: int, limits: Limits) -> Sniffed | None:
    """What it is when it is a picture, a sound or a film."""
    if PROBED.match(head):
        return Sniffed(Modality.IMAGE, probe(source, limits=limits))
    text = _holds_text(head, whole=size <= len(head))
    if MAYBE_PROBED.match(head):
        try:
            return Sniffed(Modality.IMAGE, probe(source, limits=limits))
        except CorruptMedia:
            if not text:
                raise
    if is_svg(head):
        return Sniffed(Modality.IMAGE, SVG)
    if text:
        return None
    if kind := kind_of(head):
        return Sniffed(*kind)
    source.seek(max(0, size - len(TARGA)))
    return Sniffed(Modality.IMAGE, probe(source, limits=limits)) if source.read(len(TARGA)) == TARGA else None


def _refuse_known(head: bytes) -> None:
    for pattern, what in _KNOWN:
        if pattern.match(head):
            raise UnsupportedMedia(f"it is {what}; supported are {SUPPORTED}")


def _text(head: bytes, *, size: int, suffix: str, limits: Limits, quoting: bool) -> Sniffed:
    whole = size <= len(head)
    encoding = encoding_of(head, whole=whole)
    broken = broken_at(head, encoding, whole=whole)
    begins = head.decode(encoding, "replace").removeprefix(BOM)
    plain = begins.encode()
    named = NAMES.get(suffix)
    if len(_CONTROL.findall(plain)) * 100 > len(plain):  # text of any encoding has next to none
        if named:
            raise CorruptMedia(f"named like {named} ({suffix}), but its header is no such one's: ingest another copy")
        raise UnsupportedMedia(f"it is neither media nor text; supported are {SUPPORTED}")
    if named:
        shown = f": {begins[:40]!r}" if quoting else ""
        raise CorruptMedia(f"named like {named} ({suffix}) but holds text{shown}")
    if broken is not None:
        raise CorruptMedia(not_in(encoding, head[broken], broken))
    if encoding == UTF_8 and b"\0" in head:
        raise CorruptMedia(
            f"there is a NUL at byte {head.index(0):,}, which text never holds: export it again as UTF-8"
        )
    if whole and not begins.strip():
        raise EmptyMedia("the text holds only white space: there is nothing to index")
    kind = _TEXT_TYPES.get(suffix, "text/plain")
    if kind != HTML and size > 4 * (limits.text_chars + 1):  # no code point takes more than four bytes, nor does a mark
        limits.check("text_chars", size // 4, what=f"{size:,} bytes of text")
    return Sniffed(Modality.TEXT, kind)


def _holds_text(head: bytes, *, whole: bool) -> bool:
    return broken_at(head, UTF_8, whole=whole) is None and not _CONTROL.search(head)
