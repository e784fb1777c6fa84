"""A file of queries and what is found for each: a wrong line costs itself alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from core.errors import BadQuery, NoSuchCollection, Refused
from quiver import Quiver
from quiver.asking import IN_A_REQUEST
from retrieval.request import Answer
from workers.trec import lines_of, located, object_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A line, by its number from 1, its id if it has one, and what is found, or `kind` and `message` of a fault."""

    line: int
    id: str | None = None
    answer: Answer | None = None
    kind: str | None = None
    message: str | None = None


def asked_of(quiver: Quiver, collection: str, path: Path, settings: Mapping[str, Any]) -> Iterator[Asked]:
    """What is found for each line, in order; some dozens are asked at once. A line is an object of what `search` takes,
    by name, and perhaps an `id`; `settings` are those of lines that do not say otherwise. Files lie relative to `path`.

    Raises NoSuchPath, NoSuchCollection, and what is no line's fault.
    """
    lines = lines_of(path)
    while some := list(islice(lines, IN_A_REQUEST)):
        read = [_read(number, text, path.parent, settings) for number, text in some]
        good = [(line, said) for line, said in read if line.kind is None]
        answered = iter(_answered(quiver, collection, good))
        yield from (next(answered) if line.kind is None else line for line, _ in read)


def _read(
    number: int, text: str | BadQuery, folder: Path, settings: Mapping[str, Any]
) -> tuple[Asked, Mapping[str, Any]]:
    try:
        said = _object(text)
        name = said.pop("id", None)
        return Asked(line=number, id=name if name is None else str(name)), {**settings, **located(said, folder)}
    except BadQuery as exc:
        return Asked(line=number, kind=exc.kind, message=str(exc)), {}


def _object(text: str | BadQuery) -> dict[str, Any]:
    if isinstance(text, BadQuery):
        raise text
    return dict(object_of(text))


def _answered(quiver: Quiver, collection: str, asked: list[tuple[Asked, Mapping[str, Any]]]) -> list[Asked]:
    """Those that are asked together; where one of them is refused, each by itself."""
    if not asked:
        return []
    try:
        found = quiver.search_many(collection, [said for _, said in asked])
        return [Asked(line=one.line, id=one.id, answer=answer) for (one, _), answer in zip(asked, found, strict=True)]
    except NoSuchCollection:
        raise
    except Refused as exc:
        if len(asked) > 1:
            return [line for one in asked for line in _answered(quiver, collection, [one])]
        [(one, _)] = asked
        return [Asked(line=one.line, id=one.id, kind=exc.kind, message=str(exc))]
