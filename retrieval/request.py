"""What is asked and what is answered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from core.errors import BadQuery, Refused
from core.filters import Filter
from core.spaces import Vector
from core.types import AssetId, Content, Digest, Metadata, Modality, Reading, Span, Tenant, Text

if TYPE_CHECKING:
    from retrieval.stages import Reranker

MAX_LIMIT = 1000
DEEPEST = 10_000  # hits down which pages reach
MAX_PARTS = 32  # of a mixture


@dataclass(frozen=True, slots=True)
class Like:
    """More like this asset of the collection, by id or external id."""

    asset: AssetId | str


@dataclass(frozen=True, slots=True, eq=False)
class InSpace:
    """A vector of a space, by the space's name: f32 (dim,), of any length where the metric is cosine; or sparse.

    `modality` is what it is a vector of, where that is known: cosines of other kinds of queries are read otherwise.
    """

    space: str
    vector: Vector
    modality: Modality | None = None


Single = Content | Like | InSpace


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of a mixture. Of a negative weight: not this."""

    what: Single
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """This, but with that and without the other: the sum of the parts' vectors, each times its weight."""

    parts: tuple[Part, ...]


Query = Single | Mixture


class Fusion(StrEnum):
    """How lists of several spaces and modalities become one order: `retrieval.fusion`."""

    RRF = "rrf"
    WEIGHTED = "weighted"
    DBSF = "dbsf"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A query. Raises BadQuery when it cannot be meant."""

    tenant: Tenant
    collection: str
    query: Query
    modalities: frozenset[Modality] = frozenset(Modality)
    where: Filter | None = None
    limit: int = 10
    offset: int = 0
    min_score: float | None = None  # of a hit's relevance: a probability, the same for every modality
    exact: bool = False
    fusion: Fusion | None = None  # None: as is best for the index
    weights: Mapping[str, float] = field(default_factory=dict)  # of spaces by name; 1 for the others
    stages: tuple[Reranker, ...] = ()
    budget: float | None = None  # seconds for all stages
    group_by: str | None = None  # a declared field: `group_size` hits of a value at most
    group_size: int = 1
    without: frozenset[AssetId] = frozenset()
    explain: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise BadQuery(f"limit is {self.limit}: ask for 1 to {MAX_LIMIT} hits")
        if not 0 <= self.offset <= DEEPEST - self.limit:
            raise BadQuery(f"offset is {self.offset}: offset and limit together reach from 0 to {DEEPEST:,}; filter")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise BadQuery(f"min_score is {self.min_score}: it is a probability, from 0 to 1")
        if self.budget is not None and not (math.isfinite(self.budget) and self.budget > 0):
            raise BadQuery(f"a budget of {self.budget} seconds: give more than 0, or leave it out")
        if not 1 <= self.group_size <= MAX_LIMIT:
            raise BadQuery(f"group_size is {self.group_size}: ask for 1 to {MAX_LIMIT} hits a group")
        if any(not math.isfinite(weight) or weight < 0 for weight in self.weights.values()):
            raise BadQuery("a space's weight is a number of 0 or more")
        if not self.modalities:
            raise BadQuery("no modality is left to search: name one of " + ", ".join(Modality))
        for single in singles(self.query):
            if isinstance(single, Text) and not single.value.strip():
                raise BadQuery("the query is empty: write some words, or give an image or an asset")
        if isinstance(self.query, Mixture):
            _check_mixture(self.query)


def singles(query: Query) -> tuple[Single, ...]:
    """What a query speaks of."""
    return tuple(part.what for part in query.parts) if isinstance(query, Mixture) else (query,)


@contextmanager
def numbered(at: int, of: int) -> Iterator[None]:
    """What is wrong with one of several queries is told with its number from 0; one alone has none."""
    try:
        yield
    except Refused as exc:
        if of == 1:
            raise
        raise type(exc)(f"query {at}: {exc}") from exc


def words_of(query: Query) -> str | None:
    """The words that a query asks for, where it has any."""
    parts = query.parts if isinstance(query, Mixture) else (Part(query),)
    said = [part.what.value for part in parts if isinstance(part.what, Text) and part.weight > 0]
    return " ".join(said) or None


def _check_mixture(query: Mixture) -> None:
    if not 1 <= len(query.parts) <= MAX_PARTS:
        raise BadQuery(f"a mixture of {len(query.parts)} parts: give 1 to {MAX_PARTS}")
    if any(not math.isfinite(part.weight) or not part.weight for part in query.parts):
        raise BadQuery("a part's weight is a number other than 0")
    if all(part.weight < 0 for part in query.parts):
        raise BadQuery("nothing but what is not wanted: give a part of a positive weight, too")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The best segment of a hit in one space."""

    space: str
    content: Modality  # of the segment
    score: float  # raw, of that space: not comparable over spaces
    probability: float | None = None  # calibrated: that it is relevant; None where nothing is known
    rank: int  # among assets in that list, from 1
    ordinal: int
    span: Span | None
    text: str | None
    source: Reading | None = None  # how the text was read out of the asset, when it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a stage did to a hit. `rank` from 1; None: it was not there."""

    stage: str
    rank_before: int | None
    rank: int
    score_before: float | None
    score: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An asset that was found."""

    asset: AssetId
    external_id: str
    modality: Modality
    media_type: str
    digest: Digest
    metadata: Metadata
    score: float  # by which this answer is ordered; of this answer only
    matches: tuple[Match, ...]
    relevance: float | None = None  # calibrated: a probability, the same for every query and modality
    effects: tuple[Effect, ...] = ()  # of every stage, where an explanation was asked for

    @property
    def text(self) -> str | None:
        """The words of the best matching segment, when it is text."""
        return next((match.text for match in self.matches if match.text), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hits, best first, and what made them."""

    hits: tuple[Hit, ...]
    encoders: Mapping[str, str]  # space to model: whose judgement this is
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage
    partial: tuple[str, ...] = ()  # stages that there was no time for
    query: UUID | None = None  # by which a verdict on it is told
    notes: tuple[str, ...] = ()  # what is to be known of it, in words: a stage that left the order as it was, and why
