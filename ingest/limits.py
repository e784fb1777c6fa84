"""How large an input may be, and the settings that raise each limit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from core.errors import Misconfigured, TooLarge

MOST_PIXELS = 2**28  # what a decoder is ever asked for: about 1 GiB at four bytes a pixel

Name = Literal["bytes", "media_bytes", "pixels", "frames", "seconds", "text_chars", "metadata_bytes", "segments"]
_UNIT: dict[Name, str] = {
    "bytes": "bytes",
    "media_bytes": "bytes of sound or film",
    "pixels": "pixels",
    "frames": "frames",
    "seconds": "seconds",
    "text_chars": "characters of text",
    "metadata_bytes": "bytes of metadata",
    "segments": "segments",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one asset may hold at most. The setting QUIVER_MAX_<NAME> raises each."""

    bytes: int = 256 * 2**20
    media_bytes: int = 4 * 2**30  # of a sound or a film, which are read as streams
    pixels: int = 100_000_000  # as the header says, before decoding
    frames: int = 1_000  # that are taken of a film, an animation or the pages of a scan: more are thinned evenly
    seconds: int = 4 * 3600  # of a sound or a film
    text_chars: int = 2_000_000
    metadata_bytes: int = 65_536  # as JSON in UTF-8
    segments: int = 2_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise Misconfigured(f"QUIVER_MAX_{field.name.upper()} must be 1 or more")
        if self.pixels > MOST_PIXELS:
            raise Misconfigured(f"QUIVER_MAX_PIXELS must be {MOST_PIXELS:,} or less")

    def check(self, name: Name, found: int, *, what: str = "") -> None:
        """Raises TooLarge when `found` is over the limit of that name, naming both and the setting."""
        limit: int = getattr(self, name)
        if found > limit:
            raise TooLarge(self.over(name, what or f"{found:,} {_UNIT[name]}"))

    def over(self, name: Name, what: str) -> str:
        """The message of a TooLarge: what was found, the limit and the setting that raises it."""
        limit = f"{getattr(self, name):,} {_UNIT[name]}"
        return f"{what}, but the limit is {limit}: make it smaller or raise QUIVER_MAX_{name.upper()}"


def size_limit(media_type: str) -> Name:
    """Which limit the size of such a file has."""
    return "media_bytes" if media_type.startswith(("audio/", "video/")) else "bytes"
