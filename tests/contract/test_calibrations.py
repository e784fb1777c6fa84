"""How scores of an index are read, kept with the index."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.catalogue.sql import SqlCatalogue
from core.indexes import Calibration
from core.records import IndexState
from core.types import Modality
from tests.contract.catalogues import index_named

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXTS = Calibration(
    fingerprint="0123456789ab",
    asked=Modality.TEXT,
    content=Modality.TEXT,
    curve={"x": [0.1, 0.5], "y": [0.0, 1.0]},
    fitted_at=NOW,
)
PICTURES = replace(TEXTS, content=Modality.IMAGE, curve={"x": [0.2], "y": [0.5]})


def test_an_index_keeps_what_was_fitted_to_it(catalogue: SqlCatalogue) -> None:
    catalogue.create_index(index_named("c-2", IndexState.BUILDING))
    assert catalogue.calibrations("c-1") == []
    catalogue.calibrate("c-1", [TEXTS, PICTURES])
    assert catalogue.calibrations("c-1") == [PICTURES, TEXTS]
    assert catalogue.calibrations("c-2") == []


def test_what_is_fitted_anew_takes_the_place_of_what_was_and_leaves_the_others(catalogue: SqlCatalogue) -> None:
    catalogue.calibrate("c-1", [TEXTS, PICTURES])
    newer = replace(TEXTS, curve={"x": [0.3], "y": [0.9]}, fitted_at=NOW + timedelta(days=1))
    catalogue.calibrate("c-1", [newer])
    assert catalogue.calibrations("c-1") == [PICTURES, newer]


def test_with_an_index_goes_what_was_fitted_to_it(catalogue: SqlCatalogue) -> None:
    catalogue.calibrate("c-1", [TEXTS])
    catalogue.clear_index("c-1")
    assert catalogue.calibrations("c-1") == []
