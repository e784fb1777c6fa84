"""What README and docs/http.md say to type is typed, line by line, against a real server and real encoders."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import skimage

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ("coffee.png", "chelsea.png", "rocket.jpg", "page.png")


def blocks(page: str, language: str) -> list[str]:
    """The code of a page in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A person's folder with some photos."""
    (tmp_path / "photos").mkdir()
    for name in PHOTOS:
        shutil.copy(Path(skimage.__file__).parent / "data" / name, tmp_path / "photos")
    return tmp_path


def typed(script: str, folder: Path, port: int) -> str:
    """What a shell prints, with `quiver` on its path and another port than everybody's."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name, more in (("quiver", "-c 'from quiver.cli.app import main; main()'"), ("python3", "")):
        place = bin_folder / name
        place.write_text(f'#!/bin/sh\nexec {sys.executable} {more} "$@"\n')
        place.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "QUIVER_DATA": str(folder / "data"),
        "QUIVER_PORT": str(port),
        "no_proxy": "*",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p)' EXIT\n{script.replace(':8080', f':{port}')}"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_five_minutes_from_nothing_to_searchable_photos(folder: Path) -> None:
    [script] = [block for block in blocks("README.md", "sh") if "quiver serve" in block]
    lines = [line for line in script.splitlines() if not line.startswith("pip install")]
    said = typed("\n".join(lines), folder, free_port())
    assert said.count('"outcome":"added"') == len(PHOTOS)
    assert re.search(r'"hits":\[\{"asset":"[-0-9a-f]+","external_id":"coffee.png"', said)


def test_every_line_of_the_page_on_http(folder: Path) -> None:
    port = free_port()
    [python] = blocks("docs/http.md", "python")
    start = "quiver serve 2> server.log &\nuntil curl -fs http://127.0.0.1:8080/readyz; do sleep 0.2; done\n"
    run = f"python3 - <<'END'\n{python}END\n"
    said = typed(start + "\n".join(blocks("docs/http.md", "sh")) + run, folder, port)
    assert "event: status" in said
    assert '"external_id":"coffee.png"' in said
    assert '"relevance_score"' in said
    assert "chelsea.png" in said
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False)
