"""Models of the Hugging Face Hub: the cached one, or the downloaded one, its bytes as the hub says they are."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from core.encoders.files import CONFIG, SHARDS, SMALL, WEIGHTS, weights
from core.errors import BadModel

log = logging.getLogger(__name__)
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


def verify(name: str, folder: Path) -> list[str]:
    """Compare the files of a snapshot with the checksums that the hub gave them: those that their blobs are named by
    or, of files that are no links into the cache, those that the hub says now. The files that could not be compared.

    Raises BadModel after deleting what differs.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    said = {path: _named_by(path) for path in files}
    if not all(said.values()):
        told = _told_by(name, folder.name)
        said = {path: sum_ or told.get(path.relative_to(folder).as_posix(), "") for path, sum_ in said.items()}
    for path, expected in said.items():
        if expected and (found := _hashed(path, expected)) != expected:
            _delete(path)
            raise BadModel(
                f"{path.name} of {folder.parent.parent.name} is not what the hub says it is: its checksum is "
                f"{found[:12]}, not {expected[:12]}. It is deleted: download it again"
            )
    return [path.relative_to(folder).as_posix() for path, expected in said.items() if not expected]


def _named_by(path: Path) -> str:
    """The checksum that the blob of a file is named by; empty: it is no link to one. The blob may be a link itself, to
    bytes that several models share, whose name is a checksum of another kind."""
    blob = path.readlink().name if path.is_symlink() else ""
    return blob if _SHA256.fullmatch(blob) or _SHA1.fullmatch(blob) else ""


def _told_by(name: str, commit: str) -> dict[str, str]:
    """Checksums by path, of files at a commit; none when the hub does not tell."""
    from huggingface_hub import HfApi, is_offline_mode
    from huggingface_hub.hf_api import RepoFile

    if is_offline_mode():
        return {}
    try:
        tree = HfApi().list_repo_tree(name, revision=commit, recursive=True)
        return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in tree if isinstance(one, RepoFile)}
    except Exception as exc:  # noqa: BLE001  whatever keeps the hub from telling, nothing is known to be wrong
        log.warning("the hub does not say the checksums of %s at %s: %s", name, commit[:12], exc)
        return {}


def _hashed(path: Path, like: str) -> str:
    """As the hub names large files, or as git names the others."""
    size = path.stat().st_size
    into = hashlib.sha256() if len(like) == 64 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            into.update(chunk)
    return into.hexdigest()


def _delete(path: Path) -> None:
    """A file with all that it is a link to."""
    while path.is_symlink():
        link, path = path, path.parent / path.readlink()
        link.unlink()
    path.unlink()


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
    if left := verify(name, folder):
        log.warning("%s: not compared with a checksum: %s", name, ", ".join(left))
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
