"""`python -m tests.launch worker ...`: `quiver` with a family of toy encoders as slow as small models."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from core.encoders import registry
from core.ports import Embeds
from core.spaces import Dense
from core.types import Content
from tests.doubles import ColourEncoder, WordEncoder

PROFILE = "toy"


@dataclass
class SlowColours(ColourEncoder):
    """4 ms a thing, and 20 ms a batch."""

    def encode(self, contents: Sequence[Content]) -> Dense:
        """See the port."""
        time.sleep(0.02 + 0.004 * len(contents))
        return super().encode(contents)


class Family:
    """As an entry point."""

    def load(self) -> registry.Family:
        """The function that makes the encoders."""
        return make


def make(_argument: str = "") -> Sequence[Embeds]:
    """The encoders of the profile `toy`."""
    return [SlowColours(), WordEncoder()]


if __name__ == "__main__":
    registry.families = lambda: {PROFILE: Family()}  # type: ignore[dict-item]  # as an entry point, which cannot be made
    from quiver.cli import up
    from quiver.cli.app import main

    up.ME = (sys.executable, "-m", "tests.launch")
    sys.argv[0] = "quiver"
    main()
