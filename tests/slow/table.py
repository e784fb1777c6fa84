"""The table of a chaos run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.slow.chaos import Result


def table(result: Result) -> str:
    """A line a figure, then the bad files by what they are, then what was broken."""
    world, verdict = result.world, result.verdict
    rows = [
        ("files given", f"{len(world.corpus.good)} good, {len(world.corpus.bad)} bad"),
        ("meanwhile", ", ".join(f"{count} {what}" for what, count in sorted(world.done.items()))),
        ("assets, points", f"{verdict.assets}, {verdict.points}"),
        ("killed", ", ".join(f"{name} {count}" for name, count in sorted(result.kills.items()))),
        ("PostgreSQL", result.postgres),
        ("ended by themselves", str(result.died)),
        ("seconds", f"{result.chaos:.0f} of chaos, {result.peace:.0f} of peace until nothing was outstanding"),
        (
            "claims",
            f"{result.claims} for {result.claimed} generations of assets: {result.claims - result.claimed} repeated",
        ),
        ("searches", ", ".join(f"{count} {what}" for what, count in world.searches.most_common())),
        ("told to try again", ", ".join(f"{count} {what}" for what, count in world.waited.most_common()) or "nobody"),
        ("lost, doubled", f"{len(verdict.lost)}, {len(verdict.doubled)}"),
        ("drift, before any repair", str(verdict.drift or 0)),
    ]
    lines = [f"{name:26}{said}" for name, said in rows]
    by = {True: "ingest", False: "failures"}
    given = Counter(bad for bad in world.corpus.bad.values())
    lines += ["", f"{'bad files':26}{'class':18}{'given':>6}{'reported':>9}  by"]
    lines += [
        f"{bad.what:26}{bad.kind:18}{count:6}{verdict.reported[bad.what]:9}  {by[bad.at_intake]}"
        for bad, count in given.items()
    ]
    return "\n".join([*lines, "", *(f"BROKEN  {said}" for said in result.problems or ["nothing"])])
