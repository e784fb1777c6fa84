"""Sidecars: small files beside an asset that say something of it, and are then no assets themselves.

As in WebDataset, a sidecar has the asset's name with an ending of its own: `photo.txt`, or `photo.jpg.txt`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import unescape
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pysubs2

from core.errors import BadMetadata, CorruptMedia, Refused
from core.types import Metadata
from ingest.decode.text import decode_text
from ingest.files import reading
from ingest.limits import Limits

ENDINGS = (".json", ".txt", ".vtt", ".srt")  # in this order, so that a text is the caption whatever the JSON says
CAPTION = "caption"  # the key of metadata that texts go to
MOST = 4 << 20  # bytes of one; the metadata made of it have a limit of their own

Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file beside an asset, read when the asset is taken in. `mark` changes when it does; empty: not known."""

    name: str
    open: Opener
    mark: str = ""


def ending(name: str) -> str:
    """Which kind of sidecar a file of that name would be; empty: none."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in ENDINGS else ""


def paired(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of one folder: each asset with its sidecars. A text with nothing to stand beside is an asset itself."""
    listed = list(names)
    beside: dict[str, list[str]] = {}  # by what a sidecar is named after
    for name in listed:
        if ending(name):
            beside.setdefault(name[: -len(ending(name))], []).append(name)
    used: set[str] = set()
    out: dict[str, list[str]] = {}
    for name in listed:
        if not ending(name):
            bare = name.removesuffix(PurePosixPath(name).suffix)
            mine = list(dict.fromkeys([*beside.get(bare, ()), *beside.get(name, ())]))
            used.update(mine)
            out[name] = sorted(mine, key=lambda said: (ENDINGS.index(ending(said)), said))
    return out | {name: [] for name in listed if ending(name) and name not in used}


def with_sidecars(metadata: Metadata, sidecars: Sequence[Sidecar], limits: Limits) -> Metadata:
    """What is known of an asset, and what its sidecars say: the keys of a JSON object; a text as its caption.

    What was known before stays. Raises Refused, naming the sidecar.
    """
    said: dict[str, Any] = {}
    for sidecar in sidecars:
        try:
            with sidecar.open() as source, reading():
                data = source.read(MOST + 1)
            said |= described(sidecar.name, data, limits)
        except Refused as exc:
            raise type(exc)(f"its sidecar {sidecar.name}: {exc}") from exc
    return {**said, **metadata}


def described(name: str, data: bytes, limits: Limits) -> dict[str, Any]:
    """What one sidecar says. Raises BadMetadata, CorruptMedia, EmptyMedia, TooLarge."""
    if len(data) > MOST:
        raise BadMetadata(f"over {MOST:,} bytes, which is no caption: rename it, or ingest without sidecars")
    text = decode_text(data, limits=limits)
    match ending(name):
        case ".json":
            return _object(text)
        case ".vtt" | ".srt" as kind:
            return {CAPTION: _words(text, kind[1:])}
        case _:
            return {CAPTION: text.strip()}


def _object(text: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not in JSON")

    try:
        said = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as exc:
        raise BadMetadata(f"not JSON ({exc})") from exc
    if not isinstance(said, Mapping):
        raise BadMetadata("must be a JSON object with the metadata")
    return dict(said)


def _words(text: str, kind: str) -> str:
    """The spoken words of subtitles, a line each; one that rolls over several cues is said once."""
    try:
        cues = pysubs2.SSAFile.from_string(text, format_=kind)
        lines = [unescape(line).strip() for cue in cues for line in cue.plaintext.splitlines()]
    except (pysubs2.Pysubs2Error, ValueError) as exc:
        raise CorruptMedia(f"no subtitles can be read from it ({exc}): export them again") from exc
    words = "\n".join(line for line, _ in groupby(line for line in lines if line))
    if not words:
        raise CorruptMedia(f"it holds no subtitles in the form of {kind.upper()}: export them again")
    return words
