"""An outage is waited out: no attempt is counted, no batch broken up, and a worker told to stop hands back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from core.errors import BadQuery, CatalogueDown, StoreDown
from tests.doubles import toy_parts
from workers import patience
from workers.patience import patiently


class Work:
    """Fails so many times, then succeeds."""

    def __init__(self, *faults: Exception) -> None:
        self.faults, self.calls = list(faults), 0

    def __call__(self) -> None:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)


def test_work_that_meets_an_outage_is_done_when_it_is_over(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path)
    work = Work(StoreDown("refused"), StoreDown("refused"))
    assert patiently(parts, work, stopping=Event())
    assert work.calls == 3
    assert parts.catalogue.circuits() == {}, "mended by the call that succeeded"


def test_an_open_circuit_keeps_others_from_trying(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path)
    for _ in range(3):
        parts.catalogue.trip("StoreDown", "refused")
    work, stopping = Work(), Event()
    with pytest.raises(StoreDown):
        patiently(parts, Work(StoreDown("still")), stopping=stopping, patience=timedelta(0))
    stopping.set()
    assert not patiently(parts, work, stopping=stopping)
    assert work.calls == 0


def test_patience_ends(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path)
    with pytest.raises(StoreDown):
        patiently(parts, Work(*[StoreDown("gone")] * 99), stopping=Event(), patience=timedelta(0))
    assert "StoreDown" in parts.catalogue.circuits()


def test_a_catalogue_that_is_down_is_waited_for_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOCAL", 0.01)
    work = Work(CatalogueDown("restarting"), CatalogueDown("restarting"))
    assert patiently(toy_parts(tmp_path), work, stopping=Event())
    assert work.calls == 3


def test_what_is_not_an_outage_is_not_waited_for(tmp_path: Path) -> None:
    work = Work(BadQuery("wrong"))
    with pytest.raises(BadQuery):
        patiently(toy_parts(tmp_path), work, stopping=Event())
    assert work.calls == 1
