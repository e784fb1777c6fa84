"""Weights and tokenizers by transformers' own classes: safetensors only, code of a checkpoint never run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from core.encoders.checkpoint import Checkpoint
from core.encoders.fast import Probe, fastest
from core.encoders.gpu import put
from core.encoders.threads import one_a_lane
from core.encoders.tokenizing import Tokenizer
from core.encoders.towers import Float, Ids, Towers
from core.errors import BadModel, MissingExtra
from core.types import Audio, Image

SENTENCES = ("a cat", "two dogs run along the beach while the sun goes down", "red", "北京 and Αθήνα: 1,234.5 km", "!")

CLASSES = {"clip": "CLIPModel", "siglip": "SiglipModel", "chinese_clip": "ChineseCLIPModel", "clap": "ClapModel"}


def load(checkpoint: Checkpoint, words: Tokenizer | None) -> Towers:
    """The model in float32, tried on the tokens of one text, and made faster where it can be.

    Raises MissingExtra, BadModel.
    """
    try:
        import torch
        import transformers
    except ImportError as exc:
        raise MissingExtra(f"models of the hub need torch and transformers: {exc}") from exc
    one_a_lane()
    where, design = checkpoint.folder, checkpoint.design
    kind: Any = getattr(transformers, CLASSES.get(checkpoint.kind, "AutoModel"))
    with quiet(transformers):
        try:
            model, told = kind.from_pretrained(
                where,
                use_safetensors=True,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as exc:
            raise BadModel(f"{where} cannot be loaded by transformers: {type(exc).__name__}: {exc}") from exc
    lost = sorted(name for name in told["missing_keys"] if not _unused(name, checkpoint))
    if lost:  # transformers would make them up
        raise BadModel(f"{where}: weights are missing: {', '.join(lost[:3])}, perhaps others")
    model.eval()

    def towers_of(of: Any) -> Towers:
        return Towers(
            family=design.family,
            model=of,
            dim=design.dim,
            pooling=design.pooling,
            side=design.picture.crop if design.picture is not None else (0, 0),
            **_towers(checkpoint, of, torch),
        )

    towers = towers_of(model)
    if towers.texts is not None and words is not None:
        try:
            made = towers.texts(*words.padded([words.ids("a")])).shape[1]
        except Exception as exc:
            raise BadModel(f"{where}: its tokenizer does not fit its model: {exc!r}") from exc
        if made != design.dim:
            raise BadModel(f"{where}: config.json promises {design.dim} dimensions, the model makes {made}")
    return fastest(towers, towers_of, _probe(checkpoint, words))


def tokenizer(checkpoint: Checkpoint) -> Tokenizer | None:
    """How its texts are cut into tokens; None when it reads none. Raises MissingExtra, BadModel."""
    wording, where = checkpoint.design.wording, checkpoint.folder
    if wording is None:
        return None
    try:
        import transformers
    except ImportError as exc:
        raise MissingExtra(f"models of the hub need transformers: {exc}") from exc
    with quiet(transformers):
        try:
            made = transformers.AutoTokenizer.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        except ImportError as exc:
            raise MissingExtra(f"{where} needs one package more: pip install sentencepiece ({exc})") from exc
        except Exception as exc:
            raise BadModel(f"{where}: its tokenizer cannot be loaded: {type(exc).__name__}: {exc}") from exc
    return Tokenizer(made, wording)


def _unused(name: str, checkpoint: Checkpoint) -> bool:
    """A head over the first token that BERT's class has and sentence encoders are often saved without."""
    return checkpoint.design.family == "bert" and name.startswith("pooler.")


def _towers(checkpoint: Checkpoint, model: Any, torch: Any) -> dict[str, Any]:
    """The functions of a model, by what it embeds."""
    design = checkpoint.design

    def texts(ids: Ids, mask: Ids) -> Float:
        with torch.inference_mode():  # torch keeps it per thread
            given = {"input_ids": put(ids, model.device), "attention_mask": put(mask, model.device)}
            if design.family != "bert":
                return cast(Float, model.get_text_features(**given).pooler_output.float().cpu().numpy())
            states = model(**given).last_hidden_state
            if design.pooling == "cls":
                return cast(Float, states[:, 0].float().cpu().numpy())
            states = states.float()
            shares = given["attention_mask"][..., None].to(states.dtype)
            return cast(Float, ((states * shares).sum(1) / shares.sum(1)).cpu().numpy())

    def images(pictures: Float) -> Float:
        with torch.inference_mode():
            given = put(pictures, model.device).to(model.dtype)
            seen = model(given) if design.family == "dinov2" else model.get_image_features(pixel_values=given)
            return cast(Float, seen.pooler_output.float().cpu().numpy())

    def sounds(mels: Float) -> Float:
        longer = torch.zeros(
            len(mels), 1, dtype=torch.bool, device=model.device
        )  # no window is longer than what the model reads
        with torch.inference_mode():
            given = put(mels, model.device).to(model.dtype)
            heard = model.get_audio_features(input_features=given, is_longer=longer)
            return cast(Float, heard.pooler_output.float().cpu().numpy())

    return {
        "texts": texts if design.wording is not None else None,
        "images": images if design.picture is not None else None,
        "sounds": sounds if design.sound is not None else None,
    }


def _probe(checkpoint: Checkpoint, words: Tokenizer | None) -> Probe:
    """Some of all that the towers embed: what a faster model is compared on."""
    design, random = checkpoint.design, np.random.default_rng(0)
    said: dict[str, tuple[Any, ...]] = {}
    if words is not None:
        said["texts"] = words.padded(words.batch(SENTENCES))
    if design.picture is not None:
        seen = random.integers(0, 256, (4, 4, 4, 3), np.uint8).repeat(64, axis=1).repeat(64, axis=2)
        said["images"] = (np.stack([design.picture.prepare(Image(one)) for one in seen]),)
    if design.sound is not None:
        filters = design.sound.filters()
        at = np.arange(design.sound.rate // 2) / design.sound.rate  # half a second
        tones = [np.sin(2 * np.pi * pitch * at) for pitch in (110, 880, 3520)]
        clicks = (np.arange(len(at)) % (len(at) // 8) == 0).astype(float)
        heard = [
            one.astype(np.float32) for one in (*tones, clicks, random.normal(0, 0.1, len(at)), tones[0] * tones[1])
        ]
        said["sounds"] = (np.stack([design.sound.prepare(Audio(one, design.sound.rate), filters) for one in heard]),)
    return said


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Without its bar over tensors, a second's work, and its wonder at the token ids of SigLIP: noise to whoever asked
    a question. What is wrong is raised."""
    notes = transformers.utils.logging
    bars, level = notes.is_progress_bar_enabled(), notes.get_verbosity()
    notes.disable_progress_bar()
    notes.set_verbosity_error()
    try:
        yield
    finally:
        notes.set_verbosity(level)
        if bars:
            notes.enable_progress_bar()
