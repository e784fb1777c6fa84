"""What comes in as JSON."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from core.desk import Quota, Role
from core.fields import FieldType
from core.types import Reading

Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
MOST_CHARS = 100_000  # of a text that is embedded whole
Said = Annotated[str, Field(max_length=MOST_CHARS)]
Page = Annotated[int, Field(ge=1, le=1000)]


class In(BaseModel):
    """A body: what it does not know is an error."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, said: Any) -> Any:
        if isinstance(said, dict) and (unknown := said.keys() - cls.model_fields.keys()):
            shown = ", ".join(sorted(str(name)[:40] for name in islice(unknown, 3)))
            more = f" and {len(unknown) - 3:,} more" if len(unknown) > 3 else ""
            raise ValueError(f"{shown}{more}: there is no such name; there is: {', '.join(cls.model_fields)}")
        return said


class NewCollection(In):
    """What a collection declares."""

    fields: dict[str, FieldType] = Field(
        default={}, max_length=200, description="Metadata fields that filters may name"
    )
    profile: str | None = Field(default=None, description="Encoders; without it the default ones", max_length=255)
    reads: list[Reading] | None = Field(
        default=None, max_length=8, description="Text inside its things that they are found by too"
    )


class NewAsset(In):
    """One asset, by its text or by an address where it is."""

    text: str | None = None
    url: str | None = Field(default=None, max_length=8192)
    id: str | None = Field(
        default=None, min_length=1, max_length=1023, description="What it replaces; otherwise its digest"
    )
    metadata: dict[str, Any] = {}


class Keys(In):
    """Assets, by id or external id."""

    assets: list[Annotated[str, Field(max_length=1023)]] = Field(min_length=1, max_length=10_000)


class Selection(In):
    """Failures: those named, or all of a class and age."""

    collection: Label
    assets: list[Annotated[str, Field(max_length=1023)]] = Field(default=[], max_length=10_000)
    kind: str | None = Field(default=None, max_length=63)
    older_than_seconds: float | None = Field(default=None, ge=0, le=10**9)


class Reconciling(In):
    """What to compare."""

    collection: Label
    repair: bool = False


class NewKey(In):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=100)
    roles: list[Role] = Field(min_length=1)
    expires_in_seconds: float | None = Field(default=None, gt=0, le=10**9)
    queries_per_second: float | None = Field(default=None, ge=0, le=1e6)
    assets_per_day: int | None = Field(default=None, ge=0, le=10**12)
    bytes_per_day: int | None = Field(default=None, ge=0, le=10**15)

    def quota(self) -> Quota:
        """As a word of ours."""
        return Quota(
            queries_per_second=self.queries_per_second,
            assets_per_day=self.assets_per_day,
            bytes_per_day=self.bytes_per_day,
        )


class Rotation(In):
    """How long the old secret goes on."""

    grace_seconds: float = Field(default=3600, ge=0, le=10**8)


class Picture(In):
    """A picture: base64 of its file."""

    image: str


class Words(In):
    """A text."""

    text: str = Field(max_length=MOST_CHARS)


class EmbeddingsQuery(BaseModel):
    """As OpenAI's /v1/embeddings; inputs may also be `{"text": ...}` or `{"image": base64}`."""

    input: Said | Annotated[list[Said | Words | Picture], Field(max_length=2048)]
    model: str | None = Field(default=None, max_length=255, description="PROFILE or PROFILE#SPACE")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


class RerankQuery(BaseModel):
    """As Cohere's and Jina's /v1/rerank; documents may also be `{"text": ...}` or `{"image": base64}`."""

    query: str = Field(max_length=100_000)
    documents: list[Said | Words | Picture] = Field(min_length=1, max_length=1000)
    model: str | None = Field(default=None, max_length=255)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False
