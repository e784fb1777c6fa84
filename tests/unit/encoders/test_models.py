"""Rows of every family are those of the reference model, whatever batch and thread they come from."""

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
from threadpoolctl import threadpool_info, threadpool_limits

from core.encoders import files, loading, models
from core.encoders.checkpoint import Checkpoint
from core.encoders.sentences import Sentences
from core.encoders.tokenizing import Tokenizer
from core.encoders.towers import Towers
from core.errors import BadModel, MissingExtra, NoSpaceFor
from core.types import Audio, Content, Text
from tests.checkpoints import (
    ALL,
    PICTURED,
    READING,
    SOUNDED,
    TEXTS,
    changed,
    encoder,
    modules,
    picture,
    reference,
    sound,
)


def contents_of(family: str, n: int = 6) -> list[Content]:
    """So many of each kind that the family embeds, all different."""
    out: list[Content] = []
    if family in READING:
        out += map(Text, [*TEXTS, *("word " * (i % 9) + str(i) for i in range(n))][:n])
    if family in PICTURED:
        out += (picture(s, 40 + 9 * s % 50, 90 - 7 * s % 50) for s in range(n))
    if family in SOUNDED:
        out += (sound(s, 0.15 + 0.1 * (s % 9)) for s in range(n))
    return out


@pytest.mark.parametrize("family", ALL)
def test_rows_are_those_of_the_reference_model_and_its_processors(made, loaded, family) -> None:
    contents = contents_of(family)
    want = reference(made[family], family, contents)
    for rows in (want[:6], want[-6:]):  # else any row would do
        assert np.median((rows @ rows.T)[np.triu_indices(6, 1)]) < 0.99
    got = loaded[family].encode(contents)
    assert (got * want).sum(1).min() >= 0.9999
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_a_row_depends_on_its_own_content_alone(loaded, family) -> None:
    contents = contents_of(family, models.BATCH + 3 if family in ("clip", "bert") else 6)  # more than one batch of each
    rows = loaded[family].encode(contents)
    order = np.random.default_rng(0).permutation(len(contents))
    np.testing.assert_allclose(loaded[family].encode([contents[i] for i in order]), rows[order], atol=1e-5)
    for i in (0, 1, len(contents) // 2, len(contents) - 1):
        np.testing.assert_allclose(loaded[family].encode([contents[i]])[0], rows[i], atol=1e-5)
        np.testing.assert_allclose(loaded[family].encode_query(contents[i]), rows[i], atol=1e-5)


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2", "chinese-clip", "clap", "xlm-roberta"])
@given(st.lists(st.text(st.characters(codec=None), max_size=40) | st.sampled_from(["", "\ud83d", "\0"]), max_size=3))
def test_any_text_has_a_finite_unit_row(loaded, family, texts) -> None:
    rows = loaded[family].encode([Text(text) for text in texts])
    assert rows.dtype == np.float32
    assert rows.shape == (len(texts), loaded[family].space.dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("family", READING)
def test_a_text_is_read_to_the_models_limit_and_no_further(loaded, family) -> None:
    long, longer, other = (
        loaded[family].encode_query(Text("x" * n + end)) for n, end in ((40, ""), (9999, ""), (5, "y"))
    )
    np.testing.assert_allclose(long, longer, atol=1e-6)
    assert long @ other < 0.999


@pytest.mark.parametrize("family", ["clip", "siglip", "bert"])
def test_threads_share_one_load_and_do_not_disturb_each_other(made, loaded, family, monkeypatch) -> None:
    loads = []
    real = loading.load

    def load(said: Checkpoint, words: Tokenizer | None) -> Towers:
        loads.append(said)
        return real(said, words)

    monkeypatch.setattr(models, "load", load)
    fresh = encoder(made[family])
    texts = [Text("ab " * n) for n in range(24)]
    with ThreadPoolExecutor(6) as pool:
        rows = np.stack(list(pool.map(fresh.encode_query, texts)))
    assert len(loads) == 1
    np.testing.assert_allclose(rows, loaded[family].encode(texts), atol=1e-5)


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_loading_leaves_torch_and_numpy_one_thread_a_lane(made) -> None:
    torch.set_num_threads(2)
    threadpool_limits(2, "blas")
    encoder(made["clip"]).encode_query(Text("a"))
    assert torch.get_num_threads() == 1
    assert blas_threads() == {1}


def test_the_sentence_encoder_leaves_numpy_one_thread_a_lane() -> None:
    threadpool_limits(2, "blas")
    Sentences().embed(["a"])
    assert blas_threads() == {1}


def test_a_weight_that_is_missing_is_not_made_up(copy) -> None:
    folder = copy("clip")
    weights = load_file(folder / files.WEIGHTS)
    del weights["text_projection.weight"]
    save_file(weights, folder / files.WEIGHTS, metadata={"format": "pt"})
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
    (folder / files.WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(files.weights(folder)) > 1
    contents: list[Content] = [Text("a cat"), picture(3)]
    np.testing.assert_allclose(encoder(folder).encode(contents), loaded["clip"].encode(contents), atol=1e-6)
    files.weights(folder)[0].unlink()
    with pytest.raises(BadModel, match=r"has no model\.safetensors"):
        encoder(folder)
    half = copy("clip", "half")
    model.half().save_pretrained(half)
    np.testing.assert_allclose(encoder(half).encode(contents), loaded["clip"].encode(contents), atol=2e-2)


def test_nothing_to_encode_is_no_rows_and_sound_is_refused(loaded) -> None:
    assert loaded["clip"].encode([]).shape == (0, 20)
    with pytest.raises(NoSpaceFor):
        loaded["clip"].encode([Audio(np.zeros(8, np.float32), 8000)])
    with pytest.raises(NoSpaceFor, match="dinov2 embeds image"):
        loaded["dinov2"].encode([Text("a")])


@pytest.mark.parametrize("family", ALL)
def test_a_space_and_what_it_wants_say_what_a_model_embeds(loaded, family) -> None:
    space, wants = loaded[family].space, loaded[family].wants
    assert {str(m) for m in space.modalities} == {content.modality for content in contents_of(family)}
    assert wants.contents == space.modalities
    assert (wants.pixels > 0) == (family in PICTURED)
    assert wants.squashed == (family in ("siglip", "siglip2", "chinese-clip"))  # the others cut out the middle
    assert (wants.rate, wants.seconds) == ((48_000, 1.0) if family in SOUNDED else (0, 10.0))
    names = {"siglip2": "siglip", "clap-fused": "clap"} | dict.fromkeys(set(READING) - {*PICTURED, *SOUNDED}, "text")
    assert space.name == names.get(family, family)


@pytest.mark.parametrize("mode", ["cls_token", "mean_tokens"])
def test_token_states_are_pooled_as_sentence_transformers_files_say(made, copy, mode) -> None:
    folder, contents = copy("bert"), contents_of("bert")
    modules(folder, mode)
    want = reference(made["bert"], "bert", contents, pooling=mode.partition("_")[0])
    np.testing.assert_allclose(encoder(folder).encode(contents), want, atol=1e-5)
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": mode.partition("_")[0]}))
    np.testing.assert_allclose(encoder(folder).encode(contents), want, atol=1e-5)


def test_without_those_files_it_is_the_mean(loaded, copy) -> None:
    folder, contents = copy("bert"), contents_of("bert")
    (folder / "modules.json").unlink()
    np.testing.assert_allclose(encoder(folder).encode(contents), loaded["bert"].encode(contents), atol=1e-6)


def test_what_stands_before_queries_and_documents_is_part_of_the_space(loaded, copy) -> None:
    folder = copy("bert")
    said = {"prompts": {"query": "q: ", "passage": "p: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    asked, plain = encoder(folder), loaded["bert"]
    np.testing.assert_allclose(asked.encode([Text("a cat")])[0], plain.encode_query(Text("p: a cat")), atol=1e-6)
    np.testing.assert_allclose(asked.encode_query(Text("a cat")), plain.encode_query(Text("q: a cat")), atol=1e-6)
    assert asked.space.fingerprint != plain.space.fingerprint
    assert asked.tokens.most == plain.tokens.most - len(plain.tokens.spans("q: "))
    (instead,) = models.made("e5", str(folder), ("query: ", "passage: "))
    np.testing.assert_allclose(
        np.asarray(instead.encode([Text("a")]))[0], plain.encode_query(Text("passage: a")), atol=1e-6
    )


@pytest.mark.parametrize("family", READING)
@given(st.text(max_size=40))
def test_tokens_lie_in_the_text_in_order(loaded, family, text) -> None:
    spans = loaded[family].tokens.spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert list(spans) == sorted(spans)


@pytest.mark.parametrize("family", READING)
def test_as_many_tokens_as_it_says_are_read_and_no_more(loaded, family) -> None:
    model = loaded[family]
    text = " ".join("ab" * model.tokens.most)  # letters, and marks of the begin of a word where there are some
    spans = [(start, end) for start, end in model.tokens.spans(text)][: model.tokens.most]
    read = text[: spans[-1][1]]
    rows = model.encode([Text(read), Text(read + " xyz"), Text(read[:-1] + "z")])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)
    assert rows[0] @ rows[2] < 0.9999


def test_lower_case_does_not_move_the_places_of_tokens(loaded) -> None:
    spans = loaded["siglip2"].tokens.spans("İstanbul AB")
    assert spans[-1] == (10, 11)


def test_a_dense_layer_or_another_pooling_is_refused(copy) -> None:
    folder = copy("bert")
    modules(folder, "max_tokens")
    with pytest.raises(BadModel, match="pooled by max_tokens; mean_tokens or cls_token"):
        encoder(folder)
    modules(folder, include_prompt=False)
    with pytest.raises(BadModel, match="pooled"):
        encoder(folder)
    listed = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*listed[:2], {"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(BadModel, match=r"is made of Transformer, Pooling, Dense; .* can be read"):
        encoder(folder)


def test_the_clip_profile_takes_what_embeds_texts_and_pictures_alone(made) -> None:
    for family in ("clip", "siglip", "chinese-clip"):
        assert encoder(made[family], "clip").space == encoder(made[family], "hf").space
    with pytest.raises(BadModel, match=r"is no CLIP or SigLIP, but text: write hf:"):
        encoder(made["bert"], "clip")
