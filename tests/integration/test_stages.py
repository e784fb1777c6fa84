"""Where the time of indexing goes, told by the same names in the progress, by `quiver stats` and in the metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from prometheus_client import REGISTRY

from core.encoders import fast, models
from core.encoders.loading import load
from core.encoders.machine import Machine
from core.encoders.resizing import resized
from ingest import register
from ingest.register import draft_stream
from quiver import Quiver
from quiver.cli.bar import bound_by
from tests.checkpoints import build
from tests.doubles import toy_parts
from tests.integration.test_cli import Run, call

STAGES = {"fetch", "decode", "resize", "load", "encode", "upsert", "commit"}
SLOW = 0.2  # seconds, in which nothing else of a small run is


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("QUIVER_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(fast, "machine", lambda: Machine("cpu", ()))
    return lambda *args: call(monkeypatch, capsys, *args)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    there = tmp_path / "photos"
    there.mkdir()
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
        PIL.Image.fromarray(noise).save(there / f"{seed}.png")
    return there


def slowed(call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slow(*given: Any, **more: Any) -> Any:
        time.sleep(seconds)
        return call(*given, **more)

    return slow


def counted() -> dict[str, float]:
    return {stage: REGISTRY.get_sample_value("quiver_stage_seconds_total", {"stage": stage}) or 0.0 for stage in STAGES}


def test_progress_stats_and_metrics_have_every_stage_by_one_name(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "load", slowed(load, 2 * SLOW))
    monkeypatch.setattr(models, "resized", slowed(resized, SLOW))
    before = counted()
    folder = build(tmp_path / "clip", "clip")
    ran = run("ingest", photos, "-c", "c", "--profile", f"hf:{folder}", "--progress", "json", "--json")
    assert ran.status == 0, ran.err
    progress = json.loads(ran.err.splitlines()[-1])["stages"]
    stats = run("stats", "c", "--json").json
    metrics = {stage: now - before[stage] for stage, now in counted().items()}
    for said in (progress, ran.json["stages"], {name: 3 * each for name, each in stats.items()}, metrics):
        assert set(said) >= STAGES, said
        assert min(said[stage] for stage in STAGES) > 0, said  # what else there is may take less than is told
        assert said["load"] >= 2 * SLOW
        assert said["resize"] >= 3 * SLOW
        assert said["encode"] < SLOW, "neither loading nor resizing counts as encoding, too"
    assert bound_by(progress).startswith("resize")
    assert "resize" in run("stats", "c").out


def test_a_slow_source_is_seen_as_what_bounds(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "draft_stream", slowed(draft_stream, SLOW))
    told: list[Mapping[str, float]] = []
    with Quiver(toy_parts(tmp_path)) as quiver:
        report = quiver.ingest(photos, collection="c", on_progress=lambda now: told.append(now.stages))
        assert report.stages["fetch"] >= 3 * SLOW
        assert told[-1] == report.stages
        assert bound_by(report.stages).startswith("fetch")
        assert quiver.stats("c")["fetch"] >= SLOW
