"""Profiles: a name to the encoders of a collection. Families are plug-ins by the entry-point group quiver.encoders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from core.encoders.checked import Checked
from core.errors import MissingExtra, ModelMismatch, UnknownProfile
from core.ports import Embeds, Encoder
from core.spaces import EmbeddingSpace

GROUP = "quiver.encoders"
Family = Callable[[str], Sequence[Embeds]]  # what a plug-in exports: its argument to its encoders, weights not loaded


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

    def of_profile(self, profile: str) -> tuple[Encoder, ...]:
        """`packaged`, `clip:FOLDER`, or several joined by `+`. Raises UnknownProfile, MissingExtra, BadModel."""
        with self._lock:
            if profile not in self._made:
                made = tuple(e for part in profile.split("+") for e in self._make(part.strip()))
                names = [e.space.name for e in made]
                if len(set(names)) != len(names):
                    raise UnknownProfile(f"{profile!r} has two spaces of one name: {', '.join(names)}")
                self._made[profile] = tuple(Checked(encoder) for encoder in made)
            return self._made[profile]

    def of_space(self, profile: str, space: EmbeddingSpace) -> Encoder:
        """The encoder that makes exactly this space. Raises ModelMismatch when the profile's model has changed."""
        for encoder in self.of_profile(profile):
            if encoder.space.fingerprint == space.fingerprint:
                return encoder
        raise ModelMismatch(
            f"the index holds {space.name} of {space.model} ({space.fingerprint}); profile {profile!r} makes "
            + ", ".join(f"{e.space.name} ({e.space.fingerprint})" for e in self.of_profile(profile))
            + ": install the model that wrote it, or ingest into another collection"
        )

    def _make(self, part: str) -> Sequence[Embeds]:
        name, _, argument = part.partition(":")
        if name in self._more:
            return self._more[name](argument)
        known = families()
        if name not in known:
            there = ", ".join(sorted({*known, *self._more}))
            raise UnknownProfile(f"there is no profile {name!r}; there is: {there}")
        try:
            family = cast(Family, known[name].load())
        except ModuleNotFoundError as exc:
            raise MissingExtra(f"profile {name!r} needs the package {exc.name}: pip install {exc.name}") from exc
        return family(argument)
