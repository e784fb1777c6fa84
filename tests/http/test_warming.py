"""What is loaded when a server starts, and what readiness says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from core.encoders.registry import Encoders, Family
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.spaces import Vector
from core.types import Content, Image, Modality
from tests.doubles import ColourEncoder, toy
from tests.httpd import client, serving
from workers.collections import ensure


class Slow(ColourEncoder):
    """Loads when it is asked first, and not before it may."""

    def __init__(self, name: str, *contents: Modality) -> None:
        super().__init__()
        self.space = replace(self.space, name=name, model=name, modalities=frozenset(contents))
        self.may, self.asked = Event(), list[Content]()

    def encode_query(self, query: Content) -> Vector:
        assert self.may.wait(20)
        self.asked.append(query)
        return np.asarray([0, 0, 0, 1], np.float32)


@pytest.fixture
def slow() -> Slow:
    return Slow("slow", Modality.TEXT)


@pytest.fixture
def looks() -> Slow:
    made = Slow("looks", Modality.IMAGE)
    made.may.set()
    return made


@pytest.fixture
def parts(tmp_path: Path, slow: Slow, looks: Slow) -> Iterator[Parts]:
    """Of collections of four profiles, one of whose models is another by now."""
    settings = load_settings(data=tmp_path, profile="toy", decode="inline")
    families: dict[str, Family] = {"toy": toy, "slow": lambda _: [slow], "looks": lambda _: [looks]}
    before = Parts(settings, Encoders({**families, "gone": lambda _: [Slow("gone", Modality.TEXT)]}))
    for profile in ("toy", "slow", "looks", "gone"):
        ensure(before, f"of-{profile}", profile=profile)
    before.close()
    made = Parts(settings, Encoders({**families, "gone": lambda _: [Slow("other", Modality.TEXT)]}))
    yield made
    made.close()


def test_the_models_of_what_serves_are_loaded_at_the_start_and_a_wrong_one_is_told_and_does_no_harm(
    parts: Parts, slow: Slow, looks: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("quiver.http.warming.PATIENCE", 0.05)
    with serving(parts) as base, client(base) as http:
        early = http.get("/readyz")
        assert (early.status_code, early.json()["checks"]["models"]) == (503, "loading")
        assert early.json()["checks"]["model"] == "ok"
        slow.may.set()
        monkeypatch.setattr("quiver.http.warming.PATIENCE", 20)
        late = http.get("/readyz")
        assert (late.status_code, late.json()["checks"]["models"]) == (200, "1 of 4: ModelMismatch")
    assert len(slow.asked) == 1, "nobody has searched"
    assert isinstance(looks.asked[0], Image)
    [said] = [record.getMessage() for record in caplog.records if record.name == "quiver.http.warming"]
    assert said.startswith("collection of-gone: its model cannot be loaded: the index holds gone")
