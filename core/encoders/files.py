"""The files of a checkpoint, as transformers and sentence-transformers name them, and what they say unread by torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from core.errors import BadModel

T = TypeVar("T")

SAMPLE = 4096  # bytes of each tensor that its digest covers
CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
MODULES, LENGTHS, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
POOLING, TOKENIZER = "1_Pooling/config.json", "tokenizer_config.json"
TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model", "vocab.txt", "sentencepiece.bpe.model")
SMALL = [CONFIG, PREPROCESSOR, PROCESSOR, *TOKENIZERS, "merges.txt", TOKENIZER]
SMALL += ["special_tokens_map.json", "added_tokens.json", MODULES, LENGTHS, PROMPTS, POOLING]
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file. Raises BadModel."""
    return _read(path, dict[str, Any])


def read_list(path: Path) -> list[dict[str, Any]]:
    """The objects in a file. Raises BadModel."""
    return _read(path, lambda said: [dict(one) for one in said])


def _read(path: Path, made: Callable[[Any], T]) -> T:
    if not path.is_file():
        raise BadModel(f"{path.parent} has no {path.name}: copy it from the checkpoint's origin")
    try:
        return made(json.loads(path.read_bytes()))
    except (TypeError, ValueError) as exc:
        raise BadModel(f"{path} is not JSON: copy it again from the checkpoint's origin ({exc})") from exc


def said_by(path: Path) -> dict[str, Any]:
    """The object in a file, empty when there is no such file. Raises BadModel."""
    return read_json(path) if path.is_file() else {}


def weights(folder: Path) -> list[Path]:
    """The files of weights that transformers would read; none when there are none or not all."""
    paths = [folder / WEIGHTS]
    if not paths[0].is_file() and (folder / SHARDS).is_file():
        paths = [folder / name for name in sorted(set(read_json(folder / SHARDS)["weight_map"].values()))]
    return paths if all(path.is_file() for path in paths) else []


def check_weights(folder: Path) -> None:
    """Raises BadModel when there are none that are safe to read."""
    if not weights(folder):
        raise BadModel(
            f"{folder} has no {WEIGHTS}: pickled weights (pytorch_model.bin) are never read. Convert them once, in a "
            'folder of yours: python -c "from transformers import AutoModel as M; '
            "M.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
        )


def check_tokenizer(folder: Path) -> None:
    """Raises BadModel when there is none."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise BadModel(f"{folder} has no tokenizer: copy tokenizer.json, or vocab.json and merges.txt, from its origin")


def digest(folder: Path) -> str:
    """12 hex digits of sha-256: small files whole; of weights size, header and the middle 4 KiB of each tensor, which
    training or merging changes: an edit that spares them is not seen. Raises BadModel when weights are cut short."""
    sha = hashlib.sha256()
    for name in SMALL:
        path = folder / name
        if path.is_file():
            sha.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for path in weights(folder):
        size = path.stat().st_size
        with path.open("rb") as file:  # safetensors: a length of 8 bytes, a header of JSON, the tensors end to end
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length) if length < size else b"{}"
            spans = sorted(t["data_offsets"] for name, t in json.loads(header).items() if name != "__metadata__")
            if not spans or 8 + length + max(end for _, end in spans) != size:
                raise BadModel(f"{path} is cut short, or the pointer of git-lfs to a file: download it again")
            sha.update(f"{path.name}\0{size}\0".encode() + header)
            for start, end in spans:
                file.seek(8 + length + max(start, (start + end - SAMPLE) // 2))
                sha.update(file.read(min(SAMPLE, end - start)))
    return sha.hexdigest()[:12]
