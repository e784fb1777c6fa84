"""What a folder's files say of a model: its space, or why it is refused before a weight is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from core.encoders import files, models
from core.errors import BadModel, UnknownProfile
from core.spaces import EmbeddingSpace
from core.types import Modality
from tests.checkpoints import PREPROCESSOR, changed, encoder


def test_a_space_says_what_makes_its_vectors(made) -> None:
    space = encoder(made["clip"]).space
    assert (space.name, space.model, space.dim) == ("clip", "clip", 20)
    assert space.modalities == {Modality.TEXT, Modality.IMAGE}
    assert encoder(made["siglip"]).space.dim == 24
    assert (encoder(made["clip"]).wants.pixels, encoder(made["siglip"]).wants.pixels) == (36, 32)
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
    weights = load_file(folder / files.WEIGHTS)
    weights[tensor] = weights[tensor] * 1.01 + 0.001
    save_file(weights, folder / files.WEIGHTS, metadata={"format": "pt"})
    assert encoder(folder).space.fingerprint != before.fingerprint


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "config.json"])
def test_another_tokenizer_or_setting_is_another_space(made, copy, name) -> None:
    folder = copy("clip")
    (folder / name).write_text((folder / name).read_text() + "\n")
    assert encoder(folder).space.fingerprint != encoder(made["clip"]).space.fingerprint


def only_pickle(folder: Path) -> None:
    (folder / files.WEIGHTS).rename(folder / "pytorch_model.bin")


def no_tokenizer(folder: Path) -> None:
    (folder / "vocab.json").unlink()


def cut_short(folder: Path) -> None:
    (folder / files.WEIGHTS).write_bytes((folder / files.WEIGHTS).read_bytes()[:-8])


def pointer(folder: Path) -> None:
    (folder / files.WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def nonsense(folder: Path) -> None:
    (folder / files.WEIGHTS).write_bytes((4).to_bytes(8, "little") + b"\xff" * 40)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (only_pickle, r"no model\.safetensors: pickled weights .* are never read.*save_pretrained"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda folder: (folder / "config.json").write_text("7"), "config.json is not JSON"),
        (lambda folder: (folder / PREPROCESSOR).unlink(), "has no preprocessor_config.json"),
        (no_tokenizer, "has no tokenizer"),
        (
            changed("config.json", model_type="llama"),
            "model_type 'llama', which is not read. These are: bert, camembert",
        ),
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
        models.make_clip("")
