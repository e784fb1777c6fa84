"""Names that were seen: the same answers whether they are few, in memory, or many, on disk."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources import seen as module
from ingest.sources.seen import Seen


@given(few=st.integers(0, 6), names=st.lists(st.text(max_size=2), max_size=30))
def test_a_name_is_told_where_it_was_seen_first_however_many_there_are(few: int, names: list[str]) -> None:
    first: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch, closing(Seen()) as seen:
        patch.setattr(module, "FEW", few)
        for at, name in enumerate(names):
            assert seen.has(name) == (name in first)
            assert seen.first(name, str(at)) == first.get(name)
            first.setdefault(name, str(at))
        assert all(seen.has(name) for name in names)
        seen.close()
