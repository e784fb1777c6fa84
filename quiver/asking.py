"""What is asked, as callers say it: words, files, assets, vectors and mixtures of them, to requests."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import reduce
from operator import or_
from pathlib import Path
from reprlib import repr as shortly
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np

from core.errors import BadQuery, NoSpaceFor, Refused
from core.ports import Encoder
from core.records import Collection
from core.spaces import Sparse, Vector
from core.types import AssetId, Content, Modality, Text
from ingest.files import opened, printable, reading
from ingest.sniff import sniff
from quiver.arguments import check, number_of
from quiver.base import Base
from retrieval.expression import Where
from retrieval.request import Fusion, InSpace, Like, Mixture, Part, Query, Single, numbered
from workers.decoding import frames, limits_of, picture, sound

PathLike = str | Path
KINDS = ("text", "image", "audio", "video", "like", "vector")
MOST_QUERIES = 256  # searches at once
IN_A_REQUEST = 64  # of them in one request to a server
LESS = -0.5  # weight of what is not wanted
GivenVector = tuple[str, Sequence[float] | np.ndarray[Any, Any]] | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A search as a caller says it: the arguments of `Quiver.search`, where each is explained."""

    text: str | None = None
    image: PathLike | bytes | None = None
    audio: PathLike | bytes | None = None
    video: PathLike | bytes | None = None
    like: str | UUID | None = None
    vector: GivenVector | None = None
    mix: Sequence[Mapping[str, Any]] | None = None
    less: Sequence[str] = ()
    where: Where = None
    modality: str | Modality | Iterable[str] | None = None
    limit: int = 10
    offset: int = 0
    min_score: float | None = None
    exact: bool = False
    fusion: str | None = None
    weights: Mapping[str, float] | None = None
    rerank: Sequence[str | Mapping[str, Any]] = ()
    budget: float | None = None
    group_by: str | None = None
    group_size: int = 1
    without: Iterable[str | UUID] = ()
    explain: bool = False
    record: bool | None = None

    def __post_init__(self) -> None:
        """Raises BadQuery for an argument of another type."""
        check({each.name: getattr(self, each.name) for each in fields(self)})


def question_of(said: Question | Mapping[str, Any]) -> Question:
    """A question by the names of its parts. Raises BadQuery."""
    if isinstance(said, Question):
        return said
    if not isinstance(said, Mapping):
        raise BadQuery(f"a query is a mapping of what `search` takes, as {{'text': 'red'}}, not {shortly(said)}")
    known = {each.name for each in fields(Question)}
    if unknown := sorted(map(str, said.keys() - known)):
        raise BadQuery(f"there is no {unknown[0]!r} in a query; there is: {', '.join(sorted(known))}")
    return Question(**said)


def several(queries: Iterable[Question | Mapping[str, Any]]) -> list[Question]:
    """Queries that are asked at once. Raises BadQuery, which numbers the first that is wrong from 0 where there are
    several."""
    if not isinstance(queries, Sequence):
        raise BadQuery(f"queries is {shortly(queries)}: give a list of mappings")
    if not 1 <= len(queries) <= MOST_QUERIES:
        raise BadQuery(f"{len(queries)} queries: give 1 to {MOST_QUERIES}")
    out = []
    for at, said in enumerate(queries):
        with numbered(at, len(queries)):
            out.append(question_of(said))
    return out


