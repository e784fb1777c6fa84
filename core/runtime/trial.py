"""An encoder under the checks that every encoder of a collection runs under, for whoever tries one."""

from __future__ import annotations

from core.encoders.checked import Checked
from core.ports import Embeds, Encoder


def checked(encoder: Embeds) -> Encoder:
    """As Quiver would ask it."""
    return encoder if isinstance(encoder, Checked) else Checked(encoder)
