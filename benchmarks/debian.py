"""Unpack Debian packages without root, into a cache folder that git ignores."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CACHE = Path(".cache")


class NoPackage(RuntimeError):
    """A Debian package cannot be downloaded or unpacked here."""


def debian(package: str, cache: Path = CACHE) -> Path:
    """The root of the unpacked package; downloaded once, with apt-get, as the user one is. Raises NoPackage."""
    root = cache / "debian" / package
    if root.is_dir():
        return root
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NoPackage(f"{tool} is not here: on another system than Debian or Ubuntu, unpack {package} at {root}")
    fresh = root.with_name(f"{package}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    _call(["apt-get", "download", package], fresh, f"{package} cannot be downloaded: is it in the sources of apt?")
    archive = next(fresh.glob("*.deb"), None)
    if archive is None:
        raise NoPackage(f"apt-get download {package} wrote no .deb file")
    _call(["dpkg-deb", "-x", archive.name, "root"], fresh, f"{archive.name} cannot be unpacked")
    (fresh / "root").rename(root)
    shutil.rmtree(fresh)
    return root


def _call(command: list[str], where: Path, otherwise: str) -> None:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoPackage(f"{otherwise}\n{done.stderr.strip()}")
