"""The catalogue over SQLAlchemy Core: SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import bindparam, select

from core.catalogue import assets, circuits, leases, receipts, rows, stages, tables
from core.catalogue.desk import SqlDesk
from core.catalogue.engine import at_head, looking, make_engine, migrate, now, reading, writing
from core.catalogue.erasing import SqlErasures
from core.catalogue.tending import SqlIndexes
from core.errors import Conflict, NoSuchCollection
from core.records import Claim, Collection, Draft, Failure, Index, Outcome, Standing, State
from core.types import Asset, AssetId, Digest, Tenant

# Said once: every search looks its collection up, and to build a statement costs as much as to run it.
_OF_NAME = select(tables.collections).where(tables.collections.c.name == bindparam("name"))


def open_catalogue(url: str | Path, *, max_attempts: int = 3) -> SqlCatalogue:
    """A catalogue at the newest migration. Raises CatalogueDown, MissingExtra, Misconfigured."""
    engine = make_engine(url)
    migrate(engine)
    return SqlCatalogue(engine, max_attempts=max_attempts)


class SqlCatalogue(SqlDesk, SqlErasures, SqlIndexes):
    """`Catalogue` of core.ports. One transaction a call."""

    def at_head(self) -> bool:
        """Port."""
        return at_head(self.engine)

    def create_collection(self, collection: Collection) -> Collection:
        """Port."""
        with writing(self.engine) as conn:
            new = assets.insert_for(conn)(tables.collections).values(
                name=collection.name,
                fields={name: str(kind) for name, kind in collection.fields.items()},
                profile=collection.profile,
                reads=sorted(collection.reads),
                created_at=now(),
            )
            conn.execute(new.on_conflict_do_nothing())
        there = self.collection(collection.name)
        if there != collection:
            raise Conflict(
                f"collection {there.name!r} has {_declared(there)}, not {_declared(collection)}: "
                "leave both out, or use another collection"
            )
        return there

    def collection(self, name: str) -> Collection:
        """Port."""
        with looking(self.engine) as conn:
            row = conn.execute(_OF_NAME, {"name": name}).one_or_none()
        if row is None:  # the others are not listed: they may be another tenant's
            raise NoSuchCollection(f"there is no collection {name!r}: `quiver status` lists what there is")
        return rows.collection(row)

    def collections(self) -> list[Collection]:
        """Port."""
        with reading(self.engine) as conn:
            found = conn.execute(select(tables.collections).order_by(tables.collections.c.name))
            return [rows.collection(row) for row in found]

    def register(self, tenant: Tenant, collection: str, drafts: Sequence[Draft]) -> list[tuple[AssetId, Outcome]]:
        """Port."""
        with writing(self.engine) as conn:
            return assets.register(conn, tenant, collection, drafts)

    def asset(self, tenant: Tenant, collection: str, key: AssetId | str) -> Asset:
        """Port."""
        with reading(self.engine) as conn:
            return assets.get(conn, tenant, collection, key)

    def assets(
        self, tenant: Tenant, collection: str, *, after: str | None = None, limit: int = 100
    ) -> list[tuple[Asset, State]]:
        """Port."""
        with reading(self.engine) as conn:
            return assets.page(conn, tenant, collection, after, limit)

    def find(self, tenant: Tenant, collection: str, keys: Sequence[str]) -> dict[str, AssetId]:
        """Port."""
        with reading(self.engine) as conn:
            return assets.find(conn, tenant, collection, keys)

    def newest(
        self, tenant: Tenant, collection: str, *, before: tuple[datetime, AssetId] | None = None, limit: int = 1000
    ) -> list[Asset]:
        """Port."""
        with reading(self.engine) as conn:
            return assets.newest(conn, tenant, collection, before, limit)

    def state(self, asset: Asset) -> State:
        """Port."""
        with reading(self.engine) as conn:
            return assets.state(conn, asset.id)

    def counts(self, tenant: Tenant, collection: str) -> dict[State, int]:
        """Port."""
        with reading(self.engine) as conn:
            return assets.counts(conn, tenant, collection)

    def claim(
        self,
        collection: str,
        *,
        worker: str,
        lease: timedelta,
        limit: int,
        ids: Sequence[AssetId] | None = None,
        index: str | None = None,
    ) -> list[Claim]:
        """Port."""
        with writing(self.engine) as conn:
            leases.quarantine(conn, self._max_attempts)
            return leases.claim(conn, collection, worker, lease, limit, ids, index)

    def sign(self, index: Index, written: Mapping[Claim, int]) -> dict[AssetId, int | None]:
        """Port."""
        with writing(self.engine) as conn:
            return leases.sign_all(conn, [(index, written)])[0]

    def sign_all(self, written: Sequence[tuple[Index, Mapping[Claim, int]]]) -> list[dict[AssetId, int | None]]:
        """Port."""
        with writing(self.engine) as conn:
            return leases.sign_all(conn, written)

    def finish(self, claims: Sequence[Claim]) -> None:
        """Port."""
        with writing(self.engine) as conn:
            leases.finish(conn, claims)

    def holders(self) -> list[str]:
        """Port."""
        with reading(self.engine) as conn:
            return leases.holders(conn)

    def expire(self, worker: str) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return leases.expire(conn, worker)

    def renew(self, claims: Sequence[Claim], lease: timedelta) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return leases.renew(conn, claims, lease)

    def release(self, claims: Sequence[Claim]) -> None:
        """Port."""
        with writing(self.engine) as conn:
            leases.release(conn, claims)

    def fail(
        self, claim: Claim, *, kind: str, message: str, retry_in: timedelta | None, index: Index | None = None
    ) -> None:
        """Port."""
        with writing(self.engine) as conn:
            leases.fail(conn, claim, kind, message, retry_in, index)

    def failures(
        self,
        tenant: Tenant,
        collection: str,
        *,
        kind: str | None = None,
        before: datetime | None = None,
        limit: int = 100,
        asset: AssetId | None = None,
        index: str | None = None,
    ) -> list[Failure]:
        """Port."""
        with reading(self.engine) as conn:
            return leases.failed(conn, tenant, collection, kind, before, limit, asset, index)

    def forgive(self, tenant: Tenant, collection: str, ids: Sequence[AssetId] | None = None) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return leases.forgive(conn, tenant, collection, ids)

    def quarantine(self) -> list[AssetId]:
        """Port."""
        with writing(self.engine) as conn:
            return leases.quarantine(conn, self._max_attempts)

    def missing(
        self,
        collection: str,
        *,
        limit: int,
        quiet: timedelta = timedelta(0),
        within: timedelta | None = None,
        index: str | None = None,
    ) -> list[AssetId]:
        """Port."""
        with reading(self.engine) as conn:
            return leases.missing(conn, collection, limit, quiet, within, index)

    def oldest_waiting(self, collection: str) -> timedelta:
        """Port."""
        with reading(self.engine) as conn:
            return circuits.oldest_waiting(conn, collection)

    def trip(self, name: str, reason: str) -> None:
        """Port."""
        with writing(self.engine) as conn:
            circuits.trip(conn, name, reason)

    def mend(self, name: str) -> None:
        """Port."""
        with writing(self.engine) as conn:
            circuits.mend(conn, name)

    def circuits(self) -> dict[str, tuple[timedelta, str]]:
        """Port."""
        with reading(self.engine) as conn:
            return circuits.opened(conn)

    def remove(self, tenant: Tenant, collection: str, ids: Sequence[AssetId]) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return assets.remove(conn, tenant, collection, ids)

    def removed(self, *, limit: int) -> list[Asset]:
        """Port."""
        with reading(self.engine) as conn:
            return assets.removed(conn, limit)

    def purge(self, gone: Sequence[Asset]) -> list[Digest]:
        """Port."""
        with writing(self.engine) as conn:
            return assets.purge(conn, gone)

    def uses(self, digest: Digest) -> bool:
        """Port."""
        with reading(self.engine) as conn:
            return assets.uses(conn, digest)

    def holds(self, tenant: Tenant, digest: Digest) -> bool:
        """Port."""
        with reading(self.engine) as conn:
            return assets.holds(conn, tenant, digest)

    def standings(self, index: Index, ids: Sequence[AssetId]) -> list[Standing]:
        """Port."""
        with reading(self.engine) as conn:
            return receipts.standings(conn, index, ids)

    def twins(self, index: Index, tenant: Tenant, digests: Sequence[Digest]) -> dict[Digest, tuple[Index, AssetId]]:
        """Port."""
        with reading(self.engine) as conn:
            return receipts.twins(conn, index, tenant, digests)

    def signed(
        self, index: Index, *, after: AssetId | None = None, limit: int = 1000, tenant: Tenant | None = None
    ) -> list[tuple[AssetId, int, int]]:
        """Port."""
        with reading(self.engine) as conn:
            return receipts.signed(conn, index, after, limit, tenant)

    def spend(self, collection: str, seconds: Mapping[str, float], count: int) -> None:
        """Port."""
        with writing(self.engine) as conn:
            stages.spend(conn, collection, seconds, count)

    def spent(self, collection: str) -> dict[str, float]:
        """Port."""
        with reading(self.engine) as conn:
            return stages.spent(conn, collection)

    def strike(self, index: Index, wrong: Mapping[AssetId, int]) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return receipts.strike(conn, index, wrong)

    def close(self) -> None:
        """Port."""
        self.engine.dispose()


def _declared(collection: Collection) -> str:
    fields = " ".join(f"{name}={kind}" for name, kind in sorted(collection.fields.items()))
    reads = f" and reads {', '.join(sorted(collection.reads))}" if collection.reads else ""
    return f"profile {collection.profile!r} and fields {fields or 'none'}{reads}"
