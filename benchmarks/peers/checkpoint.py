"""A ViT-B/32 of CLIP with random weights, in the files of `openai/clip-vit-base-patch32`: what every side loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.pre_tokenizers import ByteLevel

from benchmarks.phrases import phrase

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
MERGED = 2000  # pieces of the tokenizer: a query is about 16 tokens, as short captions are to CLIP's
PHRASES = 4000
PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def checkpoint(folder: Path) -> Path:
    """Made once. Weights are drawn as transformers initialises them, so towers are as deep and wide as the real ones
    and cost the same; what they find is meaningless."""
    done = folder / "config.json"
    if done.exists():
        return folder
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    end = _tokenizer(making)
    (making / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=1))
    t: Any = transformers
    torch.manual_seed(7)
    text = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    model = t.CLIPModel(t.CLIPConfig(text_config=text, vision_config={"patch_size": 32}, projection_dim=512))
    model.save_pretrained(making)
    making.rename(folder)
    return folder


def _tokenizer(folder: Path) -> int:
    """Byte pairs learned from phrases, in the two files of CLIP's tokenizer; the id of the end."""
    made = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = sorted(ByteLevel.alphabet())
    learn = trainers.BpeTrainer(
        vocab_size=MERGED, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    words = {word for n in range(0, PHRASES * 97, 97) for word in phrase(n).lower().replace(".", "").split()}
    made.train_from_iterator(sorted(words), learn)
    pairs = [tuple(pair) for pair in json.loads(made.to_str())["model"]["merges"]]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *(one + other for one, other in pairs), BEGIN, END]
    pieces = list(dict.fromkeys(pieces))
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{one} {other}\n" for one, other in pairs))
    said = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": BEGIN, "eos_token": END}
    said |= {"pad_token": END, "unk_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return len(pieces) - 1
