"""Tiny checkpoints with random weights, made and read by transformers' own code: the reference of every family."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel

from core.encoders.registry import Encoders
from core.types import Audio, Content, Image, Text

FAMILIES = ("clip", "siglip")
PICTURED = (*FAMILIES, "siglip2", "chinese-clip", "dinov2")
SOUNDED = ("clap", "clap-fused")
WORDED = ("bert", "xlm-roberta", "roberta", "mpnet", "distilbert", "modernbert", "camembert")
ALL = (*PICTURED, *SOUNDED, *WORDED)
READING = tuple(name for name in ALL if name != "dinov2")  # those that embed texts

PREPROCESSOR = "preprocessor_config.json"
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
VISION = LAYERS | {"hidden_size": 24, "image_size": 32, "patch_size": 8}
ENDS = {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
WORDS = LAYERS | ENDS | {"hidden_size": 24, "vocab_size": 600, "max_position_embeddings": 16}
ROBERTA = {"vocab_size": 120, "max_position_embeddings": 18, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
BERT = {"vocab_size": 120, "max_position_embeddings": 16, "pad_token_id": 1}
HEARING = {"spec_size": 64, "num_mel_bins": 16, "window_size": 4, "depths": [2, 2], "num_attention_heads": [2, 2]}
HEARING |= {"patch_embeds_hidden_size": 12, "hidden_size": 24, "num_hidden_layers": 2, "projection_dim": 20}
TEXTS = ["a red bicycle", "cats!", "", "  Two   cups of coffee, please  ", "一只猫 🙂", "dog " * 30]
MARKS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def picture(seed: int, height: int = 50, width: int = 70) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def sound(seed: int, seconds: float = 0.7, rate: int = 48_000) -> Audio:
    """A chord and noise, another for each seed."""
    random = np.random.default_rng(seed)
    at = np.arange(int(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * pitch * at) for pitch in random.uniform(100, 9000, 3))
    return Audio((0.2 * chord + 0.02 * random.standard_normal(len(at))).astype(np.float32), rate)


def build(folder: Path, family: str) -> Path:
    """A checkpoint whose towers tell contents apart, which the usual small random weights do not."""
    torch.manual_seed(7)
    folder.mkdir(parents=True)
    model = _model(family)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    if (prepares := _preparer(family)) is not None:
        prepares.save_pretrained(folder)
    if family == "clip":
        bpe_of_bytes(folder)
    elif family == "siglip":
        unigrams_of_letters(folder, ("<unk>", "</s>"), lower=True)
    elif family == "siglip2":
        gemma(folder)
    elif family != "dinov2":
        unigrams_of_letters(folder, MARKS)
    if family in WORDED:
        modules(folder)
    return folder


def _model(family: str) -> Any:
    t: Any = transformers
    side = LAYERS | {"hidden_size": 24}
    match family:
        case "clip":
            return t.CLIPModel(t.CLIPConfig(text_config=WORDS, vision_config=VISION, projection_dim=20))
        case "siglip" | "siglip2":
            return t.SiglipModel(t.SiglipConfig(text_config=WORDS, vision_config=VISION))
        case "chinese-clip":
            text = side | BERT
            return t.ChineseCLIPModel(t.ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=20))
        case "dinov2":
            return t.Dinov2Model(t.Dinov2Config(**side, image_size=56, patch_size=8, mlp_ratio=2))
        case "clap" | "clap-fused":
            fused = {"enable_fusion": True, "fusion_type": "none"} if family == "clap-fused" else {}
            text = side | ROBERTA | {"projection_dim": 20}
            return t.ClapModel(t.ClapConfig(text_config=text, audio_config=HEARING | fused, projection_dim=20)).eval()
        case "distilbert":
            said = {"dim": 24, "hidden_dim": 48, "n_layers": 2, "n_heads": 4}
            return t.DistilBertModel(t.DistilBertConfig(**said, **BERT))
        case "bert":
            return t.BertModel(t.BertConfig(**side, **BERT), add_pooling_layer=False)
        case "modernbert":
            said = side | ROBERTA | {"max_position_embeddings": 16, "cls_token_id": 0, "sep_token_id": 2}
            return t.ModernBertModel(t.ModernBertConfig(**said))
        case _:
            config = t.AutoConfig.for_model(family, **side, **ROBERTA)
            return t.AutoModel.from_config(config)


def _preparer(family: str) -> Any:
    t: Any = transformers
    match family:
        case "clip":
            return t.CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
        case "siglip" | "siglip2":
            return t.SiglipImageProcessorPil(size={"height": 32, "width": 32})
        case "chinese-clip":
            return t.ChineseCLIPImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False)
        case "dinov2":
            return t.BitImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
        case "clap":
            return t.ClapFeatureExtractor(feature_size=16, max_length_s=1, frequency_min=50, truncation="rand_trunc")
        case "clap-fused":
            return t.ClapFeatureExtractor(feature_size=16, max_length_s=1, frequency_min=50, truncation="fusion")
        case _:
            return None


def bpe_of_bytes(folder: Path) -> None:
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def unigrams_of_letters(folder: Path, marks: tuple[str, ...], *, lower: bool = False) -> None:
    """With two marks as SigLIP's, a text and its end; with more as RoBERTa's, between a begin and an end."""
    pieces = [*((mark, 0.0) for mark in marks), *((letter, -1.0) for letter in map(chr, range(32, 127))), ("▁", -1.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=marks.index("<unk>")))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    begin = "<s> " if "<s>" in marks else ""
    ends = [(mark, marks.index(mark)) for mark in ("<s>", "</s>") if mark in marks]
    two = f"{begin}$A </s> $B:1 </s>:1"
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{begin}$A </s>", pair=two, special_tokens=ends)
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    tokenizer.save(str(folder / "tokenizer.json"))
    inputs = ["input_ids", "attention_mask"] if begin else ["input_ids"]
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs, "model_max_length": 16}
    said |= {"pad_token": "<pad>" if begin else "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    said |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"} if begin else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def gemma(folder: Path) -> None:
    """As SigLIP 2's: Gemma's, no mask and an end, and texts in lower case for whoever lowers them."""
    letters = {chr(code): code for code in range(97, 123)}
    vocab = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4, "▁": 5, **letters}
    made: Any = transformers.GemmaTokenizer(vocab=vocab, merges=[])
    ends = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    made.backend_tokenizer.post_processor = ends
    made.save_pretrained(folder)
    inputs = {"padding_side": "right", "model_input_names": ["input_ids"], "model_max_length": 16}
    changed("tokenizer_config.json", **inputs)(folder)


def modules(folder: Path, mode: str = "mean_tokens", **said: Any) -> None:
    """The files of sentence-transformers."""
    names = ["Transformer", "Pooling", "Normalize"]
    listed = [{"idx": i, "name": str(i), "type": f"sentence_transformers.models.{n}"} for i, n in enumerate(names)]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 24} | modes | said))


def encoder(folder: Path | str, profile: str = "hf") -> Any:
    (only,) = Encoders().of_profile(f"{profile}:{folder}")
    return only


def reference(folder: Path, family: str, contents: list[Content], *, pooling: str = "mean") -> np.ndarray:
    """One at a time, by transformers' processors and model alone."""
    model = type(_model(family)).from_pretrained(folder, attn_implementation="eager").eval()
    words = transformers.AutoTokenizer.from_pretrained(folder) if family != "dinov2" else None
    rows = []
    for content in contents:
        with torch.inference_mode():
            match content:
                case Text(value):
                    assert words is not None
                    padding = "max_length" if family.startswith("siglip") else True
                    value = value.lower() if family == "siglip2" else value
                    said = words([value], padding=padding, truncation=True, max_length=16, return_tensors="pt")
                    said.pop("token_type_ids", None)
                    if family in WORDED:
                        states = model(**said).last_hidden_state[0]
                        rows.append((states[0] if pooling == "cls" else states.mean(0)).numpy())
                    else:
                        rows.append(model.get_text_features(**said).pooler_output[0].numpy())
                case Image():
                    seen = torch.tensor(prepared(folder, content)[None])
                    made = model(seen) if family == "dinov2" else model.get_image_features(pixel_values=seen)
                    rows.append(made.pooler_output[0].numpy())
                case Audio():
                    heard = torch.tensor(heard_as(folder, content)[None])
                    longer = torch.zeros(1, 1, dtype=torch.bool)
                    made = model.get_audio_features(input_features=heard, is_longer=longer)
                    rows.append(made.pooler_output[0].numpy())
    out = np.stack(rows)
    rows_of_one: np.ndarray = out / np.linalg.norm(out, axis=1, keepdims=True)
    return rows_of_one


