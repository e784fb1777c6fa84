"""What is asked and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import BadQuery
from core.filters import Filter
from core.types import AssetId, Content, Digest, Metadata, Modality, Reading, Span, Tenant, Text

MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Like:
    """More like this asset of the collection, by id or external id."""

    asset: AssetId | str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A query. Raises BadQuery when it cannot be meant."""

    tenant: Tenant
    collection: str
    query: Content | Like
    modalities: frozenset[Modality] = frozenset(Modality)
    where: Filter | None = None
    limit: int = 10
    exact: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise BadQuery(f"limit is {self.limit}: ask for 1 to {MAX_LIMIT} hits")
        if not self.modalities:
            raise BadQuery("no modality is left to search: name one of " + ", ".join(Modality))
        if isinstance(self.query, Text) and not self.query.value.strip():
            raise BadQuery("the query is empty: write some words, or give an image or an asset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The best segment of a hit in one space."""

    space: str
    score: float  # raw, of that space: not comparable over spaces
    rank: int  # among assets in that list, from 1
    ordinal: int
    span: Span | None
    text: str | None
    source: Reading | None = None  # how the text was read out of the asset, when it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An asset that was found."""

    asset: AssetId
    external_id: str
    modality: Modality
    media_type: str
    digest: Digest
    metadata: Metadata
    score: float  # fused, of this answer only
    matches: tuple[Match, ...]

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
