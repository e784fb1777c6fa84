"""Options of a stage: as text from a command line or as JSON, read with BadQuery for what is not understood."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from core.errors import BadQuery

DEEPEST = 1000  # hits that a stage looks at
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|y)?")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_557_600.0, "": 1.0}


class Options:
    """What was said of a stage. Each reader takes an option out; `done` refuses what is left."""

    def __init__(self, stage: str, said: Mapping[str, Any]) -> None:
        self._stage, self._said, self._known = stage, dict(said), list[str]()

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text. Raises BadQuery."""
        held = self._take(name)
        if held is None:
            return default
        if isinstance(held, bool) or not isinstance(held, (str, int, float)) or not str(held).strip():
            raise self.wrong(name, held, "a text")
        return str(held)

    def choice(self, name: str, among: Mapping[str, Any] | tuple[str, ...], default: str) -> str:
        """One of these. Raises BadQuery."""
        held = self._take(name)
        if held is not None and (not isinstance(held, str) or held not in among):
            raise self.wrong(name, held, " or ".join(among))
        return default if held is None else str(held)

    def number(self, name: str, default: float | None, low: float, high: float = math.inf) -> float | None:
        """A number from `low` to `high`. Raises BadQuery."""
        held = self._take(name)
        if held is None:
            return default
        try:
            value = math.nan if isinstance(held, bool) else float(held)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            reach = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
            raise self.wrong(name, held, f"a number {reach}")
        return value

    def share(self, name: str, default: float) -> float:
        """A number from 0 to 1. Raises BadQuery."""
        value = self.number(name, default, 0.0, 1.0)
        assert value is not None
        return value

    def depth(self, default: int) -> int:
        """How many hits the stage looks at. Raises BadQuery."""
        return self.count("depth", default, DEEPEST)

    def count(self, name: str, default: int, most: int) -> int:
        """A whole number from 1. Raises BadQuery."""
        value = self.number(name, float(default), 1.0, float(most))
        assert value is not None
        if value != int(value):
            raise self.wrong(name, value, "a whole number")
        return int(value)

    def flag(self, name: str) -> bool | None:
        """True or false. Raises BadQuery."""
        held = self._take(name)
        read = {"true": True, "false": False}.get(str(held).lower())
        if held is not None and read is None:
            raise self.wrong(name, held, "true or false")
        return read

    def seconds(self, name: str, default: float | None = None, *, zero: bool = False) -> float | None:
        """A duration over 0, as 7d, 12h, 90m, or seconds; or 0, where that is one. Raises BadQuery."""
        held = self._take(name)
        if held is None:
            return default
        found = _DURATION.fullmatch(str(held).strip().lower()) if not isinstance(held, bool) else None
        value = float(found[1]) * _SECONDS[found[2] or ""] if found else math.nan
        if not 0 <= value < math.inf or not (value or zero):
            raise self.wrong(name, held, "a duration, as 7d, 12h, 90m or seconds")
        return value

    def done(self) -> None:
        """Raises BadQuery for options that nobody read."""
        if self._said:
            known = ", ".join(self._known) or "none"
            raise BadQuery(f"{self._stage}: there is no option {min(map(str, self._said))!r}; there is: {known}")

    def wrong(self, name: str, held: object, want: str) -> BadQuery:
        """To be raised: the option is not what it has to be."""
        return BadQuery(f"{self._stage}: {name} is {held!r}: give {want}")

    def _take(self, name: str) -> Any:
        self._known.append(name)
        return self._said.pop(name, None)
