"""Statements over calibrations: how the scores of an index are to be read."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from core.catalogue.assets import insert_for
from core.catalogue.engine import utc
from core.catalogue.tables import calibrations
from core.indexes import Calibration
from core.types import Modality

KEY = ("index_id", "fingerprint", "asked", "content")


def put(conn: Connection, index_id: str, fitted: Sequence[Calibration]) -> None:
    """Port: `Indexes.calibrate`. Rows in one order, so that two who fit at once never wait for each other in a ring."""
    for one in sorted(fitted, key=lambda each: (each.fingerprint, each.asked, each.content)):
        new = insert_for(conn)(calibrations).values(
            index_id=index_id,
            fingerprint=one.fingerprint,
            asked=str(one.asked),
            content=str(one.content),
            curve=dict(one.curve),
            fitted_at=utc(one.fitted_at),
        )
        conn.execute(
            new.on_conflict_do_update(
                index_elements=list(KEY), set_={name: new.excluded[name] for name in ("curve", "fitted_at")}
            )
        )


def of_index(conn: Connection, index_id: str) -> list[Calibration]:
    """Port: `Indexes.calibrations`."""
    mine = select(calibrations).where(calibrations.c.index_id == index_id)
    return [
        Calibration(
            fingerprint=row.fingerprint,
            asked=Modality(row.asked),
            content=Modality(row.content),
            curve=row.curve,
            fitted_at=utc(row.fitted_at),
        )
        for row in conn.execute(mine.order_by(*(calibrations.c[name] for name in KEY)))
    ]
