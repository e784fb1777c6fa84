"""How scores of an index are read: fitted to what questions find in it, and better to judgements; kept with it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from uuid import UUID

from core.errors import BadQuery, Fault, NoSuchCollection
from core.indexes import Calibration
from core.points import Nearest, Scope, Stored
from core.records import Index
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import AssetId, Modality, Tenant, Text
from retrieval.asked import asset_of
from retrieval.calibration import Curve, expected
from retrieval.isotonic import judged as fitted_to
from retrieval.request import InSpace, SearchRequest
from retrieval.search import search_all
from workers import phrases
from workers.curves import LEAST, SMALL, assets_of, known

log = logging.getLogger(__name__)
QUESTIONS = 256  # of a collection's own: stored vectors of a modality, or beginnings of its texts
FIRST = 32  # assets of each answer: no question weighs more, whatever the collection is about
CHUNK = 64  # questions in one round trip
SAID = 80  # characters of a text that make a question
JUDGED = 200  # assets of an answer that judgements are looked up for
ENOUGH = 10  # right ones and wrong ones that a curve needs
ASKED = frozenset({Modality.TEXT, Modality.IMAGE, Modality.AUDIO})

Question = tuple[Vector, AssetId | None]  # and whose it is: no answer to itself
Judged = tuple[SearchRequest, Mapping[str, int]]  # and grades by id or external id; more than 0: right
Tell = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A curve that was made: of which space, for which queries and segments, and what it is made of."""

    space: str
    asked: Modality
    content: Modality
    questions: int
    judged: int  # judgements; 0: made without any
    even: float | None  # the score that is as likely right as wrong; None: none is


def tend(parts: Parts) -> None:
    """Fit what is due to be, in every collection."""
    for collection in parts.catalogue.collections():
        tend_one(parts, collection.name)


def tend_one(parts: Parts, collection: str) -> None:
    """The same in one. What is wrong with it is told, and nobody fails for it."""
    try:
        index = parts.catalogue.serving(collection)
        if known(parts).due(index):
            calibrate(parts, index, unasked=True)
    except NoSuchCollection:
        log.debug("%s: nothing is indexed yet", collection)
    except Fault as fault:
        log.warning("%s: its scores were not calibrated: %s", collection, fault)


def take_after(parts: Parts, old: Index, new: Index) -> None:
    """See that scores of an index that is to serve can be read at once, if those of the one before can: curves that
    judgements made are taken over where the model is the same, others fitted. Nobody fails for it."""
    before = parts.catalogue.calibrations(old.id)
    fingerprints = {space.fingerprint for space in new.spaces}
    try:
        if known(parts).due(new, least=1 if before else LEAST):
            judged = [one for one in before if one.curve["judged"] and one.fingerprint in fingerprints]
            parts.catalogue.calibrate(new.id, judged)
            calibrate(parts, new, unasked=True)
    except Fault as fault:
        log.warning("%s: scores of index %s were not calibrated: %s", new.collection, new.id, fault)


def must_know(parts: Parts, collection: str) -> None:
    """See that a least relevance can be asked for: fit at once what is small enough. Raises BadQuery for what is not,
    NoSuchCollection."""
    index = parts.catalogue.serving(collection)
    if known(parts).curves_of(index) and not known(parts).due(index, least=1):
        return
    points = sum(share.points for share in parts.catalogue.census(index.id))
    if 0 < points <= SMALL:
        calibrate(parts, index, unasked=True)
    elif points and not known(parts).curves_of(index):
        raise BadQuery(
            f"how likely hits are to be relevant is not known yet here: `quiver calibrate` finds out from {points:,} "
            "points, in a minute or so; or leave min_score out"
        )


