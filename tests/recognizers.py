"""Tiny recognizers of speech with random weights, made and saved by transformers' own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import ByteLevel

from core.types import Audio

RATE = 16_000
SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>")
STEPS = 1501  # of 20 ms, in 30 s
TINY: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "num_mel_bins": 80,
}


def noise(seconds: float, *, seed: int = 0, rate: int = RATE) -> Audio:
    """Sound that is not silent."""
    samples = np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate))
    return Audio(samples.astype(np.float32), rate)


def whisper(folder: Path) -> Path:
    """Of bytes, in English."""
    folder.mkdir(parents=True)
    letters = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    (folder / "vocab.json").write_text(json.dumps(letters))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    kind = cast(Any, transformers).WhisperTokenizerFast
    tokenizer = kind(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    tokenizer.add_special_tokens({"extra_special_tokens": list(SPECIAL)})
    tokenizer.add_tokens([transformers.AddedToken(f"<|{step * 0.02:.2f}|>") for step in range(STEPS)])
    tokenizer.save_pretrained(folder)
    end, start, *_, timeless = tokenizer.convert_tokens_to_ids(list(SPECIAL))
    torch.manual_seed(3)
    config = transformers.WhisperConfig(
        **TINY,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        vocab_size=len(tokenizer),
        max_target_positions=40,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    model: Any = transformers.WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.5)
    model.generation_config = transformers.GenerationConfig(
        no_timestamps_token_id=timeless,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        is_multilingual=False,
        max_length=40,
        max_initial_timestamp_index=50,
        return_timestamps=False,
        begin_suppress_tokens=[end],
    )
    model.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    return folder


def wav2vec2(folder: Path) -> Path:
    """Of letters."""
    folder.mkdir(parents=True)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJ"]
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    torch.manual_seed(5)
    configured: Any = transformers.Wav2Vec2Config
    config = configured(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(20, 16),
        conv_kernel=(20, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        vocab_size=len(letters),
    )
    model: Any = transformers.Wav2Vec2ForCTC(config)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 2)
        model.lm_head.bias[4] += 1.0  # words end now and then
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    return folder


def said_by_whisper(folder: Path, wave: NDArray[np.float32]) -> list[tuple[str, float, float]]:
    """By transformers' own processor, generation and reading of its times: phrases and their seconds."""
    kind: Any = transformers.WhisperForConditionalGeneration
    processor: Any = transformers.WhisperProcessor
    model, read = kind.from_pretrained(folder).eval(), processor.from_pretrained(folder)
    heard = read(wave, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
    tokens = model.generate(**heard, return_timestamps=True)
    told = read.tokenizer.decode(tokens[0].tolist(), output_offsets=True, skip_special_tokens=True)
    return [(one["text"], *one["timestamp"]) for one in told["offsets"]]


def said_by_wav2vec2(folder: Path, wave: NDArray[np.float32]) -> str:
    """By transformers' own processor and model: all of it."""
    kind: Any = transformers.Wav2Vec2ForCTC
    processor: Any = transformers.Wav2Vec2Processor
    model, read = kind.from_pretrained(folder).eval(), processor.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(read(wave, sampling_rate=RATE, return_tensors="pt").input_values).logits
    said: str = read.batch_decode(logits.argmax(dim=-1))[0]
    return said
