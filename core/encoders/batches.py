"""Batches of texts under a budget of tokens, equal lengths together: padding is work, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

BUDGET = 2048  # tokens of a batch with its padding: more is slower, for want of cache


def by_tokens(
    lengths: Sequence[int], budget: int = BUDGET, rows: Callable[[int], int] | None = None
) -> Iterator[list[int]]:
    """The indices of all rows, shortest first, in batches whose size times longest row is within the budget; or of as
    many `rows` as it says for the length of the longest."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda at: lengths[at]):
        most = rows(lengths[row]) if rows is not None else budget // max(1, lengths[row])
        if batch and len(batch) >= most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
