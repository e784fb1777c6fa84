"""Ports: the promises between rooms and the world. Their implementations are the folders of core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID

from core.desk import Desk
from core.erasing import Erasures
from core.filters import Filter
from core.indexes import Indexes, Leases
from core.points import Found, Nearest, Points, Scope, Stored
from core.records import Collection, Draft, Index, Outcome, Standing, State
from core.spaces import EmbeddingSpace, Vector, Vectors
from core.types import Asset, AssetId, Content, Digest, Tenant, Wants


class Tokens(Protocol):
    """How an encoder cuts text into tokens, and how many it reads: what follows in a text is not in its vector."""

    @property
    def most(self) -> int:
        """Tokens of a text that are read, besides those that mark its ends."""
        ...

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Where each token lies in the text: half open, in characters, in order."""
        ...


class Embeds(Protocol):
    """What a plug-in writes: content to vectors of one space. `core.encoders.checked` makes an `Encoder` of it."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space. Known without loading weights."""
        ...

    def encode(self, contents: Sequence[Content]) -> Vectors:
        """See `Encoder`."""
        ...


class Encoder(Embeds, Protocol):
    """Content to vectors of one space."""

    @property
    def tokens(self) -> Tokens | None:
        """How it reads text; None when it reads none, or texts of every length alike."""
        ...

    @property
    def wants(self) -> Wants:
        """What content must be like at most: a decoder makes no more of it. `contents`: the space's modalities."""
        ...

    @property
    def how(self) -> Mapping[str, str]:
        """In words how each of its parts is computed here, as "fused, bfloat16", once it has been; empty where it does
        not say."""
        ...

    def encode(self, contents: Sequence[Content]) -> Vectors:
        """Row i belongs to contents[i] and depends on it alone; finite; unit rows when cosine.
        f32 (n, dim), or n sparse vectors when the space is sparse. Every content is of a modality of the space.
        Weights load on the first call. Safe to call from several threads.
        """
        ...

    def encode_query(self, query: Content) -> Vector:
        """The vector that a query is searched by: f32 (dim,), or sparse and then perhaps empty."""
        ...

    def encode_queries(self, queries: Sequence[Content]) -> Vectors:
        """The same of several, in order, in the form that `encode` has: together they take a fraction of the time."""
        ...


class VectorStore(Protocol):
    """Indexes of points. Faults: StoreDown, StoreLocked, NoSuchCollection (no such index), BadPoint, ModelMismatch."""

    def create(self, index: Index) -> None:
        """Make the index and its payload indexes. Harmless when it exists."""
        ...

    def drop(self, index_id: str) -> None:
        """Remove the index. Harmless when there is none."""
        ...

    def indexes(self) -> list[str]:
        """The ids of all indexes, sorted."""
        ...

    def upsert(self, index: Index, points: Points) -> None:
        """Write points whole, vectors and payload; visible on return. A point already there in a newer generation
        is left as it is. After a fault the batch is unknown: write it again."""
        ...

    def flush(self, index: Index) -> None:
        """All that was written is durable on return."""
        ...

    def forget(self, index: Index, assets: Mapping[AssetId, int | None]) -> None:
        """Delete the assets' points of generations below the number given; of all generations when None."""
        ...

    def search(self, index: Index, queries: Sequence[Nearest]) -> list[list[Found]]:
        """One answer a query, in one round trip: best first, ties by id. ModelMismatch for a space not of the index."""
        ...

    def count(self, index: Index, scope: Scope, where: Filter | None = None, *, exact: bool = True) -> int:
        """How many points. Not `exact`: an estimate from the payload indexes, in microseconds, to plan by."""
        ...

    def of_assets(self, index: Index, assets: Sequence[AssetId]) -> list[Stored]:
        """The points of these assets with their vectors, an asset's together, by source and ordinal."""
        ...

    def scroll(self, index: Index, *, after: UUID | None = None, limit: int = 1000) -> list[Stored]:
        """Points of every tenant by growing id, without vectors: for reconciling."""
        ...

    def serve(self, index: Index) -> None:
        """Searches are answered from this index of its collection from now on: for others that read the store too.
        Harmless twice."""
        ...

    def close(self) -> None:
        """Let go of files and connections. Harmless twice."""
        ...


class Blobs(Protocol):
    """Bytes by digest. Faults: BlobsDown, NoSuchAsset (no such blob)."""

    def put(self, source: BinaryIO) -> tuple[Digest, int]:
        """Store a stream; its sha-256 and size. The same bytes are stored once. Durable on return."""
        ...

    def open(self, digest: Digest) -> BinaryIO:
        """Read it. The caller closes."""
        ...

    def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        ...

    def path(self, digest: Digest) -> Path | None:
        """Where it lies, when it is a local file."""
        ...

    def discard(self, digest: Digest) -> None:
        """Take it out of sight; `restore` brings it back until `erase`."""
        ...

    def restore(self, digest: Digest) -> None:
        """Bring back what was discarded. Harmless when it was not."""
        ...

    def erase(self, digest: Digest) -> None:
        """Destroy what was discarded. Harmless when it was not."""
        ...


