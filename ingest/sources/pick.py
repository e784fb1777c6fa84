"""Which names of a listing are taken: patterns as .gitignore writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pathspec import GitIgnoreSpec

from core.errors import BadQuery


@dataclass(frozen=True)
class Pick:
    """Names by pattern, relative to the root, with `/`: `*.jpg` at any depth, `raw/` a folder, `/a/**` from the root.

    With patterns in `glob`, a name must match one of them; one that matches `exclude` is left out, and a folder with
    all that is in it. Raises BadQuery for what is no pattern. Syntax: the manual page gitignore(5).
    """

    glob: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self._wanted is not self._left_out  # both are read here, so that a bad one is told at once

    @cached_property
    def _wanted(self) -> GitIgnoreSpec:
        return _spec(self.glob)

    @cached_property
    def _left_out(self) -> GitIgnoreSpec:
        return _spec(self.exclude)

    def takes(self, name: str) -> bool:
        """Whether a file of that name is taken."""
        return (not self.glob or self._wanted.match_file(name)) and not self._left_out.match_file(name)

    def enters(self, folder: str) -> bool:
        """Whether there is anything to look for in a folder."""
        return not self.exclude or not self._left_out.match_file(f"{folder}/")


def _spec(patterns: Sequence[str]) -> GitIgnoreSpec:
    for pattern in patterns:
        if not pattern.strip() or pattern.lstrip().startswith(("!", "#")):
            raise BadQuery(
                f"{pattern!r} is no pattern: write *.jpg, **/raw/*.png or drafts/; what is not to be taken "
                "goes into exclude"
            )
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as exc:
        raise BadQuery(f"a pattern cannot be read ({exc}): write *.jpg, **/raw/*.png or drafts/") from exc
