"""Asking: search, and the encoders and the order by themselves."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
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
from workers.decoding import limits_of, picture

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
        like: str | UUID | None = None,
        where: str | Filter | None = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> Answer:
        """Hits for a text, an image (a path or bytes) or an asset (id or external id), best first.

        `where` is an expression over the declared fields, or a filter of core.filters. Raises NoSuchCollection,
        NoSuchAsset, BadFilter, BadQuery, NoSpaceFor, and what a bad query image raises.
        """
        kept = self._collection(collection)
        query: Content | Like
        match text, image, like:
            case str(words), None, None:
                query = Text(words)
            case None, (str() | Path() | bytes()) as picture, None:
                query = self._image(picture, self._parts.encoders.of_profile(kept.profile))
            case None, None, (str() | UUID()) as key:
                query = Like(self._asset(kept, key).id)
            case _:
                raise BadQuery("a query is one of: a text, an image, an asset to be like")
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
        limits = limits_of(self._parts)
        side = max(encoder.wants.pixels for encoder in encoders)
        try:
            with nullcontext(io.BytesIO(image)) if isinstance(image, bytes) else opened(Path(image)) as source:
                kind = sniff(source, name="", limits=limits)
                if kind.modality is not Modality.IMAGE:
                    raise BadQuery(f"it is {kind.media_type}: give an image, or search by text")
                with reading():
                    source.seek(0)
                    data = source.read()
            return picture(self._parts, data, media_type=kind.media_type, side=side)
        except Refused as exc:
            name = "the query image" if isinstance(image, bytes) else printable(str(image))
            raise type(exc)(f"{name}: {exc}") from exc

    def contact_sheet(self, collection: str, searches: Sequence[tuple[str, Answer]]) -> str:
        """The hits of searches as one HTML page with thumbnails inside."""
        kept = self._collection(collection)

        def shown(hit: Hit) -> bytes:
            asset = self._asset(kept, hit.asset)
            with self._parts.blobs.open(asset.digest) as source:
                return thumbnail(picture(self._parts, source, media_type=hit.media_type, side=THUMBNAIL))

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
