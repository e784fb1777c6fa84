"""Indexes over SQLAlchemy Core: the statements of `core.catalogue.indexes`, one transaction a call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, select

from core.catalogue import calibrations, indexes, rows, tables
from core.catalogue.engine import looking, reading, writing
from core.errors import NoSuchCollection
from core.indexes import Calibration, Coverage, Share, Tended
from core.records import Index, IndexState
from core.types import AssetId


class SqlIndexes:
    """`Indexes` of core.indexes."""

    engine: Engine

    def create_index(self, index: Index, plan: Mapping[str, Any] | None = None) -> Index:
        """Port."""
        with writing(self.engine) as conn:
            return indexes.create(conn, index, plan or {})

    def indexes(self, collection: str) -> list[Index]:
        """Port."""
        return [tended.index for tended in self.tended(collection, rows.ACTIVE)]

    def serving(self, collection: str) -> Index:
        """Port."""
        with looking(self.engine) as conn:
            found = indexes.serving(conn, collection)
        if found is not None:
            return found
        with reading(self.engine) as conn:
            known = select(tables.collections.c.name).where(tables.collections.c.name == collection)
            there = conn.execute(known).one_or_none()
        if there is None:  # the others are not listed: they may be another tenant's
            raise NoSuchCollection(f"there is no collection {collection!r}: `quiver status` lists what there is")
        raise NoSuchCollection(f"collection {collection!r} has no index yet: ingest something into it")

    def tended(self, collection: str, states: Collection[IndexState] = tuple(IndexState)) -> list[Tended]:
        """Port."""
        with looking(self.engine) as conn:
            return indexes.of_collection(conn, collection, states)

    def advance(self, index_id: str, *, of: Collection[IndexState], to: IndexState, note: str | None = None) -> Tended:
        """Port."""
        with writing(self.engine) as conn:
            return indexes.advance(conn, index_id, of, to, note)

    def exchange(
        self,
        coming: str,
        *,
        of: Collection[IndexState],
        leaving: IndexState,
        note: str | None = None,
        forced: bool = False,
    ) -> tuple[Tended, Tended]:
        """Port."""
        with writing(self.engine) as conn:
            return indexes.exchange(conn, coming, of, leaving, note, forced)

    def revise(self, index_id: str, changes: Mapping[str, Any], *, given: Mapping[str, Any] | None = None) -> Tended:
        """Port."""
        with writing(self.engine) as conn:
            return indexes.revise(conn, index_id, changes, given or {})

    def uncovered(self, of: str, to: str, *, limit: int) -> tuple[int, list[tuple[str, str]]]:
        """Port."""
        with reading(self.engine) as conn:
            return indexes.uncovered(conn, of, to, limit)

    def having(self, index_id: str, ids: Sequence[AssetId]) -> set[AssetId]:
        """Port."""
        with reading(self.engine) as conn:
            return indexes.having(conn, index_id, ids)

    def coverage(self, index: Index) -> Coverage:
        """Port."""
        with reading(self.engine) as conn:
            return indexes.coverage(conn, index)

    def census(self, index_id: str) -> list[Share]:
        """Port."""
        with reading(self.engine) as conn:
            return indexes.census(conn, index_id)

    def pardon(self, index_id: str) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return indexes.pardon(conn, index_id)

    def clear_index(self, index_id: str) -> int:
        """Port."""
        with writing(self.engine) as conn:
            return indexes.clear(conn, index_id)

    def calibrate(self, index_id: str, fitted: Sequence[Calibration]) -> None:
        """Port."""
        with writing(self.engine) as conn:
            calibrations.put(conn, index_id, fitted)

    def calibrations(self, index_id: str) -> list[Calibration]:
        """Port."""
        with reading(self.engine) as conn:
            return calibrations.of_index(conn, index_id)
