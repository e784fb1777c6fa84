"""Where the time of indexing goes: `Catalogue.spend` and `spent`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from core.catalogue.assets import insert_for
from core.catalogue.tables import stages


def spend(conn: Connection, collection: str, seconds: Mapping[str, float], count: int) -> None:
    """Port: `Catalogue.spend`. Rows in one order, so that two who add at once never wait for each other in a ring."""
    new = insert_for(conn)(stages)
    put = new.on_conflict_do_update(
        index_elements=["collection", "stage"],
        set_={"seconds": stages.c.seconds + new.excluded.seconds, "assets": stages.c.assets + new.excluded.assets},
    )
    said = {"collection": collection, "assets": count}
    if seconds:
        conn.execute(put, [said | {"stage": stage, "seconds": seconds[stage]} for stage in sorted(seconds)])


def spent(conn: Connection, collection: str) -> dict[str, float]:
    """Port: `Catalogue.spent`."""
    rows = conn.execute(select(stages).where(stages.c.collection == collection).order_by(stages.c.stage)).all()
    assets = max((row.assets for row in rows), default=0)  # every asset goes through some stage that all go through
    return {row.stage: row.seconds / assets for row in rows if assets}
