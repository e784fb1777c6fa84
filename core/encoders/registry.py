"""Profiles to the encoders of a collection. Families are plug-ins by the entry-point group quiver.encoders."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

import numpy as np

from core.encoders.checked import Checked
from core.encoders.profiles import PROFILES
from core.errors import BadModel, Fault, MissingExtra, ModelMismatch, UnknownProfile
from core.ports import Embeds, Encoder
from core.spaces import EmbeddingSpace
from core.types import Image, Modality, Text

GROUP = "quiver.encoders"
WITH_ARGUMENT = {"hf": "hf:FOLDER or hf:ORG/NAME@REVISION", "clip": "clip:FOLDER or clip:ORG/NAME@REVISION"}
Family = Callable[[str], Sequence[Embeds]]  # what a plug-in exports: its argument to its encoders, weights not loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A profile that can be named. `model` is its hub id; empty: its weights are in the package that brings it."""

    name: str
    model: str
    embeds: frozenset[Modality]  # empty: known once it is made
    about: str
    here: bool  # nothing has to be downloaded
    megabytes: int  # to download, about


def families() -> dict[str, EntryPoint]:
    """The installed families by name."""
    return {found.name: found for found in entry_points(group=GROUP)}


class Encoders:
    """The encoders of this process, made once a profile and shared: weights are loaded once."""

    def __init__(self, more: Mapping[str, Family] | None = None) -> None:
        """`more` are families beside the installed ones."""
        self._more = dict(more or {})
        self._lock = threading.Lock()
        self._made: dict[str, tuple[Encoder, ...]] = {}
        self._embeds: dict[str, tuple[Embeds, ...]] = {}
        self._pinned: dict[tuple[str, str], Encoder] = {}

    def of_profile(self, profile: str) -> tuple[Encoder, ...]:
        """`packaged`, `siglip2`, `hf:ORG/NAME`, `clip:FOLDER`, or several joined by `+`.

        Raises UnknownProfile, MissingExtra, BadModel.
        """
        with self._lock:
            if profile not in self._made:
                whole = self.absolute(profile)
                if whole not in self._made:
                    made = tuple(e for part in whole.split("+") for e in self._make(part.strip()))
                    names = [e.space.name for e in made]
                    if len(set(names)) != len(names):
                        raise UnknownProfile(f"{profile!r} has two spaces of one name: {', '.join(names)}")
                    self._embeds[whole] = made
                    self._made[whole] = tuple(Checked(encoder) for encoder in made)
                self._embeds[profile], self._made[profile] = self._embeds[whole], self._made[whole]
            return self._made[profile]

    def warm(self, profile: str, *spaces: EmbeddingSpace) -> None:
        """Load the models of a profile, or of these spaces, by asking them something. Raises what keeps them off."""
        for encoder in [self.of_space(profile, space) for space in spaces] or self.of_profile(profile):
            if Modality.TEXT in encoder.space.modalities:
                encoder.encode_query(Text("ready"))
            elif Modality.IMAGE in encoder.space.modalities:
                encoder.encode_query(Image(np.zeros((8, 8, 3), np.uint8)))

    def absolute(self, profile: str) -> str:
        """The profile with the whole paths of the folders in it: it means the same wherever a process stands.

        Raises BadModel for a path with `+` in it, which joins profiles.
        """
        said = [part.strip() for part in profile.split("+")]
        whole = [_absolute(part) for part in said]
        return profile if whole == said else "+".join(whole)

    def of_space(self, profile: str, space: EmbeddingSpace) -> Encoder:
        """The encoder that makes exactly this space, of an earlier commit of its model where the hub has moved on.

        Raises ModelMismatch when the profile's model has changed, BadModel.
        """
        for encoder in self.of_profile(profile):
            if encoder.space.fingerprint == space.fingerprint:
                return encoder
        if (kept := self._at(profile, space)) is not None:
            return kept
        raise ModelMismatch(
            f"the index holds {space.name} of {space.model} ({space.dim} dimensions, {space.fingerprint}); profile "
            f"{profile!r} makes "
            + ", ".join(f"{e.space.name} ({e.space.dim}, {e.space.fingerprint})" for e in self.of_profile(profile))
            + ": install the model that wrote it, or ingest into another collection"
        )

    def listing(self) -> list[Listed]:
        """The profiles that have names: the table's, then those of plug-ins. None is made."""
        from core.encoders.hub import cached

        own = [
            Listed(
                name=name,
                model=row.model,
                embeds=row.embeds,
                about=row.about,
                here=not row.model or cached(row.model) is not None,
                megabytes=row.megabytes,
            )
            for name, row in PROFILES.items()
        ]
        others = sorted({*families(), *self._more} - {*PROFILES, *WITH_ARGUMENT})
        nothing = frozenset[Modality]()
        return own + [
            Listed(name=name, model="", embeds=nothing, about="a plug-in", here=True, megabytes=0) for name in others
        ]

    def embedding(self, *contents: Modality) -> list[str]:
        """The profiles of the table that embed one of these."""
        return [name for name, row in PROFILES.items() if row.embeds & set(contents)]

    def pull(self, profile: str) -> list[str]:
        """Download what the profile's models lack here and check all of their files; the commits by hub id.

        Raises UnknownProfile, MissingExtra, BadModel.
        """
        self.of_profile(profile)
        done = []
        for encoder in self._embeds[profile]:
            ask: Callable[[], str] | None = getattr(encoder, "pull", None)
            if ask is not None:
                done.append(ask())
        return done

    def _at(self, profile: str, space: EmbeddingSpace) -> Encoder | None:
        with self._lock:
            key = profile, space.fingerprint
            for encoder in self._embeds[profile] if key not in self._pinned else ():
                ask: Callable[[EmbeddingSpace], Embeds | None] | None = getattr(encoder, "of", None)
                found = ask(space) if ask is not None else None
                if found is not None and found.space.fingerprint == space.fingerprint:
                    self._pinned[key] = Checked(found)
            return self._pinned.get(key)

    def _make(self, part: str) -> Sequence[Embeds]:
        name, colon, argument = part.partition(":")
        if name in self._more:
            with _translated(part):
                return _checked(self._more[name](argument))
        if name in PROFILES and PROFILES[name].model and not colon:
            from core.encoders.models import made

            return made(name, PROFILES[name].model, PROFILES[name].prompts)
        known = families()
        if name in PROFILES and name not in known:
            raise UnknownProfile(f"the profile {name} takes nothing after its name; write {name}, or hf:{argument}")
        if name not in known:
            there = sorted({*known, *self._more, *PROFILES} - WITH_ARGUMENT.keys() | {*WITH_ARGUMENT.values()})
            raise UnknownProfile(f"there is no profile {name!r}; there is: {', '.join(there)}")
        with _translated(part, known[name]):
            return _checked(cast(Family, known[name].load())(argument))


