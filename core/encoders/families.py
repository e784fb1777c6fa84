"""The families that are read: each says from a checkpoint's small files how its models embed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.encoders.checkpoint import Checkpoint, Design, Wording
from core.encoders.files import (
    CONFIG,
    LENGTHS,
    MODULES,
    POOLING,
    PROMPTS,
    TOKENIZER,
    check_tokenizer,
    check_weights,
    read_json,
    read_list,
    said_by,
)
from core.encoders.pictures import Picture, picture_of
from core.encoders.sentences import LONGEST
from core.encoders.sentences import RECIPE as READ
from core.encoders.sounds import sound_of
from core.encoders.towers import Pooling
from core.errors import BadModel
from core.spaces import EmbeddingSpace, Metric
from core.types import Modality

# Texts of these are embedded by pooling the states of their tokens. The value: whether positions are numbered from the
# padding token's id on, so that fewer tokens are read than there are positions (RoBERTa: Liu et al. 2019).
ENCODERS = {
    "bert": False,
    "camembert": True,
    "distilbert": False,
    "modernbert": False,
    "mpnet": True,
    "roberta": True,
    "xlm-roberta": True,
}
CHARACTERS = 16  # a token: of a longer text nothing is missed by cutting it before its tokens are counted

Config = Mapping[str, Any]
Prompts = tuple[str, str] | None  # before queries and documents; None: those that the checkpoint says itself


def read(folder: Path, model: str, revision: str, prompts: Prompts = None) -> Checkpoint:
    """What the checkpoint in a folder is, from its small files. Raises BadModel, or ValueError and its like."""
    config = read_json(folder / CONFIG)
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise BadModel(
            f"{folder} is of model_type {kind!r}, which is not read. These are: {', '.join(sorted(FAMILIES))} "
            "(siglip: also SigLIP 2 of one resolution)"
        )
    check_weights(folder)
    design = FAMILIES[kind](folder, config, prompts)
    if design.wording is not None:
        check_tokenizer(folder)
    embedded = {Modality.TEXT: design.wording, Modality.IMAGE: design.picture, Modality.AUDIO: design.sound}
    space = EmbeddingSpace(
        name=design.name,
        model=model,
        revision=revision,
        dim=design.dim,
        metric=Metric.COSINE,
        modalities=frozenset(modality for modality, how in embedded.items() if how is not None),
        recipe=f"{design.recipe}; float32",
    )
    return Checkpoint(folder=folder, kind=kind, design=design, space=space)


def _part(config: Config, name: str) -> dict[str, Any]:
    return (config.get(f"{name}_config") or {}) | (config.get(f"{name}_config_dict") or {})


def _padding(config: Config) -> int:
    """The id of RoBERTa's padding token, which its positions are numbered from."""
    said = config.get("pad_token_id")
    return 1 if said is None else int(said)


def _square(folder: Path, picture: Picture, side: int) -> Picture:
    if picture.crop != (side, side):
        raise BadModel(f"{folder}: its preprocessor makes {picture.crop}, its model reads {side} pixels: correct one")
    return picture


def _clip(folder: Path, config: Config, _: Prompts) -> Design:
    """Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"."""
    tokens = int(_part(config, "text").get("max_position_embeddings", 77))
    picture = _square(folder, picture_of(folder, "clip"), _part(config, "vision").get("image_size", 224))
    return Design(
        family="clip",
        name="clip",
        dim=int(config.get("projection_dim", 512)),
        recipe=f"text: {READ}, {tokens} tokens; image: {picture}",
        wording=Wording(tokens=tokens),
        picture=picture,
    )


def _chinese_clip(folder: Path, config: Config, _: Prompts) -> Design:
    """Yang et al. 2022, "Chinese CLIP: Contrastive Vision-Language Pretraining in Chinese"."""
    tokens = int(_part(config, "text").get("max_position_embeddings", 512))
    picture = _square(folder, picture_of(folder, "chineseclip"), _part(config, "vision").get("image_size", 224))
    return Design(
        family="chinese-clip",
        name="chinese-clip",
        dim=int(config.get("projection_dim", 512)),
        recipe=f"text: {READ}, {tokens} tokens; image: {picture}",
        wording=Wording(tokens=tokens),
        picture=picture,
    )


