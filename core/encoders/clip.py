"""CLIP and SigLIP checkpoints, from a folder or the Hugging Face Hub: texts and images in one dense space.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"; Zhai et al. 2023, "Sigmoid
Loss for Language Image Pre-Training"; Tschannen et al. 2025, "SigLIP 2" (those of one resolution). The towers and the
tokenizer are those of transformers.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from core.encoders.checkpoint import Checkpoint, digest, read, snapshot
from core.encoders.sentences import readable
from core.encoders.threads import one_a_lane
from core.errors import BadModel, MissingExtra, NoSpaceFor, UnknownProfile
from core.ports import Embeds
from core.spaces import EmbeddingSpace
from core.types import Content, Image, Text, Wants

BATCH = 32  # contents in one forward

Float = NDArray[np.float32]

_HUB_ID = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")


class Towers(NamedTuple):
    """A loaded model."""

    texts: Callable[[list[str]], Float]  # n texts to (n, dim)
    images: Callable[[Float], Float]  # (n, 3, height, width) to (n, dim)


@dataclass(slots=True, eq=False)
class ClipEncoder:
    """Texts and images by one checkpoint, f32 (n, dim), loaded on first use."""

    checkpoint: Checkpoint
    _towers: Towers | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def space(self) -> EmbeddingSpace:
        """Port."""
        return self.checkpoint.space

    @property
    def wants(self) -> Wants:
        """The side that images are resized to before their middle is cut out."""
        return Wants(contents=self.space.modalities, pixels=max(self.checkpoint.picture.size))

    def encode(self, contents: Sequence[Content]) -> Float:
        """Unit rows. Raises MissingExtra, BadModel."""
        out = np.empty((len(contents), self.space.dim), np.float32)
        texts = {i: readable(c.value) for i, c in enumerate(contents) if isinstance(c, Text)}
        images = {i: c for i, c in enumerate(contents) if isinstance(c, Image)}
        if len(texts) + len(images) < len(contents):
            raise NoSpaceFor("the clip space embeds texts and images")
        ordered = sorted(texts, key=lambda i: len(texts[i]))  # equal lengths together: less padding
        for some in (ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)):
            out[some] = self._loaded().texts([texts[i] for i in some])
        for some in (list(images)[at : at + BATCH] for at in range(0, len(images), BATCH)):
            out[some] = self._loaded().images(np.stack([self.checkpoint.picture.prepare(images[i]) for i in some]))
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out

    def encode_query(self, query: Content) -> Float:
        """As `encode`, of one."""
        row: Float = self.encode([query])[0]
        return row

    def _loaded(self) -> Towers:
        with self._lock:
            if self._towers is None:
                self._towers = load(self.checkpoint)
            return self._towers


def make(argument: str) -> Sequence[Embeds]:
    """The encoder of `clip:FOLDER`, `clip:HUB_ID` or `clip:HUB_ID@REVISION`, no weight loaded yet; a hub model that is
    not in the cache is downloaded. Raises UnknownProfile, BadModel."""
    if not argument:
        raise UnknownProfile("the clip profile needs a model: write clip:FOLDER or clip:HUB_ID")
    try:
        folder = Path(argument).expanduser()
        if folder.is_dir():
            folder = folder.resolve()
            model, revision = folder.name, digest(folder)
        elif named := _HUB_ID.fullmatch(argument):
            folder = snapshot(named["id"], named["revision"])
            model, revision = named["id"], folder.name
        else:
            raise BadModel(f"there is no folder {argument}: name the folder of a checkpoint, or a hub id")
        return (ClipEncoder(read(folder, model, revision)),)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise BadModel(f"{argument}: a file of it is damaged: copy or download the model again ({exc!r})") from exc


def load(checkpoint: Checkpoint) -> Towers:
    """The model by transformers, in float32, tried on one text. Raises MissingExtra, BadModel."""
    try:
        import torch
        import transformers
    except ImportError as exc:
        raise MissingExtra(f"the clip profile needs torch and transformers: {exc}") from exc
    one_a_lane()
    where, of_clip, notes = checkpoint.folder, checkpoint.family == "clip", cast(Any, transformers.utils.logging)
    kind: Any = transformers.CLIPModel if of_clip else transformers.SiglipModel
    bars, level = notes.is_progress_bar_enabled(), notes.get_verbosity()
    notes.disable_progress_bar()  # over tensors: a second's work, and noise to whoever asked a question; so is
    notes.set_verbosity_error()  # its wonder at the token ids of SigLIP; what is wrong is raised below
    try:
        model, told = kind.from_pretrained(
            where, use_safetensors=True, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
            where, local_files_only=True, trust_remote_code=False
        )
    except ImportError as exc:
        raise MissingExtra(
            f"{where} needs a package more, SigLIP's tokenizer: pip install sentencepiece ({exc})"
        ) from exc
    except Exception as exc:
        raise BadModel(f"{where} cannot be loaded by transformers: {type(exc).__name__}: {exc}") from exc
    finally:
        notes.set_verbosity(level)
        if bars:
            notes.enable_progress_bar()
    if told["missing_keys"]:  # transformers would make them up
        raise BadModel(f"{where}: weights are missing: {', '.join(sorted(told['missing_keys'])[:3])}, perhaps others")
    model.eval()
    lock = threading.Lock()  # setting its padding and truncation makes a tokenizer unsafe for threads
    limit = min(checkpoint.tokens, tokenizer.model_max_length)
    padding = True if of_clip else "max_length"  # CLIP reads the end of the text, SigLIP the last place, filled or not

    def texts(values: list[str]) -> Float:
        with lock:
            said = tokenizer(values, padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        given = {name: said[name] for name in ("input_ids", "attention_mask") if name in said}
        with torch.inference_mode():  # torch keeps it per thread
            rows: Float = model.get_text_features(**given).pooler_output.numpy()
        return rows

    def images(pictures: Float) -> Float:
        with torch.inference_mode():
            rows: Float = model.get_image_features(pixel_values=torch.from_numpy(pictures)).pooler_output.numpy()
        return rows

    try:
        made = texts(["a"]).shape[1]
    except Exception as exc:
        raise BadModel(f"{where}: its tokenizer does not fit its model: {exc!r}") from exc
    if made != checkpoint.space.dim:
        raise BadModel(f"{where}: config.json promises {checkpoint.space.dim} dimensions, the model makes {made}")
    return Towers(texts, images)
