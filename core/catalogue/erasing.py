"""Erasing over SQLAlchemy Core: `core.erasing.Erasures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from core.catalogue import erasures, rows, tables, traces
from core.catalogue.engine import reading, writing
from core.erasing import Erasing, Erasure, Order, Traces
from core.records import Index
from core.types import AssetId, Digest, Tenant


class SqlErasures:
    """One transaction a call."""

    engine: Engine

    def every_index(self) -> list[Index]:
        """Port."""
        with reading(self.engine) as conn:
            return [rows.index(row) for row in conn.execute(select(tables.indexes).order_by(tables.indexes.c.id))]

    def begin_erasing(
        self, tenant: Tenant, collection: str, order: Order, *, worker: str, lease: timedelta, most: int
    ) -> list[Erasing]:
        """Port."""
        with writing(self.engine) as conn:
            return erasures.begin(conn, tenant, collection, order, worker, lease, most)

    def erasings(self) -> list[Erasing]:
        """Port."""
        with reading(self.engine) as conn:
            return erasures.open_ones(conn)

    def hold_erasing(self, erasing: Erasing, *, worker: str, lease: timedelta) -> Erasing | None:
        """Port."""
        with writing(self.engine) as conn:
            return erasures.hold(conn, erasing, worker, lease)

    def note_erasing(self, erasing: Erasing, found: Mapping[str, Sequence[str]]) -> Erasing:
        """Port."""
        with writing(self.engine) as conn:
            return erasures.note(conn, erasing, found)

    def busy(self, ids: Sequence[AssetId]) -> list[AssetId]:
        """Port."""
        with reading(self.engine) as conn:
            return erasures.busy(conn, ids)

    def purge_erased(self, erasing: Erasing) -> list[Digest]:
        """Port."""
        with writing(self.engine) as conn:
            return erasures.purge(conn, erasing)

    def strike_traces(self, erasing: Erasing) -> Traces:
        """Port."""
        with writing(self.engine) as conn:
            return traces.strike(conn, erasing)

    def end_job(self, job_id: UUID, *, error: str) -> tuple[Digest, bool]:
        """Port."""
        with writing(self.engine) as conn:
            return traces.end_job(conn, job_id, error)

    def end_erasing(self, erasing: Erasing, receipt: Mapping[str, Any], *, label: str) -> Erasure | None:
        """Port."""
        with writing(self.engine) as conn:
            return erasures.end(conn, erasing, receipt, label)

    def erasures(self, tenant: Tenant | None, *, after: int = 0, limit: int = 1000) -> list[Erasure]:
        """Port."""
        with reading(self.engine) as conn:
            return erasures.listed(conn, tenant, after, limit)

    def last_erasure(self) -> Erasure | None:
        """Port."""
        with reading(self.engine) as conn:
            return erasures.last(conn)

    def rejoin_erasures(self, lost: Sequence[tuple[Erasure, str]]) -> None:
        """Port."""
        with writing(self.engine) as conn:
            erasures.rejoin(conn, lost)

    def superseded(self, *, limit: int) -> dict[Digest, datetime]:
        """Port."""
        with writing(self.engine) as conn:
            return erasures.replaced(conn, limit)

    def settle_superseded(self, gone: Mapping[Digest, datetime]) -> None:
        """Port."""
        with writing(self.engine) as conn:
            erasures.settle(conn, gone)
