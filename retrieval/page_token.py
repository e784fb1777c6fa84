"""Page tokens: where a feed goes on. All there is to know is in the token; nothing is kept here.

A token holds the moment of the first page, a digest of what was asked, and 8 bytes for each thing that was shown. A
checksum tells a token that was cut or changed. It is no secret: it opens nothing that the request itself does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from core.errors import BadQuery
from core.types import AssetId

MOST_SHOWN = 5_000  # things down which the pages of a feed reach
_HEAD = struct.Struct(">Bd16s")  # version, moment, digest of the request
_VERSION = 1
_MARK = 8  # bytes: the chance that any of a million assets is taken for one that was shown is below 1e-9 a page
_CHECK = 8
_LATEST = 2.0**37  # seconds: in the year 6325


@dataclass(frozen=True, slots=True)
class Page:
    """How far a feed has come."""

    since: datetime  # when its first page was asked for: what came later is not in it
    shown: frozenset[bytes] = frozenset()

    def has(self, asset: AssetId) -> bool:
        """Whether an earlier page showed it."""
        return bool(self.shown) and mark(asset) in self.shown


def mark(asset: AssetId) -> bytes:
    """An asset in a token."""
    return hashlib.blake2b(asset.bytes, digest_size=_MARK).digest()


def digest(parts: Iterable[object]) -> bytes:
    """Of what was asked, by its parts' spelling."""
    out = hashlib.blake2b(digest_size=16)
    for part in parts:
        said = part if isinstance(part, bytes) else repr(part).encode("utf-8", "surrogatepass")
        out.update(len(said).to_bytes(8, "big") + said)
    return out.digest()


def write(page: Page, shown: Sequence[AssetId], asked: bytes) -> str | None:
    """The token of the page after one that showed these; None where pages reach no further."""
    marks = page.shown | set(map(mark, shown))
    if len(marks) > MOST_SHOWN:
        return None
    body = _HEAD.pack(_VERSION, page.since.timestamp(), asked) + b"".join(sorted(marks))
    return base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")


def read(said: str, asked: bytes) -> Page:
    """The page that a token speaks of. Raises BadQuery when it was changed, or is of another request."""
    damaged = "the page token is damaged: ask for the first page again, without one"
    try:
        whole = base64.b64decode(said + "=" * (-len(said) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as exc:
        raise BadQuery(damaged) from exc
    body, check = whole[:-_CHECK], whole[-_CHECK:]
    marks = body[_HEAD.size :]
    if len(body) < _HEAD.size or _check(body) != check or len(marks) % _MARK:
        raise BadQuery(damaged)
    version, moment, of = _HEAD.unpack(body[: _HEAD.size])
    if version != _VERSION or not 0 <= moment < _LATEST:
        raise BadQuery(damaged)
    if of != asked:
        raise BadQuery("the page token is of another request: send what the first page was asked with, unchanged")
    shown = frozenset(marks[at : at + _MARK] for at in range(0, len(marks), _MARK))
    return Page(datetime.fromtimestamp(moment, UTC), shown)


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK, person=b"quiver.page").digest()
