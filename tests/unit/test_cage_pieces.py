"""A long file decoded in a child process: a piece at a time, and no further than somebody asks."""

from __future__ import annotations

from typing import Any

from core.types import Modality, Wants
from ingest.limits import Limits
from tests.cages import making, stub, told


def test_a_long_file_comes_in_pieces_and_its_child_is_used_again_when_all_were_taken() -> None:
    with making() as cages:
        cage = cages(stub())
        asked: Any = {"modality": Modality.TEXT, "media_type": "x/y", "limits": Limits(), "wants": Wants()}
        made = list(cage.prepare(b"pieces:5", **asked))
        assert len(made) == 5
        assert [piece.last for piece in made] == [False] * (len(made) - 1) + [True]
        assert [s.ordinal for piece in made for s in piece.segments] == list(range(sum(len(p.segments) for p in made)))
        first = told(cage)["pid"]
        left = cage.prepare(b"pieces:5", **asked)
        next(left)
        left.close()  # nobody wants the rest
        second = told(cage)["pid"]
        assert first != second
        fresh = cage.prepare(b"pieces:1", fresh=True, **asked)
        assert next(fresh).last
        fresh.close()
        assert told(cage)["pid"] != second