def prepared(folder: Path, image: Image, **said: Any) -> np.ndarray:
    t: Any = transformers
    kinds: Any = {
        "clip": t.CLIPImageProcessorPil,
        "siglip": t.SiglipImageProcessorPil,
        "dinov2": t.BitImageProcessorPil,
    }
    kinds["chinese_clip"] = t.ChineseCLIPImageProcessorPil
    processor = kinds[json.loads((folder / "config.json").read_text())["model_type"]].from_pretrained(folder, **said)
    return np.asarray(processor(image.pixels, input_data_format="channels_last")["pixel_values"][0])


def heard_as(folder: Path, audio: Audio) -> np.ndarray:
    """f32 (channels, frames, mels) by transformers' feature extractor."""
    extractor: Any = transformers.ClapFeatureExtractor.from_pretrained(folder)
    return np.asarray(extractor(audio.samples, sampling_rate=audio.rate)["input_features"][0], np.float32)


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


def cross_encoder(folder: Path, family: str = "bert", labels: int = 1) -> Path:
    """A checkpoint that reads two texts together, of random weights."""
    t: Any = transformers
    torch.manual_seed(7)
    folder.mkdir(parents=True)
    side = LAYERS | {"hidden_size": 24, "num_labels": labels}
    said = BERT if family == "bert" else ROBERTA
    config = t.AutoConfig.for_model(family, **side, **(said | {"max_position_embeddings": 40}))
    model = t.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    unigrams_of_letters(folder, MARKS)
    how = folder / "tokenizer_config.json"
    how.write_text(how.read_text().replace('"model_max_length": 16', '"model_max_length": 36'))
    return folder
