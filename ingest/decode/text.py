"""UTF-8 bytes to text."""

from __future__ import annotations

from core.errors import CorruptMedia, EmptyMedia
from ingest.limits import Limits

BOM = "\ufeff"


def decode_text(data: bytes, *, limits: Limits) -> str:
    """The text, without its byte order mark. Raises CorruptMedia with the offset, EmptyMedia, TooLarge."""
    if len(data) > 4 * limits.text_chars + len(BOM.encode()):  # no code point takes more than four bytes
        limits.check("text_chars", len(data) // 4, what=f"{len(data):,} bytes of text")
    nul = data.find(b"\0")
    if nul >= 0:
        raise CorruptMedia(f"there is a NUL at byte {nul:,}, which text never holds: export it again as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise CorruptMedia(not_utf8(data[exc.start], exc.start)) from exc
    text = text.removeprefix(BOM)
    if not text.strip():
        raise EmptyMedia("the text is empty or holds only white space: there is nothing to index")
    limits.check("text_chars", len(text))
    return text


def not_utf8(byte: int, offset: int) -> str:
    """The message of a CorruptMedia: where the encoding breaks, and the remedy."""
    return (
        f"not valid UTF-8 at byte {offset:,} (0x{byte:02x}): convert it to UTF-8, "
        "for instance with iconv -f GB18030 -t UTF-8, or -f WINDOWS-1252"
    )
