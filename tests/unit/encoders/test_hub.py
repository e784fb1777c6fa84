"""Models of the Hugging Face Hub: the cached one, the downloaded one, and neither."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from core.encoders import files
from core.encoders.hub import verify
from core.encoders.profiles import PROFILES
from core.encoders.registry import Encoders
from core.errors import BadModel, ModelMismatch
from core.types import Text
from tests.checkpoints import cached, encoder, modules
from tests.hub import COMMIT, OFFER, Hub, Repository, files_of, serving


def test_a_space_is_known_without_torch_even_of_a_cached_hub_model(made, tmp_path) -> None:
    commit = cached(made, tmp_path / "hf")
    code = (
        "import sys; from core.encoders.models import make\n"
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
    next(cache.rglob(files.WEIGHTS)).unlink()
    with pytest.raises(BadModel, match="hf download some/clip"):
        encoder("some/clip")


@pytest.fixture
def hub(cache, monkeypatch) -> Iterator[Hub]:
    with serving() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "".join(template[1:]))
        yield hub


def test_a_hub_model_is_downloaded_once_and_pinned_to_its_commit(made, loaded, hub, monkeypatch) -> None:
    hub.repositories["some/clip"] = Repository.of(made["clip"])
    hub.repositories["some/clip"].files[COMMIT] |= {"pytorch_model.bin": b"pickle", "evil.py": b"raise SystemExit"}
    there = encoder("some/clip")
    assert (there.space.model, there.space.revision) == ("some/clip", COMMIT)
    np.testing.assert_allclose(there.encode([Text("a")]), loaded["clip"].encode([Text("a")]), atol=1e-6)
    assert files.WEIGHTS in hub.asked
    assert not {"pytorch_model.bin", "evil.py"} & set(hub.asked)
    hub.asked.clear()
    assert encoder(f"some/clip@{COMMIT}").space == encoder("some/clip@main").space == there.space
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert encoder("some/clip").space == there.space
    assert hub.asked == []


def test_of_sentence_transformers_its_small_files_are_downloaded_too(made, copy, hub) -> None:
    folder = copy("bert")
    modules(folder, "cls_token")
    hub.repositories["some/text"] = Repository.of(folder)
    assert "cls" in encoder("some/text").space.recipe


def test_an_index_is_read_by_the_commit_that_wrote_it_when_the_hub_has_moved_on(made, copy, hub) -> None:
    kept = Repository.of(made["clip"])
    hub.repositories["some/clip"] = kept
    before = encoder("some/clip")
    changed_folder = copy("clip")
    build_again(changed_folder)
    kept.files["e" * 40], kept.refs["main"] = files_of(changed_folder), "e" * 40
    shutil.rmtree(Path(huggingface_hub.constants.HF_HUB_CACHE))  # another machine
    encoders = Encoders()
    (now,) = encoders.of_profile("hf:some/clip")
    assert now.space.revision == "e" * 40
    there = encoders.of_space("hf:some/clip", before.space)
    assert there.space == before.space
    assert encoders.of_space("hf:some/clip", before.space) is there
    np.testing.assert_allclose(np.asarray(there.encode([Text("a")])), before.encode([Text("a")]), atol=1e-6)
    with pytest.raises(ModelMismatch, match="20 dimensions"):
        encoders.of_space("hf:some/clip", replace(before.space, recipe="another"))


def build_again(folder: Path) -> None:
    weights = load_file(folder / files.WEIGHTS)
    save_file({name: value + 0.01 for name, value in weights.items()}, folder / files.WEIGHTS)


def pickled(folder: Path) -> dict[str, bytes]:
    there = files_of(folder)
    return {name: data for name, data in there.items() if name != files.WEIGHTS} | {"pytorch_model.bin": b"pickle"}


def test_of_a_pickled_model_the_safetensors_are_taken_that_the_hubs_converter_offers(made, hub, monkeypatch) -> None:
    offer = {"title": "Adding `safetensors` variant of this model", "status": "open", "author": "SFconvertbot"}
    hub.repositories["some/old"] = Repository(
        {COMMIT: pickled(made["clip"]), OFFER: files_of(made["clip"])},
        refs={"main": COMMIT, "refs/pr/4": OFFER},
        offers=[offer | {"author": "mallory"}, offer | {"status": "closed"}, offer],
    )
    assert encoder("some/old").space.revision == OFFER
    assert "pytorch_model.bin" not in hub.asked
    hub.asked.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert encoder("some/old").space.revision == OFFER
    assert hub.asked == []


@pytest.mark.parametrize("offers", [[], [{"title": "safetensors", "status": "open", "author": "mallory"}]])
def test_a_model_that_is_pickle_only_is_refused_before_anything_is_downloaded(made, hub, offers) -> None:
    hub.repositories["some/old"] = Repository({COMMIT: pickled(made["clip"])}, offers=offers)
    with pytest.raises(BadModel, match=r"some/old at main has no model\.safetensors: pickled .* never read.*convert"):
        encoder("some/old")
    assert hub.asked == []


def test_a_gated_model_says_where_its_conditions_are_accepted(made, hub, monkeypatch) -> None:
    hub.repositories["some/gated"] = replace(Repository.of(made["clip"]), gated=True)
    for token in (None, "hf_token"):
        monkeypatch.setattr(huggingface_hub.utils._auth, "get_token", lambda token=token: token)
        with pytest.raises(BadModel, match=r"some/gated is gated: accept .*huggingface\.co/some/gated.*hf auth login"):
            encoder("some/gated")


def test_a_model_or_a_revision_that_is_not_there_is_named(made, hub) -> None:
    hub.repositories["some/clip"] = Repository.of(made["clip"])
    with pytest.raises(BadModel, match="some/clap is no folder here and no model that the hub shows: check its name"):
        encoder("some/clap")
    with pytest.raises(BadModel, match=r"some/clip has no revision v2: .*some/clip/commits"):
        encoder("some/clip@v2")


def test_a_hub_that_does_not_answer_is_told(hub, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BadModel, match=r"some/clip .* cannot be downloaded: try `hf download some/clip`"):
        encoder("some/clip")


def test_a_download_that_breaks_off_is_not_taken_for_whole(made, hub, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)  # between attempts
    whole = Repository.of(made["clip"])
    hub.repositories["some/clip"] = replace(whole, cut=files.WEIGHTS)
    with pytest.raises(BadModel, match=r"some/clip .* cannot be downloaded"):
        encoder("some/clip")
    hub.repositories["some/clip"] = whole
    assert encoder("some/clip").encode_query(Text("a")).shape == (20,)


@pytest.mark.parametrize("path", [files.WEIGHTS, "config.json"])
def test_bytes_that_are_not_those_of_the_hubs_checksum_are_deleted(made, hub, path) -> None:
    whole = Repository.of(made["clip"])
    hub.repositories["some/clip"] = replace(whole, damaged=path)
    with pytest.raises(BadModel, match=rf"{path} of models--some--clip .*checksum.*deleted: download it again"):
        encoder("some/clip")
    hub.repositories["some/clip"] = whole
    assert encoder("some/clip").encode_query(Text("a")).shape == (20,)


def test_a_model_that_was_damaged_since_is_found_by_pull_and_downloaded_again(made, hub, cache) -> None:
    hub.repositories["some/clip"] = Repository.of(made["clip"])
    assert Encoders().pull("hf:some/clip") == [f"some/clip at {COMMIT}"]
    assert Encoders().pull("hf:some/clip+packaged") == [f"some/clip at {COMMIT}"]
    blob = next(cache.rglob(files.WEIGHTS)).resolve()
    blob.write_bytes(blob.read_bytes()[:-16] + b"\0" * 16)
    with pytest.raises(BadModel, match="checksum"):
        Encoders().pull("hf:some/clip")
    assert Encoders().pull("hf:some/clip") == [f"some/clip at {COMMIT}"]
    assert Encoders().pull(f"hf:{made['clip']}")[0].startswith("clip at ")


def copied(folder: Path) -> Path:
    """The snapshot of a cache whose links a copy has followed, or that never had any, as on Windows."""
    shutil.copytree(folder, folder.with_name("copied"))
    shutil.rmtree(folder)
    return folder.with_name("copied").rename(folder)


def snapshot_of(hub: Hub, made_of: Path) -> Path:
    hub.repositories["some/clip"] = Repository.of(made_of)
    folder: Path = encoder("some/clip")._inner.checkpoint.folder
    return folder


@pytest.mark.parametrize("path", [files.WEIGHTS, "config.json"])
def test_files_that_are_no_links_are_compared_with_what_the_hub_says(made, hub, path) -> None:
    there = copied(snapshot_of(hub, made["clip"]))
    assert verify("some/clip", there) == []
    (there / path).write_bytes((there / path).read_bytes()[:-1] + b" ")
    with pytest.raises(BadModel, match=rf"{path} of models--some--clip .*checksum.*deleted: download it again"):
        verify("some/clip", there)
    assert encoder("some/clip").encode_query(Text("a")).shape == (20,)
    assert verify("some/clip", there) == []


def test_files_that_nothing_says_a_checksum_of_are_named(made, hub, monkeypatch, caplog) -> None:
    there = copied(snapshot_of(hub, made["clip"]))
    (there / "mine.txt").write_text("not of the hub")
    assert verify("some/clip", there) == ["mine.txt"]
    (there / "mine.txt").unlink()
    everything = sorted(path.name for path in there.iterdir())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert verify("some/clip", there) == everything
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert verify("some/clip", there) == everything
    assert "does not say the checksums of some/clip" in caplog.text
    (said,) = Encoders().pull("hf:some/clip")
    assert said.endswith(f"not compared with a checksum: {', '.join(everything)}")


@pytest.mark.parametrize("damaged", [False, True])
def test_bytes_that_models_share_are_compared_by_the_name_of_their_own_blob(made, hub, cache, damaged) -> None:
    """The hub's library keeps what it fetched in chunks once for all models, under a name of another kind."""
    there = snapshot_of(hub, made["clip"])
    blob = (there / files.WEIGHTS).resolve()
    shared = blob.parents[2] / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    if not damaged:
        assert verify("some/clip", there) == []
        return
    shared.write_bytes(shared.read_bytes()[:-1] + b" ")
    with pytest.raises(BadModel, match="checksum"):
        verify("some/clip", there)
    assert not shared.exists()
    assert not blob.is_symlink()
    assert encoder("some/clip").encode_query(Text("a")).shape == (20,)


def test_named_profiles_are_rows_of_a_table_that_are_listed_and_made(made, hub) -> None:
    hub.repositories[PROFILES["e5"].model] = Repository.of(made["xlm-roberta"])
    hub.repositories[PROFILES["clip"].model] = Repository.of(made["clip"])
    assert [row.name for row in Encoders().listing()] == [*PROFILES]
    assert [row.name for row in Encoders().listing() if row.here] == ["packaged"]
    text, both = Encoders().of_profile("e5 + clip")
    assert (text.space.name, both.space.name) == ("text", "clip")
    assert "query='query: ', document='passage: '" in text.space.recipe
    here = {row.name: row for row in Encoders().listing() if row.here}
    assert here.keys() == {"packaged", "e5", "clip"}
    assert here["clip"].embeds == both.space.modalities
