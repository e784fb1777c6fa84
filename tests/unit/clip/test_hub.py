"""Models of the Hugging Face Hub: the cached one, the downloaded one, and neither."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from core.encoders import checkpoint
from core.errors import BadModel
from core.types import Text
from tests.checkpoints import cached, encoder


def test_a_space_is_known_without_torch_even_of_a_cached_hub_model(made, tmp_path) -> None:
    commit = cached(made, tmp_path / "hf")
    code = (
        "import sys; from core.encoders.clip import make\n"
        f"for name in ({str(made['clip'])!r}, 'some/clip', 'some/clip@main'):\n"
        "    space = make(name)[0].space; print(space.model, space.revision, space.dim)\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    env = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    folder, *hub, imported = done.stdout.splitlines()
    assert folder.split()[::2] == ["clip", "20"]
    assert hub == [f"some/clip {commit} 20"] * 2
    assert imported == "[]"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hf"


@pytest.mark.parametrize("name", ["some/clip", "some/clip@v2", "clip-vit", "../no-such-model"])
def test_a_hub_model_that_is_not_cached_is_named_when_there_is_no_network(cache, name) -> None:
    with pytest.raises(BadModel, match=f"^{name.partition('@')[0]} is no folder.*hf download") as refused:
        encoder(name)
    assert "--revision v2" in str(refused.value) or "@" not in name


def test_a_cached_hub_model_that_lacks_its_weights_is_not_taken_for_whole(made, cache) -> None:
    cached(made, cache)
    assert encoder("some/clip").encode_query(Text("a")).shape == (20,)
    next(cache.rglob(checkpoint.WEIGHTS)).unlink()
    with pytest.raises(BadModel, match="hf download some/clip"):
        encoder("some/clip")


def test_a_hub_model_is_downloaded_once_without_pickle_and_a_failure_is_told(made, cache, monkeypatch) -> None:
    asked = []

    def download(name, *, revision, allow_patterns, local_files_only=False):
        asked.append((name, revision, local_files_only))
        assert not any("bin" in pattern or "*.py" in pattern for pattern in allow_patterns)
        if local_files_only:
            raise LocalEntryNotFoundError("none")
        if name == "no/net":
            raise OSError("no network")
        return str(made["clip"])

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert encoder("some/clip@v2").space.model == "some/clip"
    assert asked == [("some/clip", "v2", True), ("some/clip", "v2", False)]
    with pytest.raises(BadModel, match=r"no/net .* cannot be downloaded.*no network"):
        encoder("no/net")