def _absolute(part: str) -> str:
    name, _, argument = part.partition(":")
    folder = Path(argument).expanduser()
    if name not in WITH_ARGUMENT or not argument or not folder.is_dir():
        return part
    path = os.path.abspath(folder)  # noqa: PTH100  # resolve() would follow links, whose name may be the stable one
    if "+" in path:
        raise BadModel(f"{part}: a + joins profiles, and {path} has one: link to it from a folder without")
    return f"{name}:{path}"


@contextmanager
def _translated(part: str, entry: EntryPoint | None = None) -> Iterator[None]:
    """The seam of every family, which is anybody's code."""
    try:
        yield
    except Fault:
        raise
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"profile {part!r} needs the package {exc.name}: pip install {exc.name}") from exc
    except Exception as exc:
        whose = f" {entry.value}" if entry is not None else ""
        raise BadModel(
            f"profile {part!r}: its plug-in{whose} cannot be used ({type(exc).__name__}: {exc}): mend or update the "
            "package that brings it, or name another profile"
        ) from exc


def _checked(made: Sequence[Embeds]) -> Sequence[Embeds]:
    """What a family returned. Raises TypeError, whatever its properties raise."""
    for encoder in made:
        if not (isinstance(getattr(encoder, "space", None), EmbeddingSpace) and callable(encoder.encode)):
            raise TypeError(f"it makes {type(encoder).__name__}, which has no space and encode")
    if not made:
        raise TypeError("it makes no encoder")
    return made
