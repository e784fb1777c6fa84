"""The chain of receipts: whatever is changed in it is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from core.erasing import GENESIS, Erasure, broken, hash_of, sealed
from core.types import Tenant

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
RECEIPTS = st.lists(st.dictionaries(TEXT, JSON, min_size=1, max_size=3), min_size=2, max_size=5)


def chain_of(receipts: list[dict[str, Any]]) -> list[Erasure]:
    chain: list[Erasure] = []
    for number, receipt in enumerate(receipts):
        last = chain[-1] if chain else None
        chain.append(sealed(last, Tenant(f"t{number % 2}"), "c", receipt, WHEN + timedelta(seconds=number)))
    return chain


@given(RECEIPTS)
def test_a_chain_holds_and_comes_back_from_json_as_it_was(receipts: list[dict[str, Any]]) -> None:
    chain = chain_of(receipts)
    assert chain[0].previous == GENESIS
    assert broken(chain) is None
    assert broken(chain[1:], chain[0]) is None
    assert [Erasure.from_dict(each.as_dict()) for each in chain] == chain


@given(st.data(), RECEIPTS)
def test_whatever_is_changed_is_found(data: st.DataObject, receipts: list[dict[str, Any]]) -> None:
    chain = chain_of(receipts)
    at = data.draw(st.integers(0, len(chain) - 1))
    one = chain[at]
    changed = data.draw(
        st.sampled_from(
            [
                replace(one, tenant=Tenant(one.tenant + "x")),
                replace(one, collection="d"),
                replace(one, at=one.at + timedelta(microseconds=1)),
                replace(one, number=one.number + 1),
                replace(one, previous="f" * 64),
                replace(one, hash="f" * 64),
            ]
        )
        | JSON.map(lambda said: replace(one, receipt={**one.receipt, next(iter(one.receipt)): said}))
        | JSON.map(lambda said: replace(one, receipt={"only": said}))
    )
    assume(changed != one and not _equal(changed, one))
    assert broken([*chain[:at], changed, *chain[at + 1 :]]) is not None


def _equal(one: Erasure, other: Erasure) -> bool:
    """True for JSON that Python calls different from what it equals, and the other way round: 1 and True."""
    return one.as_dict() == other.as_dict() and repr(one) == repr(other)


@given(st.data(), RECEIPTS)
def test_a_receipt_that_is_taken_out_or_moved_is_missed(data: st.DataObject, receipts: list[dict[str, Any]]) -> None:
    chain = chain_of(receipts)
    at = data.draw(st.integers(0, len(chain) - 2))
    assert broken([*chain[:at], *chain[at + 1 :]]) is not None
    assert broken([*chain[:at], chain[at + 1], chain[at], *chain[at + 2 :]]) is not None


@given(st.data(), RECEIPTS)
def test_whoever_seals_a_changed_receipt_anew_breaks_the_next(
    data: st.DataObject, receipts: list[dict[str, Any]]
) -> None:
    chain = chain_of(receipts)
    at = data.draw(st.integers(0, len(chain) - 2))
    forged = replace(chain[at], receipt={**chain[at].receipt, "forged": True})
    forged = replace(forged, hash=hash_of(forged))
    wrong = broken([*chain[:at], forged, *chain[at + 1 :]])
    assert wrong is not None
    assert f"receipt {at + 2}" in wrong
