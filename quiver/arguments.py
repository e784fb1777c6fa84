"""What each argument of a question, a wish or an evaluation has to be, looked at before anything is done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as shortly
from typing import Any, NamedTuple
from uuid import UUID

from core.errors import BadQuery

Fits = Callable[[Any], bool]


class Kind(NamedTuple):
    """What is wanted, in words, and whether a value is that."""

    want: str
    fits: Fits


def _any(*types: type) -> Fits:
    return lambda held: isinstance(held, types)


def _flag(held: Any) -> bool:
    return isinstance(held, bool)


def _whole(held: Any) -> bool:
    return isinstance(held, Integral) and not isinstance(held, bool)


def is_number(held: Any) -> bool:
    """Whether it is one that a float can be made of; true and false are none."""
    if isinstance(held, bool) or not isinstance(held, Real):
        return False
    try:
        float(held)
    except OverflowError:
        return False
    return True


def _list(fits: Fits = lambda _: True) -> Fits:
    return lambda held: isinstance(held, Sequence) and not isinstance(held, (str, bytes)) and all(map(fits, held))


def _several(held: Any) -> bool:
    """Looked at from outside alone: it may be read once only."""
    return isinstance(held, Iterable) and not isinstance(held, (str, bytes, Mapping))


def _file_or(fits: Fits) -> Fits:
    return lambda held: isinstance(held, (str, Path)) or fits(held)


def _by_name(fits: Fits) -> Fits:
    return lambda held: (
        isinstance(held, Mapping) and all(isinstance(name, str) and fits(each) for name, each in held.items())
    )


def _parts_of_one(held: Any) -> bool:
    return isinstance(held, Mapping) and all(
        isinstance(key, (str, int)) and is_number(each) for key, each in held.items()
    )


def _or_none(kind: Kind) -> Kind:
    return Kind(kind.want, lambda held: held is None or kind.fits(held))


_TEXT, _FLAG, _WHOLE = Kind("a text", _any(str)), Kind("true or false", _flag), Kind("a whole number", _whole)
_NUMBER, _FILE = Kind("a number", is_number), Kind("a path, or bytes", _any(str, Path, bytes))
_TEXTS, _EXAMPLES = Kind("a list of texts", _list(_any(str))), Kind("a list of examples", _list())
_CONTENTS = Kind("a list of texts, and of pictures as bytes", _list(_any(str, bytes)))
_SETTINGS = _or_none(Kind("a mapping of what `search` takes", _any(Mapping)))
_IDS = Kind("a list of ids and external ids", _several)

KINDS: Mapping[str, Kind] = {  # but `where` and `vector`: what reads their many forms says what is wrong with them
    "text": _or_none(_TEXT),
    "image": _or_none(_FILE),
    "audio": _or_none(_FILE),
    "video": _or_none(_FILE),
    "like": _or_none(Kind("an id or external id", _any(str, UUID))),
    "mix": _or_none(Kind("a list of parts, as {'text': 'at night', 'weight': 0.5}", _list(_any(Mapping)))),
    "less": _TEXTS,
    "modality": _or_none(Kind("a modality, or a list of them", lambda held: isinstance(held, str) or _several(held))),
    "limit": _WHOLE,
    "offset": _WHOLE,
    "min_score": _or_none(_NUMBER),
    "exact": _FLAG,
    "fusion": _or_none(_TEXT),
    "weights": _or_none(Kind("a number for each space, as {'concept': 0.5}", _by_name(is_number))),
    "rerank": Kind("a list of stages, each a text or a mapping with 'stage'", _list(_any(str, Mapping))),
    "budget": _or_none(_NUMBER),
    "group_by": _or_none(_TEXT),
    "group_size": _WHOLE,
    "without": _IDS,
    "explain": _FLAG,
    "record": _or_none(_FLAG),
    "contents": _CONTENTS,
    "documents": _CONTENTS,
    "positives": _EXAMPLES,
    "negatives": _EXAMPLES,
    "history": _EXAMPLES,
    "seen": Kind(
        f"{_IDS.want}, or a file of them as a pathlib.Path", lambda held: isinstance(held, Path) or _several(held)
    ),
    "strategy": _TEXT,
    "half_life": _or_none(
        Kind("a span of time, as 7d or seconds", lambda held: isinstance(held, (str, timedelta)) or is_number(held))
    ),
    "again": _FLAG,
    "freshness": _or_none(Kind("FIELD:7d, or a mapping of field, half_life and perhaps weight", _any(str, Mapping))),
    "quota": _or_none(Kind("a whole number for each field, as {'brand': 2}", _by_name(_whole))),
    "shares": _or_none(Kind("a part for each value of a field, as {'kind': {'film': 0.3}}", _by_name(_parts_of_one))),
    "fallback": _TEXT,
    "page": _or_none(_TEXT),
    "reasons": _FLAG,
    "queries": _or_none(Kind("a file of JSON Lines, or a list of mappings", _file_or(_several))),
    "qrels": _or_none(Kind("a file, or query to asset to a whole number", _file_or(_by_name(_by_name(_whole))))),
    "pairs": _or_none(Kind("a file, or a list of a caption and an asset each", _file_or(_several))),
    "settings": _SETTINGS,
    "against_settings": _SETTINGS,
    "against": _or_none(_TEXT),
    "at": Kind("a list of whole numbers", _list(_whole)),
    "depth": _WHOLE,
    "by": _TEXTS,
    "filters": _TEXTS,
    "recall_sample": _WHOLE,
    "seed": _WHOLE,
}


def check(said: Mapping[str, Any]) -> None:
    """Raises BadQuery for the first argument that is not what it has to be: its name, what it is, what it has to be."""
    for name, held in said.items():
        kind = KINDS.get(name)
        if kind is not None and not kind.fits(held):
            raise BadQuery(f"{name} is {shortly(held)}: give {kind.want}")


def number_of(said: Any, what: str) -> float:
    """Raises BadQuery."""
    if not is_number(said):
        raise BadQuery(f"{what} is a number, not {shortly(said)}")
    return float(said)
