"""Asking: search, and the encoders and the order by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from core.errors import BadQuery, NoSpaceFor
from core.ports import Encoder
from core.records import Collection
from core.spaces import Sparse
from core.types import Content, Modality, Text
from ingest.decode.thumbnail import THUMBNAIL, thumbnail
from quiver.arguments import check
from quiver.asking import GivenVector, PathLike, Question, fusion_of, modalities_of, several
from quiver.explaining import Explaining
from quiver.judging import Judging
from quiver.reports import Embedded, Ranked
from quiver.sheet import contact_sheet
from retrieval.expression import Where, read_where
from retrieval.request import Answer, Hit, SearchRequest, numbered
from workers.answering import answer_all
from workers.decoding import picture
from workers.staging import stages_of

MOST = 2048  # texts or pictures at once


class Searching(Explaining, Judging):
    """Questions and answers."""

    def search(
        self,
        collection: str,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        audio: PathLike | bytes | None = None,
        video: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        vector: GivenVector | None = None,
        mix: Sequence[Mapping[str, Any]] | None = None,
        less: Sequence[str] = (),
        where: Where = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        offset: int = 0,
        min_score: float | None = None,
        exact: bool = False,
        fusion: str | None = None,
        weights: Mapping[str, float] | None = None,
        rerank: Sequence[str | Mapping[str, Any]] = (),
        budget: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        without: Iterable[str | UUID] = (),
        explain: bool = False,
        record: bool | None = None,
    ) -> Answer:
        """Hits, best first, for a text, a picture, a sound or a film (a path or bytes), an asset (id or external id),
        or a vector of a space (`(space, values)`); for several of these together, the mixture of them.

        `mix` adds parts with weights: `{"text": "at night", "weight": 0.5}`; a negative weight is not wanted. `less`
        adds words that are not wanted, each at -0.5. Of a long sound the beginning is asked for, as much as the encoder
        hears at once; of a film, some of its pictures. `where` is an expression over the declared fields,
        Qdrant's filter JSON, or a filter of core.filters. `min_score` is a probability of relevance, of one meaning for
        every modality. `fusion`: rrf,
        weighted or dbsf; `weights` are of spaces. `rerank` names stages (`name:key=value`), for which there are
        `budget` seconds: what does not fit is left out, and told in `Answer.partial`. Of a value of the field
        `group_by` no more than `group_size` are found; assets in `without` are not. `explain` tells what every stage
        did. `record`: whether it is recorded, so that `feedback` can be given to `Answer.query`; None: as the settings
        say.

        Raises NoSuchCollection, NoSuchAsset, BadFilter, BadQuery, NoSpaceFor, and what a bad file raises.
        """
        question = Question(
            text=text,
            image=image,
            audio=audio,
            video=video,
            like=like,
            vector=vector,
            mix=mix,
            less=less,
            where=where,
            modality=modality,
            limit=limit,
            offset=offset,
            min_score=min_score,
            exact=exact,
            fusion=fusion,
            weights=weights,
            rerank=rerank,
            budget=budget,
            group_by=group_by,
            group_size=group_size,
            without=without,
            explain=explain,
            record=record,
        )
        kept = self._collection(collection)
        return self._answered(kept, [question], [self._request(kept, question)])[0]

    def search_many(self, collection: str, queries: Sequence[Question | Mapping[str, Any]]) -> list[Answer]:
        """Answers to several queries, in order and in one round trip to the store; each is what `search` takes, by
        name. Raises as `search`, for the first that is wrong, which it numbers from 0
        where there are several."""
        said, kept = several(queries), self._collection(collection)
        requests = []
        for at, one in enumerate(said):
            with numbered(at, len(said)):
                requests.append(self._request(kept, one))
        return self._answered(kept, said, requests)

    def _answered(self, kept: Collection, said: Sequence[Question], requests: Sequence[SearchRequest]) -> list[Answer]:
        told = [self._told(one, request) for one, request in zip(said, requests, strict=True)]
        return answer_all(self._parts, requests, profile=kept.profile, said=told)

    def _request(self, kept: Collection, said: Question) -> SearchRequest:
        return SearchRequest(
            tenant=self._tenant,
            collection=kept.name,
            query=self._query(kept, said),
            modalities=modalities_of(said.modality),
            where=read_where(said.where, kept.fields),
            limit=said.limit,
            offset=said.offset,
            min_score=said.min_score,
            exact=said.exact,
            fusion=fusion_of(said.fusion),
            weights=dict(said.weights or {}),
            stages=stages_of(self._parts, kept, said.rerank),
            budget=said.budget,
            group_by=said.group_by,
            group_size=said.group_size,
            without=self._ids_without(kept, said.without),
            explain=said.explain,
        )

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
        check({"documents": documents})
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
        check({"contents": contents})
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
