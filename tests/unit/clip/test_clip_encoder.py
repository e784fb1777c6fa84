"""Rows of the clip family are those of the reference model, whatever batch and thread they come from."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from core.encoders import checkpoint, clip
from core.errors import BadModel, MissingExtra, NoSpaceFor
from core.types import Audio, Content, Text
from tests.checkpoints import FAMILIES, TEXTS, changed, encoder, picture, reference


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_those_of_the_reference_model_and_its_processors(made, loaded, family) -> None:
    contents: list[Content] = [*map(Text, TEXTS), *(picture(s, 40 + 9 * s, 90 - 7 * s) for s in range(6))]
    want = reference(made[family], family, contents)
    for rows in (want[:6], want[6:]):  # else any row would do
        assert np.median((rows @ rows.T)[np.triu_indices(6, 1)]) < 0.9
    np.testing.assert_allclose(loaded[family].encode(contents), want, atol=1e-5)


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

    def load(said: checkpoint.Checkpoint) -> clip.Towers:
        loads.append(said)
        return real(said)

    monkeypatch.setattr(clip, "load", load)
    fresh = encoder(made[family])
    texts = [Text("ab " * n) for n in range(24)]
    with ThreadPoolExecutor(6) as pool:
        rows = np.stack(list(pool.map(fresh.encode_query, texts)))
    assert len(loads) == 1
    np.testing.assert_allclose(rows, loaded[family].encode(texts), atol=1e-5)


def test_loading_leaves_torch_one_thread_a_lane(made) -> None:
    torch.set_num_threads(2)
    encoder(made["clip"]).encode_query(Text("a"))
    assert torch.get_num_threads() == 1


def test_a_weight_that_is_missing_is_not_made_up(copy) -> None:
    folder = copy("clip")
    weights = load_file(folder / checkpoint.WEIGHTS)
    del weights["text_projection.weight"]
    save_file(weights, folder / checkpoint.WEIGHTS, metadata={"format": "pt"})
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
    (folder / checkpoint.WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(checkpoint.weights(folder)) > 1
    contents: list[Content] = [Text("a cat"), picture(3)]
    np.testing.assert_allclose(encoder(folder).encode(contents), loaded["clip"].encode(contents), atol=1e-6)
    checkpoint.weights(folder)[0].unlink()
    with pytest.raises(BadModel, match=r"has no model\.safetensors"):
        encoder(folder)
    half = copy("clip", "half")
    model.half().save_pretrained(half)
    np.testing.assert_allclose(encoder(half).encode(contents), loaded["clip"].encode(contents), atol=2e-2)


def test_nothing_to_encode_is_no_rows_and_sound_is_refused(loaded) -> None:
    assert loaded["clip"].encode([]).shape == (0, 20)
    with pytest.raises(NoSpaceFor):
        loaded["clip"].encode([Audio(np.zeros(8, np.float32), 8000)])
