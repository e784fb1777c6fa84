"""Category queries and what is relevant to them: benchmarks/queries/categories.tsv, in a tuning and a test part."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("queries") / "categories.tsv"

Part = Literal["tuning", "test"]


@dataclass(frozen=True, slots=True)
class Category:
    """One category, asked for in two languages; `relevant` are patterns over the keys of photos."""

    part: Part
    english: str
    chinese: str
    relevant: tuple[str, ...]

    def among(self, keys: Iterable[str]) -> frozenset[str]:
        """The keys that are relevant."""
        return frozenset(key for key in keys if any(fnmatchcase(key, pattern) for pattern in self.relevant))


def categories(part: Part, table: Path = TABLE) -> list[Category]:
    """Those of one part, in the order of the table."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return [
            Category(part, row["english"], row["chinese"], tuple(row["relevant"].split()))
            for row in rows
            if row["split"] == part
        ]


def tuning_keys(keys: Iterable[str]) -> frozenset[str]:
    """The photos that a tuning query wants: constants and means may be computed from these and no others."""
    held = list(keys)
    return frozenset().union(*(category.among(held) for category in categories("tuning")))