def _siglip(folder: Path, config: Config, _: Prompts) -> Design:
    """Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training"; Tschannen et al. 2025, "SigLIP 2", which lowers
    the case of texts before Gemma's tokenizer."""
    text = _part(config, "text")
    tokens = int(text.get("max_position_embeddings", 64))
    picture = _square(folder, picture_of(folder, "siglip"), _part(config, "vision").get("image_size", 224))
    lower = str(said_by(folder / TOKENIZER).get("tokenizer_class", "")).startswith("Gemma")
    return Design(
        family="siglip",
        name="siglip",
        dim=int(text.get("projection_size") or text.get("hidden_size", 768)),
        recipe=f"text: {READ}, {'lower case, ' if lower else ''}{tokens} tokens; image: {picture}",
        wording=Wording(tokens=tokens, lower=lower, full=True),
        picture=picture,
    )


def _clap(folder: Path, config: Config, _: Prompts) -> Design:
    """Wu et al. 2023, "Large-Scale Contrastive Language-Audio Pretraining with Feature Fusion"."""
    text, audio, sound = _part(config, "text"), _part(config, "audio"), sound_of(folder)
    if bool(audio.get("enable_fusion")) is sound.slaney:
        raise BadModel(f"{folder}: fused in one of config.json and its preprocessor's truncation: correct one")
    if sound.mels != audio.get("num_mel_bins", 64):
        raise BadModel(f"{folder}: its preprocessor makes {sound.mels} mels, its model reads others: correct one")
    tokens = int(text.get("max_position_embeddings", 514)) - _padding(text) - 1
    return Design(
        family="clap",
        name="clap",
        dim=int(config.get("projection_dim", 512)),
        recipe=f"text: {READ}, {tokens} tokens; audio: {sound}",
        wording=Wording(tokens=tokens),
        sound=sound,
    )


def _dinov2(folder: Path, config: Config, _: Prompts) -> Design:
    """Oquab et al. 2023, "DINOv2: Learning Robust Visual Features without Supervision": the class token."""
    picture, patch = picture_of(folder, "bit"), int(config.get("patch_size", 14))
    if any(side % patch for side in picture.crop):
        raise BadModel(f"{folder}: its preprocessor makes {picture.crop}, no whole patches of {patch}: correct one")
    return Design(
        family="dinov2",
        name="dinov2",
        dim=int(config.get("hidden_size", 768)),
        recipe=f"image: {picture}, the class token",
        picture=picture,
    )


def _texts(folder: Path, config: Config, prompts: Prompts) -> Design:
    """Reimers and Gurevych 2019, "Sentence-BERT": token states pooled to one row, as sentence-transformers' own files
    say; where there are none, their mean, as sentence-transformers does then, too."""
    pooling = _pooling(folder)
    said, names = said_by(folder / LENGTHS), said_by(folder / PROMPTS).get("prompts") or {}
    kind = str(config["model_type"])
    positions = int(config.get("max_position_embeddings", 512))
    most = positions - _padding(config) - 1 if ENCODERS[kind] else positions
    tokens = min(most, int(said.get("max_seq_length") or most))
    query, document = prompts or (names.get("query", ""), names.get("document") or names.get("passage", ""))
    wording = Wording(
        tokens=tokens,
        characters=max(LONGEST, CHARACTERS * tokens),
        lower=bool(said.get("do_lower_case")),
        query=query,
        document=document,
    )
    return Design(
        family="bert",
        name="text",
        dim=int(config.get("dim", 768) if kind == "distilbert" else config.get("hidden_size", 768)),
        recipe=f"text: {wording}, {pooling}",
        wording=wording,
        pooling=pooling,
    )


def _pooling(folder: Path) -> Pooling:
    """Raises BadModel for what is neither the mean of all tokens nor the first."""
    if not (folder / MODULES).is_file():
        return "mean"
    modules = [str(part["type"]).rpartition(".")[2] for part in read_list(folder / MODULES)]
    if modules not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise BadModel(f"{folder} is made of {', '.join(modules)}; Transformer, Pooling and Normalize can be read")
    said = read_json(folder / POOLING)
    modes = {name.removeprefix("pooling_mode_") for name, on in said.items() if name.startswith("pooling_mode_") and on}
    modes |= {said["pooling_mode"]} if isinstance(said.get("pooling_mode"), str) else set()
    known: dict[str, Pooling] = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(modes) != 1 or not modes <= known.keys() or said.get("include_prompt") is False:
        raise BadModel(
            f"{folder}: tokens are pooled by {', '.join(sorted(modes))}; mean_tokens or cls_token can be read"
        )
    return known[modes.pop()]


FAMILIES: Mapping[str, Callable[[Path, Config, Prompts], Design]] = {
    "clip": _clip,
    "siglip": _siglip,
    "chinese_clip": _chinese_clip,
    "clap": _clap,
    "dinov2": _dinov2,
    "dinov2_with_registers": _dinov2,
    **dict.fromkeys(ENCODERS, _texts),
}
