"""Filters as people write them: `price < 20 and (brand in ["a", "b"] or not exists(brand))`."""

from __future__ import annotations

from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from core.errors import BadFilter
from core.fields import Fields, FieldType, as_datetime
from core.filters import DEEPEST, And, Eq, Exists, Filter, GeoBox, GeoRadius, In, Not, Or, Range, TextMatch, check

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
    | NAME "~" STRING -> worded
    | _EXISTS "(" NAME ")" -> exists
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
_NEAR.2: /near(?=\s*\()/i
_WITHIN.2: /within(?=\s*\()/i
BOOL.2: /(true|false)\b/i
DATETIME.3: /\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?/
NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
NAME: /[^\W\d]\w*/
%import common.WS
%ignore WS
"""
_PARSER = Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)
_BOUND = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
EXAMPLE = 'price < 20 and (brand in ["a", "b"] or not exists(brand)) and created >= 2026-01-01'


def parse(expression: str, fields: Fields) -> Filter:
    """The filter, checked against the declared fields. Raises BadFilter that points at the place."""
    try:
        tree = _PARSER.parse(expression)
    except UnexpectedInput as exc:
        ended = isinstance(exc, UnexpectedToken) and exc.token.type == "$END"
        at = len(expression.rstrip()) + 1 if ended else exc.column - 1
        place = f"\n  {expression}\n  {' ' * at}^\n"
        raise BadFilter(f"cannot read the filter here:{place}for example: {EXAMPLE}") from None
    try:
        where: Filter = _Build(fields).transform(tree)
    except VisitError as exc:
        raise exc.orig_exc from None
    except RecursionError:
        raise BadFilter(f"the filter is nested more than {DEEPEST} deep: write it flatter") from None
    check(where, fields)
    return where


@v_args(inline=True)
class _Build(Transformer[Token, Filter]):
    def __init__(self, fields: Fields) -> None:
        super().__init__()
        self._fields = fields

    def _typed(self, field: str, value: Any) -> Any:
        """A written value as its field's type wants it; what does not fit is left for `check` to name."""
        if self._fields.get(field) is FieldType.DATETIME and isinstance(value, str):
            try:
                return as_datetime(value)
            except ValueError as exc:
                raise BadFilter(f"{field}: {value!r} is no date: write 2026-01-31 or 2026-01-31T12:00:00Z") from exc
        return value

    def compared(self, name: Token, op: Token, value: Any) -> Filter:
        field, typed = str(name), self._typed(str(name), value)
        if op in _BOUND:
            return Range(field, **{_BOUND[op]: typed})
        return Not(Eq(field, typed)) if op == "!=" else Eq(field, typed)

    def listed(self, name: Token, *values: Any) -> Filter:
        return In(str(name), values)

    def worded(self, name: Token, query: Token) -> Filter:
        return TextMatch(str(name), self.string(query))

    def exists(self, name: Token) -> Filter:
        return Exists(str(name))

    def near(self, name: Token, lat: Token, lon: Token, metres: Token) -> Filter:
        return GeoRadius(str(name), float(lat), float(lon), float(metres))

    def within(self, name: Token, south: Token, west: Token, north: Token, east: Token) -> Filter:
        return GeoBox(str(name), float(south), float(west), float(north), float(east))

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