def calibrate(
    parts: Parts,
    index: Index,
    *,
    judged: Sequence[Judged] = (),
    unasked: bool = False,
    on_progress: Tell = lambda _done, _of: None,
) -> list[Fitted]:
    """Fit curves and keep them with the index; `unasked` leaves those alone that were made of judgements.

    Where there are judgements enough for a space and pair of modalities they make its curve, what is not judged
    counting as wrong; elsewhere what questions find that are mostly about something else: everyday phrases
    (`workers.phrases`), beginnings of the collection's own texts, and its pictures and sounds. Of several tenants'
    collection the assets of the one with the most make it. Raises BadQuery for an empty collection, MissingExtra.
    """
    census = parts.catalogue.census(index.id)
    if not census:
        raise BadQuery(f"{index.collection!r} has nothing indexed to calibrate by: ingest something first")
    by_tenant: defaultdict[Tenant, int] = defaultdict(int)
    for share in census:
        by_tenant[share.tenant] += share.points
    fit = _Fit(parts, index, max(sorted(by_tenant), key=by_tenant.__getitem__), sum(by_tenant.values()) <= SMALL)
    found = _judged(parts, index, judged)
    kept_judged = {
        (one.fingerprint, one.asked, one.content)
        for one in parts.catalogue.calibrations(index.id)
        if unasked and one.curve["judged"]
    }
    pairs = [pair for pair in fit.pairs() if (pair[0].fingerprint, *pair[1:]) not in kept_judged]
    made: list[Calibration] = []
    out: list[Fitted] = []
    for at, (space, asked, content) in enumerate(pairs):
        on_progress(at, len(pairs))
        marks = found.get((space.name, asked, content), [])
        right = sum(mark for _, mark in marks)
        if right >= ENOUGH <= len(marks) - right:
            curve: Curve | None = fitted_to([score for score, _ in marks], [mark for _, mark in marks])
            questions = len(judged)
        else:
            marks = []
            tops = fit.tops(space, asked, content)
            curve, questions = expected(tops), len(tops)
        if curve is None:
            continue
        said = {**curve.as_dict(), "assets": assets_of(census), "questions": questions, "judged": len(marks)}
        said["things"] = None if marks else fit.things(content)
        made.append(
            Calibration(
                fingerprint=space.fingerprint, asked=asked, content=content, curve=said, fitted_at=datetime.now(UTC)
            )
        )
        out.append(
            Fitted(
                space=space.name,
                asked=asked,
                content=content,
                questions=questions,
                judged=len(marks),
                even=curve.score_of(0.5),
            )
        )
    parts.catalogue.calibrate(index.id, made)
    known(parts).forget(index)
    on_progress(len(pairs), len(pairs))
    return out


