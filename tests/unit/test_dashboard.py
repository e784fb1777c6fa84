"""The dashboard asks for what the code tells, and for all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from core.runtime import metrics

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/quiver.json").read_text())
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def told() -> dict[str, tuple[str, set[str]]]:
    """Every name that a scrape may show: its metric, and its labels."""
    found: dict[str, tuple[str, set[str]]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            for suffix in SUFFIXES[family.type]:
                bucket = {"le"} if suffix == "_bucket" else set()
                found[family.name + suffix] = family.name, set(metric._labelnames) | bucket
    return found | {name: (name, {label}) for name, (_, label) in metrics.LOOKED_UP.items()}


def targets() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield from panel.get("targets", ())


def named(expression: str) -> list[str]:
    return re.findall(r"\bquiver_\w+", expression)


def test_every_metric_of_the_dashboard_is_told_and_every_metric_told_is_on_it() -> None:
    shown = {name for target in targets() for name in named(target["expr"])}
    assert not shown - told().keys()
    assert {told()[name][0] for name in shown} == {metric for metric, _ in told().values()}


def test_the_dashboard_groups_and_names_by_labels_that_there_are() -> None:
    for target in targets():
        labels = set.union(*(told()[name][1] for name in named(target["expr"])))
        grouped = {word for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in re.split(r",\s*", group)}
        chosen = set(re.findall(r"(\w+)=~?\"", target["expr"]))
        legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert grouped | chosen <= labels, target["expr"]
        assert legend <= grouped, target["expr"]


def test_the_operations_page_names_every_metric() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    names = {name for name, (metric, _) in told().items() if name in (metric, f"{metric}_total")}
    histograms = {metric for name, (metric, _) in told().items() if name.endswith("_bucket")}
    assert not {name for name in names | histograms if f"`{name}" not in page}


def test_panels_have_a_title_a_place_of_their_own_and_no_data_source_of_ours() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "panels lie over each other"
    for panel in panels:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"]
