"""Failures as data, and drift, at the command line and from Python."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.encoders.registry import Encoders
from quiver import Quiver
from tests.doubles import ColourEncoder, WordEncoder, toy_parts
from tests.integration.test_cli import Ran, call, use_toy


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A collection with one good text and two that break the model."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in {"good.txt": "red", "bad.txt": "poison", "worse.txt": "more poison"}.items():
        (folder / name).write_text(text)
    with Quiver(toy_parts(tmp_path / "data")) as quiver:
        report = quiver.ingest(folder, collection="c")
        assert (report.indexed, len(report.failures)) == (1, 2)
    return tmp_path / "data"


@pytest.fixture
def ran(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    use_toy(monkeypatch, data)

    def run(*args: object) -> Ran:
        return call(monkeypatch, capsys, *args)

    return run


def test_failures_are_listed_with_class_attempts_and_what_to_do(ran) -> None:
    listed = ran("failures", "list", "-c", "c", "--json").json
    assert {one["external_id"]: (one["kind"], one["attempts"]) for one in listed} == {
        "bad.txt": ("EncoderBroke", 1),
        "worse.txt": ("EncoderBroke", 1),
    }
    shown = ran("failures", "list", "-c", "c")
    assert "the model choked" in shown.out
    assert "bad.txt" in shown.out


def test_failures_are_chosen_by_class_and_age(ran) -> None:
    assert ran("failures", "list", "-c", "c", "--class", "TooLarge", "--json").json == []
    assert len(ran("failures", "list", "-c", "c", "--class", "EncoderBroke", "--json").json) == 2
    assert ran("failures", "list", "-c", "c", "--older-than", "1h", "--json").json == []
    assert len(ran("failures", "list", "-c", "c", "--older-than", "0s", "--json").json) == 2


def test_one_failure_is_shown_whole_and_an_asset_that_did_not_fail_says_so(ran) -> None:
    shown = ran("failures", "show", "bad.txt", "-c", "c", "--json").json
    assert (shown["external_id"], shown["retry_at"]) == ("bad.txt", None)
    fine = ran("failures", "show", "good.txt", "-c", "c")
    assert (fine.status, "has not failed" in fine.err) == (2, True)


def test_what_is_retried_is_tried_again_and_fails_again_if_nothing_changed(ran, data: Path) -> None:
    said = ran("failures", "retry", "bad.txt", "-c", "c", "--json").json
    assert said == {"retried": 1, "failures": 2}
    mended = Encoders({"toy": lambda _: [ColourEncoder(poison="nothing is poison now"), WordEncoder()]})
    with Quiver(replace(toy_parts(data), encoders=mended)) as quiver:
        assert quiver.retry("c", kind="EncoderBroke") == 2
        assert quiver.failures("c") == []


def test_what_is_discarded_is_gone(ran, data: Path) -> None:
    assert ran("failures", "discard", "worse.txt", "-c", "c", "--json").json == {"discarded": 1}
    with Quiver(toy_parts(data)) as quiver:
        assert [one.external_id for one in quiver.failures("c")] == ["bad.txt"]
        assert quiver.discard("c", older_than=timedelta(0)) == 1
        assert {state: count for state, count in quiver.status("c")[0].counts.items() if count} == {"indexed": 1}


def test_an_age_that_cannot_be_read_says_how_to_write_one(ran) -> None:
    said = ran("failures", "list", "-c", "c", "--older-than", "soon")
    assert (said.status, "90s, 15m, 2h or 7d" in said.err) == (2, True)


def test_drift_is_reported_and_repaired(ran, data: Path) -> None:
    assert ran("reconcile", "-c", "c").status == 0
    with Quiver(toy_parts(data)) as quiver:
        parts = quiver._parts
        parts.store.forget(parts.catalogue.serving("c"), {quiver.show("c", "good.txt").asset.id: None})
    found = ran("reconcile", "-c", "c")
    assert (found.status, "1 missing" in found.out, "good.txt" in found.out) == (1, True, True)
    assert ran("reconcile", "-c", "c", "--repair", "--json").json["repaired"] == 1
    assert ran("reconcile", "-c", "c").status == 0
    assert [hit["external_id"] for hit in ran("search", "red", "-c", "c", "--json").json["hits"]] == ["good.txt"]