class Catalogue(Desk, Erasures, Indexes, Leases, Protocol):
    """The truth about every asset, about indexes (`core.indexes`), what the door keeps (`core.desk`) and what is
    erased (`core.erasing`). Fault: CatalogueDown; each racing change is one conditional statement."""

    def at_head(self) -> bool:
        """Whether its tables are at the newest migration."""
        ...

    def create_collection(self, collection: Collection) -> Collection:
        """Make it, or return the one there is. Conflict when a field or the profile differs."""
        ...

    def collection(self, name: str) -> Collection:
        """Raises NoSuchCollection."""
        ...

    def collections(self) -> list[Collection]:
        """By name."""
        ...

    def register(self, tenant: Tenant, collection: str, drafts: Sequence[Draft]) -> list[tuple[AssetId, Outcome]]:
        """Insert or replace by external id, in order, in one transaction. Unchanged bytes and metadata change nothing;
        a change, or a return after a removal, is the next generation."""
        ...

    def asset(self, tenant: Tenant, collection: str, key: AssetId | str) -> Asset:
        """By id or external id. Raises NoSuchAsset; a removed asset is none."""
        ...

    def assets(
        self, tenant: Tenant, collection: str, *, after: str | None = None, limit: int = 100
    ) -> list[tuple[Asset, State]]:
        """A page by external id."""
        ...

    def find(self, tenant: Tenant, collection: str, keys: Sequence[str]) -> dict[str, AssetId]:
        """Those that are there of many ids and external ids, by the key; one spelt like an id is tried as such first.
        Removed assets are not there."""
        ...

    def newest(
        self, tenant: Tenant, collection: str, *, before: tuple[datetime, AssetId] | None = None, limit: int = 1000
    ) -> list[Asset]:
        """A page of assets, the latest created first, ties by the larger id; from behind the one created then."""
        ...

    def state(self, asset: Asset) -> State:
        """Computed now."""
        ...

    def counts(self, tenant: Tenant, collection: str) -> dict[State, int]:
        """How many assets in each state."""
        ...

    def trip(self, name: str, reason: str) -> None:
        """A part does not answer: its circuit opens for a while, twice as long each time, with jitter and a cap."""
        ...

    def mend(self, name: str) -> None:
        """It answers again."""
        ...

    def circuits(self) -> dict[str, tuple[timedelta, str]]:
        """The circuits that were tripped and not mended: how long each stays open, perhaps zero, and why."""
        ...

    def remove(self, tenant: Tenant, collection: str, ids: Sequence[AssetId]) -> int:
        """Mark removed (the next generation), strike receipts and failures; how many were there."""
        ...

    def removed(self, *, limit: int) -> list[Asset]:
        """Removed assets that no live lease holds: their points are to be forgotten, then they are purged."""
        ...

    def purge(self, gone: Sequence[Asset]) -> list[Digest]:
        """Delete rows that are still removed in that generation; the digests that no asset uses any more. Points of
        generations below the asset's are to be forgotten before."""
        ...

    def uses(self, digest: Digest) -> bool:
        """Whether any asset, removed ones included, or a job has these bytes."""
        ...

    def holds(self, tenant: Tenant, digest: Digest) -> bool:
        """Whether an asset of this tenant has these bytes; a removed one has none."""
        ...

    def standings(self, index: Index, ids: Sequence[AssetId]) -> list[Standing]:
        """Those of these assets that have a row, removed ones included."""
        ...

    def twins(self, index: Index, tenant: Tenant, digests: Sequence[Digest]) -> dict[Digest, tuple[Index, AssetId]]:
        """Assets of this tenant with these bytes whose present generation has a receipt of this index, or else of one
        that serves any collection and has the same spaces and reads; one for each digest."""
        ...

    def signed(
        self, index: Index, *, after: AssetId | None = None, limit: int = 1000, tenant: Tenant | None = None
    ) -> list[tuple[AssetId, int, int]]:
        """A page of receipts by asset: id, generation, points. Of one tenant, or of all."""
        ...

    def spend(self, collection: str, seconds: Mapping[str, float], count: int) -> None:
        """So many assets went through these stages of indexing, and took so long; 0: of assets that are counted
        elsewhere."""
        ...

    def spent(self, collection: str) -> dict[str, float]:
        """Seconds an asset took in each stage, on average over all that were ever counted, one lane's."""
        ...

    def strike(self, index: Index, wrong: Mapping[AssetId, int]) -> int:
        """Take back receipts that are still of that generation, so that the assets are indexed again; how many."""
        ...

    def close(self) -> None:
        """Let go of connections. Harmless twice."""
        ...


class Meter(Protocol):
    """Counts what is used, over all processes that share it. Fault: BrokerDown."""

    def spend(self, name: str, amount: float, *, most: float, per: timedelta) -> timedelta:
        """Take `amount` from an allowance of `most` that fills up evenly within `per` (GCRA). Zero when it was taken;
        else nothing was taken, and this is how long until it could be. More than `most` is never there: then `per`.
        A negative amount is given back, until the allowance is full."""
        ...

    def close(self) -> None:
        """Let go of connections. Harmless twice."""
        ...


EncoderOf = Callable[[EmbeddingSpace], Encoder]  # ModelMismatch when no encoder makes that space
Enqueue = Callable[[str, Iterable[AssetId]], None]  # collection, ids; after commit; may be lost
Walk = Iterator[Path]