class Asking(Base):
    """How what callers say becomes a query."""

    def _query(self, kept: Collection, said: Question) -> Query:
        """One thing, or a mixture of all that was said."""
        given = {kind: thing for kind in KINDS if (thing := getattr(said, kind)) is not None}
        parts = [part for kind, thing in given.items() for part in self._parts_of(kept, kind, thing, 1.0)]
        for one in said.mix or ():
            parts += self._mixed(kept, one)
        parts += [Part(Text(words), LESS) for words in said.less]
        if not parts:
            raise BadQuery("a query is one of: a text, an image, a sound, a film, an asset to be like, or a mixture")
        return parts[0].what if len(parts) == 1 and parts[0].weight > 0 else Mixture(tuple(parts))

    def _mixed(self, kept: Collection, said: Mapping[str, Any]) -> list[Part]:
        """A part as it is said: one kind of thing, and its weight."""
        kinds = [kind for kind in KINDS if said.get(kind) is not None]
        if len(kinds) != 1 or said.keys() - {*KINDS, "weight"}:
            raise BadQuery(f"a part of a mixture is exactly one of {', '.join(KINDS)}, and a weight")
        return self._parts_of(kept, kinds[0], said[kinds[0]], number_of(said.get("weight", 1.0), "a part's weight"))

    def _parts_of(self, kept: Collection, kind: str, thing: Any, weight: float) -> list[Part]:
        if kind == "video":
            pictures = self._film(thing, self._encoders_of(kept))
            return [Part(each, weight / len(pictures)) for each in pictures]
        return [Part(self._single(kept, kind, thing), weight)]

    def _single(self, kept: Collection, kind: str, thing: Any) -> Single:
        match kind, thing:
            case "text", str(words):
                return Text(words)
            case "image", (str() | Path() | bytes()):
                return self._image(thing, self._encoders_of(kept))
            case "audio", (str() | Path() | bytes()):
                return self._sound(thing, self._encoders_of(kept))
            case "like", (str() | UUID()):
                return Like(self._asset(kept, thing).id)
            case "vector", _:
                return vector_of(thing)
            case _:
                raise BadQuery(f"{kind}: {type(thing).__name__} is not understood here")

    def _encoders_of(self, kept: Collection) -> tuple[Encoder, ...]:
        return self._parts.encoders.of_profile(kept.profile)

    def _image(self, image: PathLike | bytes, encoders: Sequence[Encoder]) -> Content:
        side = max(encoder.wants.pixels for encoder in encoders)
        with self._given(image, "an image", {Modality.IMAGE}) as (source, media_type):
            return picture(self._parts, source, media_type=media_type, side=side)

    def _sound(self, audio: PathLike | bytes, encoders: Sequence[Encoder]) -> Content:
        heard = [encoder.wants for encoder in encoders if Modality.AUDIO in encoder.space.modalities]
        if not heard:
            raise NoSpaceFor("no space of this collection embeds sound: give another kind of query")
        with self._given(audio, "a sound", {Modality.AUDIO, Modality.VIDEO}) as (source, media_type):
            return sound(self._parts, source, media_type=media_type, wants=reduce(or_, heard))

    def _film(self, video: PathLike | bytes, encoders: Sequence[Encoder]) -> list[Content]:
        if not isinstance(video, (str, Path, bytes)):
            raise BadQuery(f"video: {type(video).__name__} is not understood here")
        side = max(encoder.wants.pixels for encoder in encoders)
        with self._given(video, "a film", {Modality.VIDEO}) as (source, media_type):
            return [*frames(self._parts, source, media_type=media_type, side=side)]

    @contextmanager
    def _given(
        self, given: PathLike | bytes, what: str, kinds: AbstractSet[Modality]
    ) -> Iterator[tuple[BinaryIO, str]]:
        """A file that is asked by, and its media type. What is wrong with it is told by its name."""
        try:
            with nullcontext(io.BytesIO(given)) if isinstance(given, bytes) else opened(Path(given)) as source:
                kind = sniff(source, name="", limits=limits_of(self._parts))
                if kind.modality not in kinds:
                    raise BadQuery(f"it is {kind.media_type}: give {what}, or search by text")
                with reading():
                    source.seek(0)
                    yield source, kind.media_type
        except Refused as exc:
            name = f"the query {what.split()[1]}" if isinstance(given, bytes) else printable(str(given))
            raise type(exc)(f"{name}: {exc}") from exc

    def _ids_without(self, kept: Collection, without: Iterable[str | UUID]) -> frozenset[AssetId]:
        """Those that are there: what is not there cannot be found either."""
        ids, _ = self._ids(kept, keys_of(without))
        return frozenset(ids)


def keys_of(without: Iterable[str | UUID]) -> tuple[str | UUID, ...]:
    """Ids and external ids, of whatever can be read once. Raises BadQuery for what is neither."""
    keys = tuple(without)
    for key in keys:
        if not isinstance(key, (str, UUID)):
            raise BadQuery(f"without holds {shortly(key)}: give ids and external ids")
    return keys


def vector_of(said: Any) -> InSpace:
    """`(space, values)`, or a mapping of `space`, `values`, perhaps `indices` and `modality`. Raises BadQuery."""
    if isinstance(said, InSpace):
        return said
    if isinstance(said, tuple) and len(said) == 2:
        said = {"space": said[0], "values": said[1]}
    if not isinstance(said, Mapping) or not {"space", "values"} <= said.keys() <= {
        "space",
        "values",
        "indices",
        "modality",
    }:
        raise BadQuery("a vector is said by its space and its values; sparse ones by indices, too")
    try:
        values = np.asarray(said["values"], np.float32)
        vector: Vector = values
        if said.get("indices") is not None:
            vector = Sparse(np.asarray(said["indices"], np.uint32), values)
        return InSpace(str(said["space"]), vector, Modality(said["modality"]) if said.get("modality") else None)
    except (ValueError, TypeError, OverflowError) as exc:
        raise BadQuery(f"the vector cannot be read: {exc}") from exc


def modalities_of(said: str | Modality | Iterable[str] | None) -> frozenset[Modality]:
    """The modalities that are named; all when none is. Raises BadQuery."""
    if said is None:
        return frozenset(Modality)
    names: Sequence[str] = [said] if isinstance(said, str) else list(said)
    try:
        return frozenset(Modality(name) for name in names)
    except ValueError as exc:
        raise BadQuery(f"{exc}: a modality is one of {', '.join(Modality)}") from exc


def fusion_of(said: str | None) -> Fusion | None:
    """The fusion of that name. Raises BadQuery."""
    try:
        return None if said is None else Fusion(said)
    except ValueError as exc:
        raise BadQuery(f"{exc}: a fusion is one of {', '.join(Fusion)}") from exc


def json_of(said: str, what: str) -> Any:
    """JSON as it is typed. Raises BadQuery that points at the place."""
    try:
        return json.loads(said)
    except json.JSONDecodeError as exc:
        raise BadQuery(f"{what} is not JSON at character {exc.pos + 1}: {exc.msg}") from exc
