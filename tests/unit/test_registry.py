"""Profiles to encoders: made once, checked, and never of another model than the index was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import tests
from core.encoders import registry
from core.encoders.checked import Checked
from core.encoders.registry import Encoders, families
from core.errors import BadModel, MissingExtra, ModelMismatch, UnknownProfile
from core.ports import Embeds, Encoder
from core.types import Modality
from tests.doubles import ColourEncoder, WordEncoder, toy


def colours(_argument: str) -> Sequence[Embeds]:
    return [ColourEncoder()]


def named(argument: str) -> Sequence[Embeds]:
    return [ColourEncoder(space=replace(ColourEncoder().space, name=argument or "unnamed"))]


def test_the_installed_families_are_found_by_name() -> None:
    assert {"packaged", "clip"} <= set(families())


def test_a_profile_is_made_once_and_shared_by_threads() -> None:
    calls: list[str] = []
    together = threading.Barrier(4)

    def slow(argument: str) -> Sequence[Embeds]:
        calls.append(argument)
        threading.Event().wait(0.02)  # a second maker would come in meanwhile
        return toy()

    encoders = Encoders({"slow": slow})
    got: list[tuple[Encoder, ...]] = []

    def ask() -> None:
        together.wait()
        got.append(encoders.of_profile("slow"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [""]
    assert len({id(made) for made in got}) == 1


def test_every_encoder_is_checked() -> None:
    made = Encoders({"toy": toy}).of_profile("toy")
    assert [encoder.space.name for encoder in made] == ["colour", "words"]
    assert all(isinstance(encoder, Checked) for encoder in made)


def test_a_profile_hands_its_argument_on_and_joins_several() -> None:
    encoders = Encoders({"named": named, "toy": toy})
    made = encoders.of_profile("named:/models/a:b + toy")
    assert [encoder.space.name for encoder in made] == ["/models/a:b", "colour", "words"]


def test_two_spaces_of_one_name_are_refused() -> None:
    with pytest.raises(UnknownProfile, match="two spaces of one name: colour, colour"):
        Encoders({"a": colours, "b": colours}).of_profile("a+b")


@pytest.mark.parametrize("profile", ["nobody", "", "toy+nobody", "toy+"])
def test_an_unknown_profile_is_refused_and_the_known_are_listed(profile: str) -> None:
    with pytest.raises(UnknownProfile, match=r"there is no profile.*packaged.*toy"):
        Encoders({"toy": toy}).of_profile(profile)


def test_a_profile_of_the_table_takes_no_argument() -> None:
    with pytest.raises(UnknownProfile, match="the profile e5 takes nothing after its name; write e5, or hf:some/model"):
        Encoders().of_profile("e5:some/model")
    with pytest.raises(UnknownProfile, match=r"there is: .*bge-m3, clap, clip:FOLDER or .*hf:FOLDER or .*siglip2"):
        Encoders().of_profile("nobody")


def test_a_profile_whose_package_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"far": EntryPoint("far", "no_such_package_at_all.encoders:make", registry.GROUP)}
    monkeypatch.setattr(registry, "families", lambda: there)
    with pytest.raises(MissingExtra, match="'far' needs the package no_such_package_at_all"):
        Encoders().of_profile("far")


def broken(argument: str) -> Any:
    """A family that keeps no promise."""
    match argument:
        case "raises":
            raise RuntimeError("the licence has run out")
        case "one":
            return ColourEncoder()
        case "strange":
            return [object()]
        case _:
            return {"nothing": None, "empty": []}[argument]


@pytest.mark.parametrize(
    ("where", "argument", "why"),
    [
        ("tests.broken_on_import:make", "", "ZeroDivisionError: division by zero"),
        ("tests.unit.test_registry:no_such_thing", "", "AttributeError: module .* has no attribute 'no_such_thing'"),
        ("tests.unit.test_registry:broken", "raises", "RuntimeError: the licence has run out"),
        ("tests.unit.test_registry:broken", "nothing", "TypeError: 'NoneType' object is not iterable"),
        ("tests.unit.test_registry:broken", "one", "TypeError: 'ColourEncoder' object is not iterable"),
        ("tests.unit.test_registry:broken", "strange", "TypeError: it makes object, which has no space and encode"),
        ("tests.unit.test_registry:broken", "empty", "TypeError: it makes no encoder"),
    ],
)
def test_a_broken_plug_in_is_a_bad_model_that_says_where_what_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, argument: str, why: str
) -> None:
    (tmp_path / "broken_on_import.py").write_text("1 / 0")
    monkeypatch.setattr("tests.__path__", [*tests.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "families", lambda: {"mine": EntryPoint("mine", where, registry.GROUP)})
    with pytest.raises(
        BadModel, match=rf"^profile 'mine:{argument}': its plug-in {where} cannot be used \({why}\): mend"
    ):
        Encoders().of_profile(f"mine:{argument}")


def test_a_plug_in_is_loaded_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"mine": EntryPoint("mine", "tests.doubles:toy", registry.GROUP)}
    monkeypatch.setattr(registry, "families", lambda: there)
    assert [encoder.space.name for encoder in Encoders().of_profile("mine")] == ["colour", "words"]


def test_the_encoder_of_a_space_is_the_one_that_made_it_whatever_the_space_is_called() -> None:
    encoders = Encoders({"toy": toy})
    renamed = replace(WordEncoder().space, name="renamed since")
    assert encoders.of_space("toy", renamed).space.name == "words"


@pytest.mark.parametrize(
    "change",
    [
        lambda space: replace(space, revision="2"),
        lambda space: replace(space, dim=5),
        lambda space: replace(space, recipe="other"),
        lambda space: replace(space, head="aligned"),
    ],
)
def test_another_model_than_the_indexs_is_a_mismatch(change: Callable[..., ColourEncoder]) -> None:
    encoders = Encoders({"toy": toy})
    with pytest.raises(ModelMismatch, match=r"the index holds colour of toy.*install the model that wrote it"):
        encoders.of_space("toy", change(ColourEncoder().space))  # type: ignore[arg-type]  # a changed space


def test_a_folder_is_kept_by_its_whole_path_and_all_else_as_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ck/clip0").mkdir(parents=True)
    (tmp_path / "toy").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    absolute = Encoders({"toy": toy}).absolute
    assert absolute("hf:ck/clip0") == absolute("hf:~/ck/../ck/clip0") == f"hf:{tmp_path}/ck/clip0"
    assert absolute("toy + clip:ck/clip0") == f"toy+clip:{tmp_path}/ck/clip0"
    for said in ("toy", "toy:toy", "hf:some/model@main", "packaged + clap", "hf:", f"hf:{tmp_path}/ck/clip0"):
        assert absolute(said) == said


def test_a_folder_whose_path_would_read_as_two_profiles_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c++/model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "c++")
    with pytest.raises(BadModel, match=r"hf:model: a \+ joins profiles, and .*c\+\+/model has one: link to it"):
        Encoders().of_profile("hf:model")


def test_a_folder_is_loaded_once_however_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    encoders = Encoders({"hf": named})
    [made] = encoders.of_profile("hf:model")
    assert made.space.name == str(tmp_path / "model")
    assert encoders.of_profile(f"hf:{tmp_path}/model") == (made,)


def test_profiles_are_named_by_what_they_embed() -> None:
    embedding = Encoders().embedding
    assert embedding(Modality.AUDIO) == ["clap"]
    assert embedding(Modality.IMAGE, Modality.AUDIO) == ["packaged", "clip", "siglip2", "clap", "dinov2"]
    assert embedding(Modality.VIDEO) == []