class _Fit:
    """A sample of an index, and what its questions find."""

    def __init__(self, parts: Parts, index: Index, tenant: Tenant, small: bool) -> None:
        self._parts, self._index, self._tenant, self._small = parts, index, tenant, small
        self._sample = self._sampled(Random(index.id))  # noqa: S311  # the same sample of the same index
        self._asked: dict[tuple[str, Modality], list[Question]] = {}

    def pairs(self) -> list[tuple[EmbeddingSpace, Modality, Modality]]:
        """Spaces, with the modalities of queries and of segments that are compared in them."""
        return [
            (space, asked, content)
            for space in self._index.spaces
            for asked in sorted(space.modalities & ASKED)
            for content in sorted(space.modalities & self._sample.keys())
            if not (space.sparse and asked is content is Modality.IMAGE)  # is never asked: retrieval.lists
        ]

    def things(self, content: Modality) -> int:
        """How many assets have segments of that modality, up to QUESTIONS; of a large collection how many segments."""
        if self._whole:
            return len(self._sample.get(content, ()))
        return self._parts.store.count(self._index, Scope(tenant=self._tenant, contents=frozenset({content})))

    def tops(self, space: EmbeddingSpace, asked: Modality, content: Modality) -> list[list[float]]:
        """Of each question the scores of the assets that it found first."""
        questions = self._questions(space, asked)
        out: list[list[float]] = []
        for at in range(0, len(questions), CHUNK):
            queries = [
                Nearest(
                    space=space,
                    vector=vector,
                    scope=Scope(
                        tenant=self._tenant,
                        contents=frozenset({content}),
                        without=frozenset() if whose is None else frozenset({whose}),
                    ),
                    limit=FIRST,
                    exact=self._small,
                    payload=frozenset({"asset"}),
                )
                for vector, whose in questions[at : at + CHUNK]
            ]
            for answer in self._parts.store.search(self._index, queries):
                best: dict[str, float] = {}
                for point in answer:  # best first
                    best.setdefault(point.payload["asset"], point.score)
                out.append(list(best.values()))
        return out

    def _questions(self, space: EmbeddingSpace, asked: Modality) -> list[Question]:
        if (space.name, asked) not in self._asked:
            made = self._texts(space) if asked is Modality.TEXT else self._stored(space, asked)
            said = [(vector, whose) for vector, whose in made if not isinstance(vector, Sparse) or len(vector)]
            self._asked[space.name, asked] = said
        return self._asked[space.name, asked]

    def _texts(self, space: EmbeddingSpace) -> Iterator[Question]:
        encoder = self._parts.encoders.of_space(self._index.profile, space)
        for vector in phrases.questions(encoder):
            yield vector, None
        said = [
            (Text(begins), asset_of(point.payload["asset"]))
            for point in self._sample.get(Modality.TEXT, ())
            if (begins := " ".join(str(point.payload.get("text", ""))[:SAID].split()))
        ]
        yield from zip(encoder.encode_queries([text for text, _ in said]), [asset for _, asset in said], strict=True)

    def _stored(self, space: EmbeddingSpace, asked: Modality) -> Iterator[Question]:
        for point in self._sample.get(asked, ()):
            if space.vector_name in point.vectors:
                yield point.vectors[space.vector_name], asset_of(point.payload["asset"])

    def _sampled(self, random: Random) -> dict[Modality, list[Stored]]:
        """Points with their vectors by modality, one an asset and no more than are asked by."""
        store, page = self._parts.store, 4 * QUESTIONS
        points = {point.id: point for point in store.scroll(self._index, limit=page)}
        self._whole = len(points) < page
        if len(points) == page:  # more than a page: ids are hashes, so any place is as good as another
            for _ in range(8):
                start = UUID(int=random.getrandbits(128))
                points |= {p.id: p for p in store.scroll(self._index, after=start, limit=page // 4)}
        mine = [p for p in points.values() if p.payload["tenant"] == self._tenant and not p.payload["blocked"]]
        random.shuffle(mine)
        chosen: defaultdict[Modality, dict[str, Stored]] = defaultdict(dict)
        for point in mine:
            held = chosen[Modality(point.payload["content"])]
            if len(held) < QUESTIONS:
                held.setdefault(point.payload["asset"], point)
        ids = {point.id for held in chosen.values() for point in held.values()}
        assets = sorted({asset_of(asset) for held in chosen.values() for asset in held}, key=lambda each: each.int)
        out: defaultdict[Modality, list[Stored]] = defaultdict(list)
        for at in range(0, len(assets), CHUNK):
            for point in store.of_assets(self._index, assets[at : at + CHUNK]):
                if point.id in ids:
                    out[Modality(point.payload["content"])].append(point)
        return dict(out)


def _judged(
    parts: Parts, index: Index, judged: Sequence[Judged]
) -> dict[tuple[str, Modality, Modality], list[tuple[float, bool]]]:
    """Scores and whether each was right, by space and modalities."""
    out: defaultdict[tuple[str, Modality, Modality], list[tuple[float, bool]]] = defaultdict(list)
    for request, grades in judged:
        asked = _asked_of(request)
        if asked is None:
            continue
        plain = replace(request, limit=JUDGED, offset=0, min_score=None, stages=(), group_by=None, exact=True)
        [answer] = search_all(
            [plain],
            catalogue=parts.catalogue,
            store=parts.store,
            encoder_of=lambda space: parts.encoders.of_space(index.profile, space),
        )
        for hit in answer.hits:
            right = max(grades.get(hit.external_id, 0), grades.get(str(hit.asset), 0)) > 0
            for match in hit.matches:
                out[match.space, asked, match.content].append((match.score, right))
    return out


def _asked_of(request: SearchRequest) -> Modality | None:
    """What a query is, where it is one thing: of a mixture nobody knows."""
    match request.query:
        case InSpace(modality=modality):
            return modality
        case query:
            return getattr(query, "modality", None)
