"""Recency and boosts: the score times what a declared field is worth.

Shapes are those of Elasticsearch's decay functions: 1 within `offset` of the origin, `decay` at `offset` + `scale`; and
its field value factor (Elasticsearch reference, "Function score query").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.errors import BadQuery
from core.fields import Fields, FieldType, as_datetime, normal
from retrieval.request import Hit
from retrieval.rerank.options import Options
from retrieval.rerank.order import ordered, parted
from retrieval.stages import Asked

DEPTH = 100
MOST = 1e6  # of a factor that is said, and of one that is made
NUMBERS = frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DATETIME})
MODIFIERS: Mapping[str, Callable[[float], float]] = {
    "none": lambda value: value,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "square": lambda value: value * value,
}
Factor = Callable[[Any], tuple[float, str]]  # a field's value to a number of 0 or more, and how it came about


def exponential(distance: float, scale: float, decay: float) -> float:
    """exp(ln(decay) / scale x distance)."""
    return math.exp(math.log(decay) / scale * distance)


def gaussian(distance: float, scale: float, decay: float) -> float:
    """exp(-distance^2 / 2s^2) with s^2 = -scale^2 / 2 ln(decay)."""
    return math.exp(math.log(decay) * (distance / scale) ** 2) if distance / scale < 1e6 else 0.0


def linear(distance: float, scale: float, decay: float) -> float:
    """max(0, (s - distance) / s) with s = scale / (1 - decay)."""
    whole = scale / (1 - decay)
    return max(0.0, (whole - distance) / whole)


SHAPES: Mapping[str, Callable[[float, float, float], float]] = {
    "exponential": exponential,
    "gaussian": gaussian,
    "linear": linear,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boost:
    """A stage: the earlier score times (1 - weight + weight x factor). A hit without the field has the factor
    `missing`; 1 leaves its score as it is. Earlier scores below 0 are lifted to 0 and more, all by the same."""

    name: str
    field: str
    factor: Factor
    missing: float = 1.0
    weight: float = 1.0
    depth: int = DEPTH

    def rerank(self, hits: Sequence[Hit], asked: Asked) -> list[Hit]:
        """Port."""
        head, tail = parted(hits, self.depth)
        lift = -min(0.0, min((hit.score for hit in head), default=0.0))
        scores = {}
        for hit in head:
            value = hit.metadata.get(self.field)
            nothing = value is None or value == []
            worth, why = (self.missing, f"no {self.field}") if nothing else self.factor(value)
            scores[hit.asset] = (hit.score + lift) * (1 - self.weight + self.weight * worth)
            asked.tell(hit, f"{why}: x{1 - self.weight + self.weight * worth:.3g}")
        return ordered(head, scores, tail)


def recency(fields: Fields, said: Mapping[str, Any], *, now: Callable[[], float]) -> Boost:
    """`field`, a datetime; `half_life`: the age at which half is left; `shape`; `offset`: an age that costs nothing;
    `weight`, `missing`, `depth`. What is dated later than now is new. Raises BadQuery."""
    options = Options("recency", said)
    field = _field(options, fields, frozenset({FieldType.DATETIME}))
    half = options.seconds("half_life")
    if half is None:
        raise BadQuery("recency: say the half_life, as half_life=7d: the age at which half of the score is left")
    offset = options.seconds("offset", 0.0, zero=True) or 0.0
    shape = options.choice("shape", SHAPES, "exponential")
    told = f"half_life {_spelt(half)}"

    def worth(value: Any) -> tuple[float, str]:
        age = min(max(0.0, now() - at) for at in _seconds(value))
        return SHAPES[shape](max(0.0, age - offset), half, 0.5), f"{told}, {_spelt(age)} old"

    return _boost("recency", field, worth, options)


def boost(fields: Fields, said: Mapping[str, Any], *, now: Callable[[], float]) -> Boost:
    """Nearness to an `origin`: `scale`, `offset`, `decay`, `shape`; or `value`: `factor` where the field is that; or
    else the number itself times `factor`, through a `modifier`. And `field`, `weight`, `missing`, `depth`. Raises
    BadQuery."""
    options = Options("boost", said)
    if said.get("origin") is not None:
        return _near(options, fields, now)
    if said.get("value") is not None:
        return _equal(options, fields)
    field = _field(options, fields, frozenset({FieldType.INTEGER, FieldType.FLOAT}))
    times = options.number("factor", 1.0, 0.0, MOST)
    modifier = options.choice("modifier", MODIFIERS, "none")

    def worth(value: Any) -> tuple[float, str]:
        most = max(value) if isinstance(value, list) else value
        return min(MOST, MODIFIERS[modifier](min(MOST, max(0.0, (times or 0.0) * most)))), f"{field} {most:g}"

    return _boost("boost", field, worth, options)


def _near(options: Options, fields: Fields, now: Callable[[], float]) -> Boost:
    field = _field(options, fields, NUMBERS)
    dated = fields[field] is FieldType.DATETIME
    origin_said = options.text("origin")
    scale = options.seconds("scale") if dated else options.number("scale", None, 1e-12)
    offset = (options.seconds("offset", zero=True) if dated else options.number("offset", None, 0.0)) or 0.0
    if scale is None:
        raise BadQuery(f"boost: say the scale, how far from the origin {field} may be: scale={'7d' if dated else 10}")
    decay = options.number("decay", 0.5, 1e-9, 1 - 1e-9)
    shape = options.choice("shape", SHAPES, "exponential")
    origin: float | None = None
    try:
        if dated and origin_said != "now":
            origin = as_datetime(origin_said).timestamp()
        elif not dated:
            origin = normal(FieldType.FLOAT, float(origin_said or ""))
    except (ValueError, OverflowError, TypeError) as exc:
        want = "now, or a moment as 2026-01-31T12:00" if dated else "a number"
        raise options.wrong("origin", origin_said, want) from exc

    def worth(value: Any) -> tuple[float, str]:
        there = now() if origin is None else origin
        values = _seconds(value) if dated else (value if isinstance(value, list) else [value])
        away = min(abs(one - there) for one in values)  # of several the nearest
        made = SHAPES[shape](max(0.0, away - offset), scale, decay or 0.5)
        return made, f"{field} is {_spelt(away) if dated else f'{away:g}'} from {origin_said}"

    return _boost("boost", field, worth, options)


def _equal(options: Options, fields: Fields) -> Boost:
    field = _field(options, fields, frozenset({FieldType.KEYWORD, FieldType.BOOL, FieldType.INTEGER}))
    wanted = _typed(options, fields[field])
    times = options.number("factor", 2.0, 0.0, MOST)

    def worth(value: Any) -> tuple[float, str]:
        held = value if isinstance(value, list) else [value]
        there = wanted in held
        return ((times or 0.0), f"{field} is {wanted}") if there else (1.0, f"{field} is not {wanted}")

    return _boost("boost", field, worth, options)


def _typed(options: Options, kind: FieldType) -> Any:
    """The value that is boosted, of the field's type: on a command line it is a text."""
    held = options.text("value") if kind is not FieldType.BOOL else options.flag("value")
    try:
        return normal(kind, int(held) if kind is FieldType.INTEGER and isinstance(held, str) else held)
    except ValueError as exc:
        raise options.wrong("value", held, f"a value of a {kind} field") from exc


def _field(options: Options, fields: Fields, kinds: frozenset[FieldType]) -> str:
    name = options.text("field")
    fit = ", ".join(sorted(one for one, kind in fields.items() if kind in kinds)) or "none is declared"
    want = f"a declared field that is {' or '.join(sorted(kinds))} ({fit})"
    if name is None:
        raise options.wrong("field", None, want)
    if fields.get(name) not in kinds:
        raise options.wrong("field", name, want)
    return name


def _boost(name: str, field: str, worth: Factor, options: Options) -> Boost:
    missing = options.number("missing", 1.0, 0.0, MOST)
    weight, depth = options.share("weight", 1.0), options.depth(DEPTH)
    options.done()
    return Boost(name=name, field=field, factor=worth, missing=missing or 0.0, weight=weight, depth=depth)


def _seconds(value: Any) -> list[float]:
    return [as_datetime(one).timestamp() for one in (value if isinstance(value, list) else [value])]


def _spelt(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g}{unit}"
    return f"{seconds:.3g}s"


def clock() -> float:
    """Now, in seconds of the epoch."""
    return datetime.now(UTC).timestamp()
