"""Bytes to text: UTF-8, or the encoding that the file itself says it is in. Nothing is guessed."""

from __future__ import annotations

import codecs
import re

from core.errors import CorruptMedia, EmptyMedia
from ingest.limits import Limits

BOM = "\ufeff"
UTF_8 = "utf-8"

_MARKS = (  # the longer before what they begin with
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAYS = re.compile(
    rb"<meta\s[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w:.-]+)"  # HTML 13.2.3.2
    rb"|^\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([\w:.-]+)"  # XML 4.3.3
    rb"|\A(?:[^\n]*\n)?[ \t\f]*#.{0,200}?coding[:=][ \t]*([\w.-]+)",  # PEP 263
    re.IGNORECASE,
)
_SAID_WITHIN = 1024  # bytes
_SUPERSET = {  # what the Encoding Standard (encoding.spec.whatwg.org) reads for these names, as files are labelled
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "tis-620": "cp874",
}
_KNOWN = re.compile(
    r"cp125\d|cp866|cp874|cp932|cp949|iso8859-\d+|koi8-[ru]|mac-(?:roman|cyrillic)|gb18030|big5(?:hkscs)?|euc_jp"
    r"|iso2022_jp"
)


def encoding_of(head: bytes, *, whole: bool) -> str:
    """The name of the codec by which a file that begins so is read: of its byte order mark, or of what it declares
    when that is no superset of UTF-8's ASCII or its bytes are not UTF-8; UTF-8 when it says nothing that is known."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    said = _declared(head)
    if said == "iso2022_jp" or (said and broken_at(head, UTF_8, whole=whole) is not None):
        return said
    return UTF_8


def broken_at(data: bytes, encoding: str, *, whole: bool) -> int | None:
    """The byte where it stops being in that encoding; unless it is `whole`, a character may be cut off at its end."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(data, final=whole)
    except UnicodeDecodeError as exc:
        return exc.start
    return None


def decode_text(data: bytes, *, limits: Limits) -> str:
    """The text, without its byte order mark. Raises CorruptMedia with the offset, EmptyMedia, TooLarge."""
    if len(data) > 4 * (limits.text_chars + 1):  # no code point takes more than four bytes, nor does the mark
        limits.check("text_chars", len(data) // 4, what=f"{len(data):,} bytes of text")
    text = decoded(data)
    limits.check("text_chars", len(text))
    return said(text)


def decoded(data: bytes) -> str:
    """All that the bytes are the encoding of. Raises CorruptMedia."""
    encoding = encoding_of(data, whole=True)
    if encoding == UTF_8 and (nul := data.find(b"\0")) >= 0:
        raise CorruptMedia(f"there is a NUL at byte {nul:,}, which text never holds: export it again as UTF-8")
    try:
        text = data.decode(encoding).removeprefix(BOM)
    except UnicodeDecodeError as exc:
        raise CorruptMedia(not_in(encoding, data[exc.start], exc.start)) from exc
    if "\0" in text:
        raise CorruptMedia(f"there is a NUL in the text, read as {encoding}: export it again as UTF-8")
    return text


def said(text: str) -> str:
    """The text itself. Raises EmptyMedia when it is none."""
    if not text.strip():
        raise EmptyMedia("the text is empty or holds only white space: there is nothing to index")
    return text


def not_in(encoding: str, byte: int, offset: int) -> str:
    """The message of a CorruptMedia: where the encoding breaks, and the remedy."""
    if encoding == UTF_8:
        return (
            f"not valid UTF-8 at byte {offset:,} (0x{byte:02x}): convert it to UTF-8, "
            "for instance with iconv -f GB18030 -t UTF-8, or -f WINDOWS-1252"
        )
    return f"it says that it is in {encoding}, and is not at byte {offset:,} (0x{byte:02x}): export it again as UTF-8"


def _declared(head: bytes) -> str:
    """The codec of an encoding that the file names; empty when it names none that we read."""
    found = _SAYS.search(head[:_SAID_WITHIN])
    if not found:
        return ""
    try:
        name = codecs.lookup(next(filter(None, found.groups())).decode("ascii", "ignore")).name
    except LookupError:
        return ""
    name = _SUPERSET.get(name, name)
    return name if _KNOWN.fullmatch(name) else ""
