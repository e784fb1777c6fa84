"""The clip family: tiny checkpoints with random weights, made and read by transformers' own code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import PIL.Image
import pytest
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel

from core.encoders import clip
from core.encoders.registry import Encoders
from core.errors import BadModel, MissingExtra, NoSpaceFor, UnknownProfile
from core.spaces import EmbeddingSpace
from core.types import Audio, Content, Image, Modality, Text

FAMILIES = ("clip", "siglip")
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: build(root / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def loaded(made: dict[str, Path]) -> dict[str, Any]:
    return {family: encoder(folder) for family, folder in made.items()}


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path):
    return lambda family, name="copy": Path(shutil.copytree(made[family], tmp_path / name / family))


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


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_those_of_the_reference_model_and_its_processors(made, loaded, family) -> None:
    contents: list[Content] = [*map(Text, TEXTS), *(picture(s, 40 + 9 * s, 90 - 7 * s) for s in range(6))]
    want = reference(made[family], family, contents)
    for rows in (want[:6], want[6:]):  # else any row would do
        assert np.median((rows @ rows.T)[np.triu_indices(6, 1)]) < 0.9
    np.testing.assert_allclose(loaded[family].encode(contents), want, atol=1e-5)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("resample", [2, 3, 1])
@pytest.mark.parametrize("family", FAMILIES)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 9))
def test_a_picture_of_any_shape_is_prepared_as_the_reference_does(made, family, resample, height, width, seed) -> None:
    image = picture(seed, height, width)
    said = replace(clip.read(made[family], "", "").picture, resample=resample)
    strip = family == "clip" and max(height, width) / min(height, width) > 12
    got, want = said.prepare(image), prepared(made[family], image, resample=resample)
    assert cosine(got, want) > (0.99 if resample == 1 else 0.999)  # Lanczos, which neither family uses, rings on noise
    assert strip or np.abs(got - want).max() < 1e-6


def test_a_strip_of_pixels_is_cut_before_it_is_enlarged(made, monkeypatch) -> None:
    sizes = []
    real = PIL.Image.Image.resize

    def resize(self: PIL.Image.Image, size: tuple[int, int], *args: Any, **said: Any) -> PIL.Image.Image:
        sizes.append(size)
        return real(self, size, *args, **said)

    monkeypatch.setattr(PIL.Image.Image, "resize", resize)
    for strip in (picture(1, 2, 4000), picture(1, 4000, 2)):
        got = clip.read(made["clip"], "", "").picture.prepare(strip)
        assert sizes.pop() == (32, 32)
        assert cosine(got, prepared(made["clip"], strip)) > 0.999
        sizes.clear()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_depends_on_its_own_content_alone(loaded, family) -> None:
    contents: list[Content] = []
    for n in range(clip.BATCH + 3):  # more than one batch of each
        contents += [Text("word " * (n % 9) + str(n)), picture(n, 33, 34)]
    rows = loaded[family].encode(contents)
    order = np.random.default_rng(0).permutation(len(contents))
    np.testing.assert_allclose(loaded[family].encode([contents[i] for i in order]), rows[order], atol=1e-5)
    for i in (0, 1, 16, 17, len(contents) - 1):
        np.testing.assert_allclose(loaded[family].encode([contents[i]])[0], rows[i], atol=1e-5)
        np.testing.assert_allclose(loaded[family].encode_query(contents[i]), rows[i], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@given(st.lists(st.text(st.characters(codec=None), max_size=40) | st.sampled_from(["", "\ud83d", "\0"]), max_size=3))
def test_any_text_has_a_finite_unit_row(loaded, family, texts) -> None:
    rows = loaded[family].encode([Text(text) for text in texts])
    assert rows.dtype == np.float32
    assert rows.shape == (len(texts), loaded[family].space.dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_is_read_to_the_models_limit_and_no_further(loaded, family) -> None:
    long, longer, other = (
        loaded[family].encode_query(Text("x" * n + end)) for n, end in ((40, ""), (9999, ""), (5, "y"))
    )
    np.testing.assert_allclose(long, longer, atol=1e-6)
    assert long @ other < 0.999


@pytest.mark.parametrize("family", FAMILIES)
def test_threads_share_one_load_and_do_not_disturb_each_other(made, loaded, family, monkeypatch) -> None:
    loads = []
    real = clip.load

    def load(checkpoint: clip.Checkpoint) -> clip.Towers:
        loads.append(checkpoint)
        return real(checkpoint)

    monkeypatch.setattr(clip, "load", load)
    fresh = encoder(made[family])
    texts = [Text("ab " * n) for n in range(24)]
    with ThreadPoolExecutor(6) as pool:
        rows = np.stack(list(pool.map(fresh.encode_query, texts)))
    assert len(loads) == 1
    np.testing.assert_allclose(rows, loaded[family].encode(texts), atol=1e-5)


def test_a_space_says_what_makes_its_vectors(made) -> None:
    space = encoder(made["clip"]).space
    assert (space.name, space.model, space.dim) == ("clip", "clip", 20)
    assert space.modalities == {Modality.TEXT, Modality.IMAGE}
    assert encoder(made["siglip"]).space.dim == 24
    assert (encoder(made["clip"]).pixels, encoder(made["siglip"]).pixels) == (36, 32)
    assert EmbeddingSpace.from_dict(space.as_dict()) == space
    # Written out, so that no change of code makes every index unreadable unseen.
    assert space.recipe == (
        "text: first 8192 characters, 16 tokens; image: Picture(size=(36,), crop=(32, 32), resample=3, "
        "factor=0.00392156862745098, mean=(0.48145466, 0.4578275, 0.40821073), "
        "std=(0.26862954, 0.26130258, 0.27577711)); float32"
    )


def test_the_same_checkpoint_in_another_place_is_the_same_space(made, copy) -> None:
    assert encoder(copy("clip")).space == encoder(made["clip"]).space


@pytest.mark.parametrize(
    "tensor",
    ["text_projection.weight", "vision_model.post_layernorm.bias", "text_model.embeddings.token_embedding.weight"],
)
def test_another_checkpoint_in_the_same_folder_is_another_space(copy, tensor) -> None:
    folder = copy("clip")
    before = encoder(folder).space
    weights = load_file(folder / clip.WEIGHTS)
    weights[tensor] = weights[tensor] * 1.01 + 0.001
    save_file(weights, folder / clip.WEIGHTS, metadata={"format": "pt"})
    assert encoder(folder).space.fingerprint != before.fingerprint


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "config.json"])
def test_another_tokenizer_or_setting_is_another_space(made, copy, name) -> None:
    folder = copy("clip")
    (folder / name).write_text((folder / name).read_text() + "\n")
    assert encoder(folder).space.fingerprint != encoder(made["clip"]).space.fingerprint


def changed(name: str, **values: Any):
    def change(folder: Path) -> None:
        said = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps(said))

    return change


def only_pickle(folder: Path) -> None:
    (folder / clip.WEIGHTS).rename(folder / "pytorch_model.bin")


def no_tokenizer(folder: Path) -> None:
    (folder / "vocab.json").unlink()


def cut_short(folder: Path) -> None:
    (folder / clip.WEIGHTS).write_bytes((folder / clip.WEIGHTS).read_bytes()[:-8])


def pointer(folder: Path) -> None:
    (folder / clip.WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def nonsense(folder: Path) -> None:
    (folder / clip.WEIGHTS).write_bytes((4).to_bytes(8, "little") + b"\xff" * 40)


PREPROCESSOR = "preprocessor_config.json"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (only_pickle, r"no model\.safetensors: pickled weights .* are never read.*save_pretrained"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda folder: (folder / "config.json").write_text("7"), "config.json is not JSON"),
        (lambda folder: (folder / PREPROCESSOR).unlink(), "has no preprocessor_config.json"),
        (no_tokenizer, "has no tokenizer"),
        (changed("config.json", model_type="bert"), "model_type 'bert'"),
        (changed("config.json", model_type="siglip2"), "model_type 'siglip2'"),
        (changed("config.json", text_config=[1]), "damaged"),
        (changed(PREPROCESSOR, crop_size=30), r"makes \(30, 30\), its model reads 32"),
        (changed(PREPROCESSOR, crop_size=64), "not bring every image to one size"),
        (changed(PREPROCESSOR, do_resize=False), "not bring every image to one size"),
        (changed(PREPROCESSOR, do_center_crop=False), "not bring every image to one size"),
        (changed(PREPROCESSOR, size={"longest_edge": 32}), "size is"),
        (changed(PREPROCESSOR, resample=99), "damaged"),
        (changed(PREPROCESSOR, image_processor_type="Siglip2ImageProcessor"), "prepared by Siglip2ImageProcessor"),
        (cut_short, "cut short"),
        (pointer, "git-lfs"),
        (nonsense, "damaged"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused_before_any_weight_is_loaded(copy, change, said) -> None:
    folder = copy("clip")
    change(folder)
    with pytest.raises(BadModel, match=said):
        encoder(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(BadModel, match="there is no folder"):
        encoder(tmp_path / "nowhere")
    with pytest.raises(UnknownProfile, match="clip:FOLDER"):
        clip.make("")


def test_a_weight_that_is_missing_is_not_made_up(copy) -> None:
    folder = copy("clip")
    weights = load_file(folder / clip.WEIGHTS)
    del weights["text_projection.weight"]
    save_file(weights, folder / clip.WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(BadModel, match=r"missing: text_projection\.weight"):
        encoder(folder).encode_query(Text("a"))


def test_a_model_that_does_not_fit_its_files_is_refused_at_the_first_content(copy) -> None:
    folder = copy("clip")
    vocab = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({piece: number + 400 for piece, number in vocab.items()}))
    with pytest.raises(BadModel, match="tokenizer does not fit"):
        encoder(folder).encode([picture(0)])
    folder = copy("clip", "other")
    changed("config.json", projection_dim=21)(folder)
    with pytest.raises(BadModel, match="cannot be loaded"):
        encoder(folder).encode([picture(0)])


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="sentencepiece is there")
def test_a_tokenizer_of_sentencepiece_names_the_package_it_needs(copy) -> None:
    folder = copy("siglip")
    changed("tokenizer_config.json", tokenizer_class="SiglipTokenizer")(folder)
    with pytest.raises(MissingExtra, match="pip install sentencepiece"):
        encoder(folder).encode_query(Text("a"))


def test_code_beside_the_weights_is_never_run(copy) -> None:
    folder = copy("clip")
    (folder / "evil.py").write_text("raise SystemExit('run')")
    changed("config.json", auto_map={"AutoModel": "evil.Model", "AutoTokenizer": ["evil.T", "evil.T"]})(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}}))
    assert encoder(folder).encode_query(Text("a")).shape == (20,)


def test_shards_and_half_precision_are_read_too(made, loaded, copy) -> None:
    folder = copy("clip")
    model = transformers.CLIPModel.from_pretrained(folder)
    (folder / clip.WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(clip.weights(folder)) > 1
    contents: list[Content] = [Text("a cat"), picture(3)]
    np.testing.assert_allclose(encoder(folder).encode(contents), loaded["clip"].encode(contents), atol=1e-6)
    clip.weights(folder)[0].unlink()
    with pytest.raises(BadModel, match=r"has no model\.safetensors"):
        encoder(folder)
    half = copy("clip", "half")
    model.half().save_pretrained(half)
    np.testing.assert_allclose(encoder(half).encode(contents), loaded["clip"].encode(contents), atol=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_preprocessor_may_be_old_new_or_silent(made, copy, family) -> None:
    want = clip.read(made[family], "", "").picture
    folder = copy(family)
    said = json.loads((folder / PREPROCESSOR).read_text())
    (folder / PREPROCESSOR).unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": said, "processor_class": "Any"}))
    assert clip.read(folder, "", "").picture == want
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Any"}))
    kept = (
        {"size": 36, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor"}
        if family == "clip"
        else {"size": said["size"], "do_center_crop": None, "crop_size": None}
    )
    (folder / PREPROCESSOR).write_text(json.dumps(kept))
    assert clip.read(folder, "", "").picture == want
    assert clip.read(folder, "", "").picture.prepare(picture(0)) == pytest.approx(
        prepared(folder, picture(0)), abs=1e-5
    )


def cached(made: dict[str, Path], home: Path) -> str:
    """A hub cache as huggingface_hub lays it out; the commit."""
    commit = "a" * 40
    repo = home / "hub" / "models--some--clip"
    shutil.copytree(made["clip"], repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    return commit


def test_a_space_is_known_without_torch_even_of_a_cached_hub_model(made, tmp_path) -> None:
    commit = cached(made, tmp_path / "hf")
    code = (
        "import sys; from core.encoders.clip import make\n"
        f"for name in ({str(made['clip'])!r}, 'some/clip', 'some/clip@main'):\n"
        "    space = make(name)[0].space; print(space.model, space.revision, space.dim)\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    env = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    folder, *hub, imported = done.stdout.splitlines()
    assert folder.split()[::2] == ["clip", "20"]
    assert hub == [f"some/clip {commit} 20"] * 2
    assert imported == "[]"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hf"


@pytest.mark.parametrize("name", ["some/clip", "some/clip@v2", "clip-vit", "../no-such-model"])
def test_a_hub_model_that_is_not_cached_is_named_when_there_is_no_network(cache, name) -> None:
    with pytest.raises(BadModel, match=f"^{name.partition('@')[0]} is no folder.*hf download") as refused:
        encoder(name)
    assert "--revision v2" in str(refused.value) or "@" not in name


def test_a_cached_hub_model_that_lacks_its_weights_is_not_taken_for_whole(made, cache) -> None:
    cached(made, cache)
    assert encoder("some/clip").encode_query(Text("a")).shape == (20,)
    next(cache.rglob(clip.WEIGHTS)).unlink()
    with pytest.raises(BadModel, match="hf download some/clip"):
        encoder("some/clip")


def test_a_hub_model_is_downloaded_once_without_pickle_and_a_failure_is_told(made, cache, monkeypatch) -> None:
    asked = []

    def download(name, *, revision, allow_patterns, local_files_only=False):
        asked.append((name, revision, local_files_only))
        assert not any("bin" in pattern or "*.py" in pattern for pattern in allow_patterns)
        if local_files_only:
            raise LocalEntryNotFoundError("none")
        if name == "no/net":
            raise OSError("no network")
        return str(made["clip"])

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert encoder("some/clip@v2").space.model == "some/clip"
    assert asked == [("some/clip", "v2", True), ("some/clip", "v2", False)]
    with pytest.raises(BadModel, match=r"no/net .* cannot be downloaded.*no network"):
        encoder("no/net")


def test_nothing_to_encode_is_no_rows_and_sound_is_refused(loaded) -> None:
    assert loaded["clip"].encode([]).shape == (0, 20)
    with pytest.raises(NoSpaceFor):
        loaded["clip"].encode([Audio(np.zeros(8, np.float32), 8000)])
