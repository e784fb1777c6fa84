"""Quotas of a page: at most so many of a value of a field, and at least such a share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from core.errors import BadQuery
from core.filters import Eq, Filter, In, Not
from retrieval.request import Hit

Value = str | int | bool
Quota = Mapping[str, int]  # field: at most so many of each of its values on a page
Shares = Mapping[str, Mapping[Value, float]]  # field: value: at least this share of a page, where there are so many
Kept = tuple[str, Value]


def check_shares(quota: Quota, shares: Shares, limit: int) -> None:
    """Raises BadQuery for what contradicts itself."""
    if len(quota) > 16 or len(shares) > 16 or any(len(said) > 100 for said in shares.values()):
        raise BadQuery("quotas are of 16 fields and 100 values at most")
    for name, most in quota.items():
        if type(most) is not int or most < 1:
            raise BadQuery(f"quota of {name!r} is {most!r}: give how many of a value there may be, 1 or more")
    for name, said in shares.items():
        if any(type(one) not in (int, float) or not 0 < one <= 1 for one in said.values()):
            raise BadQuery(f"shares of {name!r}: give numbers of more than 0, at most 1")
        reserved = sum(_least(share, limit) for share in said.values())
        if reserved > limit:
            raise BadQuery(f"shares of {name!r} take {reserved} of {limit} places: give less, or a larger limit")
        for value, share in said.items():
            if _least(share, limit) > quota.get(name, limit):
                raise BadQuery(f"{name} = {value!r} is to have {_least(share, limit)} places, and by its quota fewer")


def _least(share: float, limit: int) -> int:
    return math.ceil(share * limit - 1e-9)


def reserved(shares: Shares, limit: int) -> Iterator[tuple[Kept, int]]:
    """Each value that has places of its own, and how many."""
    for name, said in sorted(shares.items()):
        for value, share in said.items():
            yield (name, value), _least(share, limit)


def values_of(hit: Hit, name: str) -> frozenset[Value]:
    """The values that a thing has of a field."""
    held = hit.metadata.get(name)
    return frozenset(held if isinstance(held, list) else [] if held is None else [held])


def cut(hits: Sequence[Hit], limit: int, quota: Quota, shares: Shares) -> list[Hit]:
    """The first hits that the quotas leave, in their order: first those with places of their own, then the best."""
    if not quota and not shares:
        return list(hits[:limit])
    taken: dict[int, Hit] = {}
    counts: Counter[Kept] = Counter()

    def take(at: int, hit: Hit) -> None:
        if at in taken or len(taken) >= limit:
            return
        mine = [(name, value) for name in quota for value in values_of(hit, name)]
        if all(counts[each] < quota[each[0]] for each in mine):
            taken[at] = hit
            counts.update(mine)

    for (name, value), least in reserved(shares, limit):
        for at, hit in enumerate(hits):
            if sum(value in values_of(held, name) for held in taken.values()) >= least:
                break
            if value in values_of(hit, name):
                take(at, hit)
    for at, hit in enumerate(hits):
        if len(taken) >= limit:
            break
        take(at, hit)
    return [taken[at] for at in sorted(taken)]


def full(page: Sequence[Hit], quota: Quota) -> frozenset[Kept]:
    """The values of which a page can hold no more."""
    counts = Counter((name, value) for hit in page for name in quota for value in values_of(hit, name))
    return frozenset(each for each, count in counts.items() if count >= quota[each[0]])


def others(kept: frozenset[Kept]) -> list[Filter]:
    """Filters that leave what has none of these values."""
    out: list[Filter] = []
    for name in sorted({name for name, _ in kept}):
        values = sorted((value for of, value in kept if of == name), key=str)
        plain = tuple(value for value in values if not isinstance(value, bool))
        out += [Not(Eq(name, value)) for value in values if isinstance(value, bool)]
        out += [Not(In(name, plain))] if plain else []
    return out
