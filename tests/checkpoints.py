"""Tiny checkpoints with random weights, made and read by transformers' own code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel

from core.encoders.registry import Encoders
from core.types import Content, Image, Text

FAMILIES = ("clip", "siglip")
PREPROCESSOR = "preprocessor_config.json"
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
VISION = LAYERS | {"hidden_size": 24, "image_size": 32, "patch_size": 8}
ENDS = {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
WORDS = LAYERS | ENDS | {"hidden_size": 24, "vocab_size": 600, "max_position_embeddings": 16}
TEXTS = ["a red bicycle", "cats!", "", "  Two   cups of coffee, please  ", "一只猫 🙂", "dog " * 30]


def picture(seed: int, height: int = 50, width: int = 70) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def build(folder: Path, family: str) -> Path:
    """A checkpoint whose towers tell contents apart, which the usual small random weights do not."""
    torch.manual_seed(7)
    model: Any
    images: Any
    if family == "clip":
        config: Any = transformers.CLIPConfig(text_config=WORDS, vision_config=VISION, projection_dim=20)
        model = transformers.CLIPModel(config)
        images = transformers.CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
        bpe_of_bytes(folder)
    else:
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=WORDS, vision_config=VISION))
        images = transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32})
        unigrams_of_letters(folder)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    images.save_pretrained(folder)
    return folder


def bpe_of_bytes(folder: Path) -> None:
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def unigrams_of_letters(folder: Path) -> None:
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((letter, -1.0) for letter in map(chr, range(32, 127))), ("▁", -1.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids"], "model_max_length": 16}
    said |= {"pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def encoder(folder: Path | str) -> Any:
    (only,) = Encoders().of_profile(f"clip:{folder}")
    return only


def reference(folder: Path, family: str, contents: list[Content]) -> np.ndarray:
    """One at a time, by transformers' processors and model alone."""
    kind: Any = {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel}[family]
    model = kind.from_pretrained(folder, attn_implementation="eager").eval()
    words = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    for content in contents:
        with torch.inference_mode():
            if isinstance(content, Text):
                padding = {"clip": True, "siglip": "max_length"}[family]
                said = words([content.value], padding=padding, truncation=True, max_length=16, return_tensors="pt")
                rows.append(model.get_text_features(**said).pooler_output[0].numpy())
            elif isinstance(content, Image):
                seen = prepared(folder, content)[None]
                rows.append(model.get_image_features(pixel_values=torch.tensor(seen)).pooler_output[0].numpy())
    out = np.stack(rows)
    rows_of_one: np.ndarray = out / np.linalg.norm(out, axis=1, keepdims=True)
    return rows_of_one


def prepared(folder: Path, image: Image, **said: Any) -> np.ndarray:
    kinds: Any = {"clip": transformers.CLIPImageProcessorPil, "siglip": transformers.SiglipImageProcessorPil}
    processor = kinds[json.loads((folder / "config.json").read_text())["model_type"]].from_pretrained(folder, **said)
    return np.asarray(processor(image.pixels, input_data_format="channels_last")["pixel_values"][0])


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


def changed(name: str, **values: Any):
    def change(folder: Path) -> None:
        said = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps(said))

    return change


def cached(made: dict[str, Path], home: Path) -> str:
    """A hub cache as huggingface_hub lays it out; the commit."""
    commit = "a" * 40
    repo = home / "hub" / "models--some--clip"
    shutil.copytree(made["clip"], repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    return commit
