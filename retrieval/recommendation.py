"""What is asked of a recommendation, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from core.errors import BadQuery
from core.fields import Fields, FieldType, as_datetime
from core.filters import Filter, check
from core.spaces import Sparse
from core.types import AssetId, Modality, Tenant
from retrieval.history import Example, check_examples, decay
from retrieval.request import MAX_LIMIT, Fusion, Hit, InSpace, SearchRequest, Single
from retrieval.shares import Quota, Shares, check_shares
from retrieval.stages import Reranker

ANY = InSpace("", np.ones(1, np.float32))  # a query where something has to be asked, and nothing is


class Strategy(StrEnum):
    """How likeness to several examples becomes one score, as in Qdrant (qdrant.tech/documentation/concepts/explore):

    average  nearness to twice the mean of what is liked less the mean of what is not
    best     nearness to the nearest that is liked, unless one that is not liked is nearer
    sum      the nearnesses to all that is liked less those to all that is not
    """

    AVERAGE = "average"
    BEST = "best"
    SUM = "sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Of what is a half-life old by a datetime field, `weight` of the score is halved; of what has no date, all of
    `weight` is lost."""

    field: str
    half_life: timedelta
    weight: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What is shown to somebody of whom nothing is known: `recent` (the newest assets, or by a datetime field),
    `popular` (by a numeric field, and then the newest), or `none`."""

    kind: str = "recent"
    field: str | None = None

    @classmethod
    def of(cls, said: str) -> Fallback:
        """`recent`, `recent:FIELD`, `popular:FIELD` (or `popular FIELD`), `none`. Raises BadQuery."""
        kind, _, name = said.strip().replace(" ", ":", 1).partition(":")
        if kind not in ("recent", "popular", "none") or (kind == "popular") > bool(name) or (kind == "none" and name):
            raise BadQuery(f"fallback {said!r}: write recent, recent:FIELD, popular:FIELD or none")
        return cls(kind=kind, field=name or None)

    def __str__(self) -> str:
        return self.kind if self.field is None else f"{self.kind}:{self.field}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecommendRequest:
    """A recommendation for one person. Raises BadQuery when it cannot be meant."""

    tenant: Tenant
    collection: str
    examples: tuple[Example, ...]
    strategy: Strategy = Strategy.AVERAGE
    half_life: timedelta | None = None  # in which the weight of an example is halved
    modalities: frozenset[Modality] = frozenset(Modality)
    where: Filter | None = None
    limit: int = 10
    seen: AbstractSet[str] = frozenset()  # ids and external ids: `retrieval.seen.seen_keys`
    again: bool = False  # whether the examples themselves may be recommended
    min_score: float | None = None  # a probability of relevance
    exact: bool = False
    fusion: Fusion | None = None
    weights: Mapping[str, float] = field(default_factory=dict)  # of spaces by name
    stages: tuple[Reranker, ...] = ()
    budget: float | None = None  # seconds for the stages
    freshness: Freshness | None = None
    quota: Quota = field(default_factory=dict)
    shares: Shares = field(default_factory=dict)
    fallback: Fallback = Fallback()
    page: str | None = None  # the token of the page before
    reasons: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise BadQuery(f"limit is {self.limit}: ask for 1 to {MAX_LIMIT}")
        fresh = None if self.freshness is None else self.freshness.half_life
        for what, span in (("half_life", self.half_life), ("freshness", fresh)):
            if span is not None and not timedelta(seconds=1) <= span <= timedelta(days=36_500):
                raise BadQuery(f"{what} is {span}: give from a second to a hundred years")
        if self.freshness is not None and not 0 < self.freshness.weight <= 1:
            raise BadQuery(f"freshness: its weight is {self.freshness.weight}; give more than 0, at most 1")
        check_examples(self.examples)
        check_shares(self.quota, self.shares, self.limit)
        self.search(self.examples[0].what if self.examples else ANY)

    def search(self, query: Single, **more: object) -> SearchRequest:
        """A search of the same bounds. Raises BadQuery for what no search can be."""
        said: dict[str, object] = {
            "tenant": self.tenant,
            "collection": self.collection,
            "modalities": self.modalities,
            "where": self.where,
            "limit": self.limit,
            "min_score": self.min_score,
            "exact": self.exact,
            "fusion": self.fusion,
            "weights": self.weights,
            "stages": self.stages,
            "budget": self.budget,
        }
        return SearchRequest(query=query, **{**said, **more})  # type: ignore[arg-type]  # each has its type above

    def check(self, fields: Fields) -> None:
        """Raises BadFilter, and BadQuery for a field that is not declared, or not of the type that is needed."""
        check(self.where, fields)
        keys = {FieldType.KEYWORD, FieldType.INTEGER, FieldType.BOOL}
        for name in {*self.quota, *self.shares}:
            need_field(fields, name, keys, "a quota")
        if self.freshness is not None:
            need_field(fields, self.freshness.field, {FieldType.DATETIME}, "freshness")
        if self.fallback.field is not None:
            numeric = {FieldType.INTEGER, FieldType.FLOAT}
            kinds = numeric if self.fallback.kind == "popular" else {FieldType.DATETIME}
            need_field(fields, self.fallback.field, kinds, f"fallback {self.fallback.kind}")

    def spelling(self) -> Iterator[object]:
        """What a page token is of: all that decides about the order, but not what was seen, which grows meanwhile."""
        yield self.tenant, self.collection, str(self.strategy), self.half_life, sorted(self.modalities), self.where
        yield self.again, self.min_score, self.exact, self.fusion, sorted(self.weights.items())
        yield [stage.name for stage in self.stages], self.freshness, sorted(self.quota.items()), str(self.fallback)
        yield [(name, sorted(said.items(), key=str)) for name, said in sorted(self.shares.items())]
        for one in self.examples:
            yield one.name, one.weight, one.when
            yield _spelt(one.what)


def _spelt(what: Single) -> object:
    if isinstance(what, InSpace):
        vector = what.vector
        held = (vector.indices.tobytes(), vector.values.tobytes()) if isinstance(vector, Sparse) else vector.tobytes()
        return what.space, what.modality, held
    for part in ("pixels", "samples"):
        if hasattr(what, part):
            return np.asarray(getattr(what, part)).tobytes()
    return what


def need_field(fields: Fields, name: str, kinds: AbstractSet[FieldType], what: str) -> None:
    """Raises BadQuery unless the field is declared, and of one of these types."""
    if name not in fields:
        raise BadQuery(f"{what}: {name!r} is not a declared field; declared: {', '.join(sorted(fields)) or 'none'}")
    if fields[name] not in kinds:
        raise BadQuery(f"{what}: {name!r} is {fields[name]}, but a field of {' or '.join(sorted(kinds))} is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """The example that a thing is nearest to, in the space that ranks it best."""

    example: str
    space: str
    score: float  # raw, of that space


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """A thing that is recommended, and why. `fallback`: by which order, where nothing is known of the person."""

    hit: Hit
    because: Because | None = None
    freshness: float | None = None  # the factor that its age made
    fallback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What is recommended, best first."""

    items: tuple[Recommended, ...]
    unknown: tuple[str, ...] = ()  # examples that are not there, or no more
    pending: tuple[str, ...] = ()  # examples that have no vectors yet
    fallback: str | None = None  # what was shown, for no example could be used
    page: str | None = None  # the token of the next page; None: there is none
    partial: tuple[str, ...] = ()  # stages that there was no time for
    encoders: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()  # as of an answer

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The things alone."""
        return tuple(item.hit for item in self.items)


def aged(hits: list[Hit], freshness: Freshness | None, now: datetime) -> tuple[list[Hit], dict[AssetId, float]]:
    """The hits with scores by their age, in the order of these, and the factors by asset."""
    if freshness is None:
        return hits, {}
    factors: dict[AssetId, float] = {}
    for hit in hits:
        held = hit.metadata.get(freshness.field)
        dates = held if isinstance(held, list) else [] if held is None else [held]
        young = max((decay(as_datetime(one), freshness.half_life, now) for one in dates), default=0.0)
        factors[hit.asset] = 1 - freshness.weight + freshness.weight * young
    made = [replace(hit, score=hit.score * factors[hit.asset]) for hit in hits]
    return sorted(made, key=lambda hit: (-hit.score, str(hit.asset))), factors
