"""Which models there are, fetching them, and trying whether an encoder keeps its promises."""

from __future__ import annotations

from quiver.base import Base
from quiver.reports import ModelView
from quiver.testing import Tried, findings


class Modelling(Base):
    """The profiles that a collection can be made with."""

    def models(self) -> list[ModelView]:
        """Profiles by name. Others are written hf:ORG/NAME@REVISION or hf:FOLDER, and several are joined by `+`."""
        return [
            ModelView(
                name=each.name,
                model=each.model,
                embeds=each.embeds,
                about=each.about,
                here=each.here,
                megabytes=each.megabytes,
            )
            for each in self._parts.encoders.listing()
        ]

    def pull(self, profile: str) -> list[str]:
        """Download what is not on this machine, and check its bytes against the hub's checksums; each model with its
        commit. Raises UnknownProfile, MissingExtra, BadModel."""
        return self._parts.encoders.pull(profile)

    def check(self, profile: str) -> dict[str, Tried]:
        """Load the profile's models and try every promise of an encoder, by space; and by which way each of its towers
        is computed on this machine. Raises as `pull`."""
        return {
            encoder.space.name: Tried(findings(encoder), encoder.how)
            for encoder in self._parts.encoders.of_profile(profile)
        }
