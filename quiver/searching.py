"""Asking: search, and the encoders and the order by themselves."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from functools import reduce
from operator import or_
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import numpy as np

from core.errors import BadQuery, NoSpaceFor, Refused
from core.filters import Filter
from core.ports import Encoder
from core.spaces import Sparse
from core.types import Content, Modality, Text
from ingest.decode.thumbnail import THUMBNAIL, thumbnail
from ingest.files import opened, printable, reading
from ingest.sniff import sniff
from quiver.base import Base
from quiver.reports import Embedded, Ranked
from quiver.sheet import contact_sheet
from retrieval.expression import parse
from retrieval.request import Answer, Hit, Like, SearchRequest
from workers.answering import answer
from workers.decoding import limits_of, picture, sound

PathLike = str | Path
MOST = 2048  # texts or pictures at once


class Searching(Base):
    """Questions and answers."""

    def search(
        self,
        collection: str,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        audio: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        where: str | Filter | None = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> Answer:
        """Hits for a text, an image, a sound (a path or bytes) or an asset (id or external id), best first.

        Of a long sound the beginning is asked for, as much as the encoder hears at once. `where` is an expression over
        the declared fields, or a filter of core.filters. Raises NoSuchCollection, NoSuchAsset, BadFilter, BadQuery,
        NoSpaceFor, and what a bad image or sound raises.
        """
        kept = self._collection(collection)
        query: Content | Like
        match text, image, audio, like:
            case str(words), None, None, None:
                query = Text(words)
            case None, (str() | Path() | bytes()) as given, None, None:
                query = self._image(given, self._parts.encoders.of_profile(kept.profile))
            case None, None, (str() | Path() | bytes()) as given, None:
                query = self._sound(given, self._parts.encoders.of_profile(kept.profile))
            case None, None, None, (str() | UUID()) as key:
                query = Like(self._asset(kept, key).id)
            case _:
                raise BadQuery("a query is one of: a text, an image, a sound, an asset to be like")
        request = SearchRequest(
            tenant=self._tenant,
            collection=kept.name,
            query=query,
            modalities=_modalities(modality),
            where=parse(where, kept.fields) if isinstance(where, str) else where,
            limit=limit,
            exact=exact,
        )
        return answer(self._parts, request, profile=kept.profile)

    def embed(self, contents: Sequence[str | bytes], *, model: str | None = None) -> Embedded:
        """Vectors of texts and pictures (encoded files), in order, all of one space.

        `model` is PROFILE or PROFILE#SPACE; without a space, the first dense one that embeds all of them. Raises
        UnknownProfile, NoSpaceFor, BadQuery, and what a bad picture raises.
        """
        encoder = self._encoder(model, contents)
        read = [self._content(one, (encoder,)) for one in contents]
        vectors = encoder.encode(read)
        assert isinstance(vectors, np.ndarray)  # a dense space
        return Embedded(model=self._named(model, encoder), encoder=encoder.space.model, vectors=vectors)

    def rerank(self, query: str, documents: Sequence[str | bytes], *, model: str | None = None) -> Ranked:
        """Documents, texts or pictures, ordered by likeness to the query: the cosine in a space that embeds all."""
        encoder = self._encoder(model, [query, *documents])
        asked = encoder.encode_query(self._content(query, (encoder,)))
        rows = encoder.encode([self._content(one, (encoder,)) for one in documents])
        assert not isinstance(asked, Sparse)  # a dense space
        scores = np.asarray(rows) @ asked
        order = sorted(range(len(documents)), key=lambda row: (-float(scores[row]), row))
        said = tuple((row, float(scores[row])) for row in order)
        return Ranked(model=self._named(model, encoder), encoder=encoder.space.model, order=said)

    def _named(self, model: str | None, encoder: Encoder) -> str:
        return f"{_divided(model)[0] or self._parts.settings.profile}#{encoder.space.name}"

    def _encoder(self, model: str | None, contents: Sequence[str | bytes]) -> Encoder:
        if not 1 <= len(contents) <= MOST:
            raise BadQuery(f"{len(contents)} inputs: give 1 to {MOST}")
        profile, name = _divided(model)
        known = self._parts.encoders.of_profile(profile or self._parts.settings.profile)
        wanted = {Modality.TEXT if isinstance(one, str) else Modality.IMAGE for one in contents}
        for encoder in known:
            space = encoder.space
            if not space.sparse and wanted <= space.modalities and name in ("", space.name):
                return encoder
        dense = ", ".join(e.space.name for e in known if not e.space.sparse)
        raise NoSpaceFor(f"no dense space {name} embeds {' and '.join(sorted(wanted))}; dense are: {dense}")

    def _content(self, one: str | bytes, encoders: Sequence[Encoder]) -> Content:
        if isinstance(one, bytes):
            return self._image(one, encoders)
        if not one.strip():
            raise BadQuery("a text is empty: write some words")
        return Text(one)

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

    def contact_sheet(self, collection: str, searches: Sequence[tuple[str, Answer]]) -> str:
        """The hits of searches as one HTML page with thumbnails inside."""
        kept = self._collection(collection)

        def shown(hit: Hit) -> bytes | None:
            asset = self._asset(kept, hit.asset)
            with self._parts.blobs.open(asset.digest) as source:
                try:
                    return thumbnail(picture(self._parts, source, media_type=hit.media_type, side=THUMBNAIL))
                except NoSpaceFor:  # a film that is sound alone
                    return None

        return contact_sheet(f"{collection}: {len(searches)} searches", searches, shown)


def _divided(model: str | None) -> tuple[str, str]:
    """The profile and the space of PROFILE#SPACE."""
    profile, _, space = (model or "").partition("#")
    return profile, space


def _modalities(said: str | Modality | Iterable[str] | None) -> frozenset[Modality]:
    if said is None:
        return frozenset(Modality)
    names: Sequence[str] = [said] if isinstance(said, str) else list(said)
    try:
        return frozenset(Modality(name) for name in names)
    except ValueError as exc:
        raise BadQuery(f"{exc}: a modality is one of {', '.join(Modality)}") from exc
