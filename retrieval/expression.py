"""Filters as people write them: `price < 20 and (brand in ["a", "b"] or not exists(brand))`."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from core.errors import BadFilter
from core.fields import Fields, FieldType, as_datetime
from core.filters import (
    DEEPEST,
    And,
    Eq,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    In,
    Leaf,
    Not,
    Null,
    Or,
    Range,
    TextMatch,
    check,
)
from retrieval import filter_json

Where = str | Mapping[str, Any] | Filter | None  # an expression, or Qdrant's JSON as text or as an object

GRAMMAR = r"""
?start: any
?any: all
    | all (_OR all)+ -> any_of
?all: one
    | one (_AND one)+ -> all_of
?one: _NOT one -> negated
    | "(" any ")"
    | NAME OP value -> compared
    | NAME _IN "[" value ("," value)* "]" -> listed
    | NAME _NOT _IN "[" value ("," value)* "]" -> unlisted
    | NAME "~" (STRING | NAME | NUMBER | DATETIME | BOOL) -> worded
    | _EXISTS "(" NAME ")" -> exists
    | _NULL "(" NAME ")" -> null
    | _NEAR "(" NAME "," NUMBER "," NUMBER "," NUMBER ")" -> near
    | _WITHIN "(" NAME "," NUMBER "," NUMBER "," NUMBER "," NUMBER ")" -> within
?value: STRING -> string
    | DATETIME -> word
    | NUMBER -> number
    | BOOL -> boolean
    | NAME -> word
OP: "<=" | ">=" | "!=" | "==" | "=" | "<" | ">"
_AND.2: /and\b/i
_OR.2: /or\b/i
_NOT.2: /not\b/i
_IN.2: /in\b/i
_EXISTS.2: /exists(?=\s*\()/i
_NULL.2: /null(?=\s*\()/i
_NEAR.2: /near(?=\s*\()/i
_WITHIN.2: /within(?=\s*\()/i
BOOL.2: /(true|false)\b/i
DATETIME.3: /\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?/
NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
NAME: /[^\W\d]\w*/
%ignore /\s+/
"""
_PARSER = Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)
_BOUND = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_NEAR = 60  # characters that are shown on either side of a mistake
EXAMPLE = 'price < 20 and (brand in ["a", "b"] or not exists(brand)) and created >= 2026-01-01'


def read_where(where: Where, fields: Fields) -> Filter | None:
    """A filter however it was written, checked against the declared fields. Raises BadFilter.

    A text that begins with a brace is Qdrant's JSON, any other an expression.
    """
    if where is None:
        return None
    if isinstance(where, str):
        as_json = where.lstrip().startswith("{")
        return filter_json.read_text(where, fields) if as_json else parse(where, fields)
    if isinstance(where, Mapping):
        return filter_json.read(where, fields)
    if not isinstance(where, Filter):  # a caller who is not type-checked
        raise BadFilter(f"{type(where).__name__} is no filter: write an expression, for example {EXAMPLE}")
    check(where, fields)
    return where


def parse(expression: str, fields: Fields) -> Filter:
    """The filter of an expression, checked against the declared fields. Raises BadFilter that points at the place."""
    try:
        tree = _PARSER.parse(expression)
    except UnexpectedInput as exc:
        at = int(getattr(exc, "pos_in_stream", None) or 0)
        if isinstance(exc, UnexpectedToken) and exc.token.type == "$END":
            at = len(expression.rstrip()) + (1 if expression.strip() else 0)
        raise BadFilter(f"cannot read the filter here:{_pointed(expression, at)}for example: {EXAMPLE}") from None
    try:
        where: Filter = _Build(expression, fields).transform(tree)
    except VisitError as exc:
        raise exc.orig_exc from None
    except RecursionError:
        raise BadFilter(f"the filter is nested more than {DEEPEST} deep: write it flatter") from None
    check(where, fields)
    return where


def _pointed(expression: str, at: int) -> str:
    """The line of an expression, or what is near in a long one, with a mark under the place."""
    begin = expression.rfind("\n", 0, at) + 1
    line, at = expression[begin:].split("\n", 1)[0].expandtabs(1), at - begin
    cut = max(0, at - _NEAR)
    before = ("…" if cut else "") + line[cut:at]
    columns = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in before.ljust(at - cut))
    after = line[at : at + _NEAR] + ("…" if len(line) > at + _NEAR else "")
    return f"\n  {before}{after}\n  {' ' * columns}^\n"


@v_args(inline=True)
class _Build(Transformer[Token, Filter]):
    """Conditions, each checked where it stands."""

    def __init__(self, expression: str, fields: Fields) -> None:
        super().__init__()
        self._expression = expression
        self._fields = fields

    def _checked(self, at: Token, leaf: Leaf) -> Filter:
        try:
            check(leaf, self._fields)
        except BadFilter as exc:
            raise self._bad(at, str(exc)) from exc
        return leaf

    def _bad(self, at: Token, why: str) -> BadFilter:
        return BadFilter(f"{why}; here:{_pointed(self._expression, at.start_pos or 0)}")

    def _typed(self, name: Token, value: Any) -> Any:
        """A written value as its field's type wants it; what does not fit is left for `check` to name."""
        if self._fields.get(str(name)) is FieldType.DATETIME and isinstance(value, str):
            try:
                return as_datetime(value)
            except (ValueError, OverflowError) as exc:
                why = f"{name}: {value!r} is no date: write 2026-01-31 or 2026-01-31T12:00:00Z"
                raise self._bad(name, why) from exc
        return value

    def compared(self, name: Token, op: Token, value: Any) -> Filter:
        typed = self._typed(name, value)
        if op in _BOUND:
            return self._checked(name, Range(str(name), **{_BOUND[op]: typed}))
        equal = self._checked(name, Eq(str(name), typed))
        return Not(equal) if op == "!=" else equal

    def listed(self, name: Token, *values: Any) -> Filter:
        return self._checked(name, In(str(name), values))

    def unlisted(self, name: Token, *values: Any) -> Filter:
        return Not(self.listed(name, *values))

    def worded(self, name: Token, query: Token) -> Filter:
        return self._checked(name, TextMatch(str(name), self.string(query) if query.type == "STRING" else str(query)))

    def exists(self, name: Token) -> Filter:
        return self._checked(name, Exists(str(name)))

    def null(self, name: Token) -> Filter:
        return self._checked(name, Null(str(name)))

    def near(self, name: Token, lat: Token, lon: Token, metres: Token) -> Filter:
        return self._checked(name, GeoRadius(str(name), float(lat), float(lon), float(metres)))

    def within(self, name: Token, south: Token, west: Token, north: Token, east: Token) -> Filter:
        return self._checked(name, GeoBox(str(name), float(south), float(west), float(north), float(east)))

    def any_of(self, *parts: Filter) -> Filter:
        return Or(parts)

    def all_of(self, *parts: Filter) -> Filter:
        return And(parts)

    def negated(self, part: Filter) -> Filter:
        return Not(part)

    def string(self, token: Token) -> str:
        body = str(token)[1:-1]
        return body.replace("\\" + token[0], token[0]).replace("\\\\", "\\")

    def number(self, token: Token) -> int | float:
        return float(token) if set(token) & set(".eE") else int(token)

    def boolean(self, token: Token) -> bool:
        return token.lower() == "true"

    def word(self, token: Token) -> str:
        return str(token)
