"""Recommendation over the engine: what the reference store promises, with its graph, filters and orders by a field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.fields import FieldType
from ingest.sources.manifest import Inline
from quiver import Quiver
from tests.doubles import toy_parts
from tests.flow.embedded import ingest
from tests.flow.promises import ME  # noqa: F401  # the tenant that these helpers fill

FIELDS = {"brand": FieldType.KEYWORD, "price": FieldType.FLOAT, "when": FieldType.DATETIME}


def test_the_engine_recommends_as_the_reference_does(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path / "data")
    items = [
        Inline(
            f"n{at:02}",
            " ".join(["red"] * (30 - at) + ["blue"] * at),
            {"brand": "ab"[at % 2], "price": at - 10.5, "when": f"2026-01-{at % 28 + 1:02}T00:00:00Z"},
        )
        for at in range(30)
    ]
    try:
        ingest(parts, items, fields=FIELDS)
        quiver = Quiver(parts)
        colour: dict[str, Any] = {"weights": {"words": 0.0}}

        def names(*positives: str, **more: Any) -> list[str]:
            return [hit.external_id for hit in quiver.recommend("c", positives, **{**colour, **more}).hits]

        for strategy in ("average", "best", "sum"):
            assert names("n00", strategy=strategy, limit=3, seen=["n01", "n03"]) == ["n02", "n04", "n05"]
            assert len(names("n00", strategy=strategy, limit=30, seen=[f"n{at:02}" for at in range(10)])) == 20
        assert names("n00", limit=4, quota={"brand": 1}) == ["n01", "n02"]
        assert names("nobody", fallback="popular:price", limit=3) == ["n29", "n28", "n27"]
        assert names("nobody", fallback="recent:when", limit=2) == ["n27", "n26"]
        assert names("nobody", fallback="popular:price", where="brand = a", limit=2) == ["n28", "n26"]
        assert len(names("nobody", limit=50)) == 30
    finally:
        parts.close()
