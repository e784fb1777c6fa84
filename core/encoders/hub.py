"""Models of the Hugging Face Hub: the cached one, or the downloaded one, its bytes as the hub says they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.encoders.files import CONFIG, SHARDS, SMALL, WEIGHTS, weights
from core.errors import BadModel

FILES = [*SMALL, "generation_config.json", WEIGHTS, SHARDS, "model-?????-of-?????.safetensors"]  # no pickle, no code
CONVERTER = "SFconvertbot"  # of Hugging Face: offers safetensors of pickled models, as pull requests
CHUNK = 1 << 20

_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")


def snapshot(name: str, revision: str | None) -> Path:
    """The folder of a hub model, named by its commit: the cached one when there is one, else downloaded, with a bar
    where there is a terminal. Raises BadModel."""
    return cached(name, revision) or _download(name, revision)


def cached(name: str, revision: str | None = None) -> Path | None:
    """The folder of a hub model in the cache of this machine, when it is there whole."""
    found = _local(name, revision)
    offers = () if found or revision else _offers(name)
    return next(filter(None, (_local(name, offer) for offer in offers)), found)


def verify(folder: Path) -> None:
    """Compare the files of a snapshot with the checksums that the hub gave them, which their blobs are named by.

    Raises BadModel after deleting what differs.
    """
    for path in sorted(p for p in folder.rglob("*") if p.is_symlink()):
        blob = path.resolve()
        if _SHA256.fullmatch(blob.name):
            found = _hashed(blob, hashlib.sha256())
        elif _SHA1.fullmatch(blob.name):  # as git names it
            found = _hashed(blob, hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False))
        else:
            continue
        if found != blob.name:
            blob.unlink()
            path.unlink()
            raise BadModel(
                f"{path.name} of {folder.parent.parent.name} is not what the hub says it is: its checksum is "
                f"{found[:12]}, not {blob.name[:12]}. It is deleted: download it again"
            )


def _hashed(path: Path, into: Any) -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            into.update(chunk)
    return str(into.hexdigest())


def _local(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=FILES, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):  # ValueError: no name the hub could know
        return None
    return found if (found / CONFIG).is_file() and weights(found) else None


def _offers(name: str) -> Iterator[str]:
    """The pull requests of a model that were downloaded before."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs/refs/pr"
    yield from (f"refs/pr/{path.name}" for path in sorted(folder.glob("*")))


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import errors, is_offline_mode, snapshot_download

    get = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    if is_offline_mode():
        raise BadModel(
            f"{name} is no folder, the Hugging Face cache does not have its config.json and safetensors, and "
            f"HF_HUB_OFFLINE is set: download it with `{get}` where there is a network, or name a folder"
        )
    try:
        folder = Path(snapshot_download(name, revision=_safe(name, revision), allow_patterns=FILES))
    except errors.GatedRepoError as exc:
        raise BadModel(
            f"{name} is gated: accept its conditions at https://huggingface.co/{name}, then run `hf auth login`, or "
            "set HF_TOKEN to a token of who accepted them"
        ) from exc
    except errors.RevisionNotFoundError as exc:
        raise BadModel(
            f"{name} has no revision {revision}: https://huggingface.co/{name}/commits/main lists them"
        ) from exc
    except errors.RepositoryNotFoundError as exc:
        raise BadModel(
            f"{name} is no folder here and no model that the hub shows: check its name; if it is private, run "
            "`hf auth login`, or set HF_TOKEN"
        ) from exc
    except BadModel:
        raise
    except Exception as exc:
        raise BadModel(f"{name} is no folder here and cannot be downloaded: try `{get}` ({exc})") from exc
    verify(folder)
    return folder


def _safe(name: str, revision: str | None) -> str | None:
    """The revision to take: the one asked for or, when none is and the model is pickled, the pull request in which the
    hub's own converter offers safetensors. Raises BadModel when there is neither."""
    from huggingface_hub import HfApi

    hub = HfApi()
    files = {said.rfilename for said in hub.model_info(name, revision=revision).siblings or ()}
    if files & {WEIGHTS, SHARDS}:
        return revision
    offers = () if revision else hub.get_repo_discussions(name, author=CONVERTER, discussion_type="pull_request")
    for offer in offers:
        if offer.author == CONVERTER and offer.status == "open" and offer.git_reference:
            return str(offer.git_reference)
    raise BadModel(
        f"{name} at {revision or 'main'} has no {WEIGHTS}: pickled weights (pytorch_model.bin) are never read. Find a "
        "revision that has it and write hf:NAME@REVISION, or convert it once and name the folder: "
        f"python -c \"from transformers import AutoModel as M; M.from_pretrained('{name}').save_pretrained('FOLDER')\""
    )
