"""How answers look: JSON for programs, tables for people."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.types import Span
from quiver.sheet import moment
from retrieval.request import Answer, Hit

WHOLE = ("id", "job")  # columns that are copied from, and so never broken
SHOWN = 20  # lines of what may be long
out = Console()
err = Console(stderr=True)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline


def plain(value: Any) -> Any:
    """Dataclasses, enums, ids and moments as JSON knows them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (UUID, Path)):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, frozenset):
        return sorted(plain(held) for held in value)
    if isinstance(value, Sequence):
        return [plain(held) for held in value]
    return value


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    out.out(json.dumps(plain(value), ensure_ascii=False, indent=2), highlight=False)


def print_line(value: Any) -> None:
    """One of JSON Lines on standard output."""
    out.out(json.dumps(plain(value), ensure_ascii=False), highlight=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table whose cells are text: nothing in them is markup or reaches the terminal as a control character."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        made.add_column(name, overflow="fold", no_wrap=name in WHOLE)
    for row in rows:
        made.add_row(*(shown(cell) for cell in row))
    out.print(made)


def first(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of as many as fit a terminal, and how many more there are: --json has them all."""
    table(columns, rows[:SHOWN])
    if len(rows) > SHOWN:
        out.print(f"and {len(rows) - SHOWN} more: use --json", style="dim")


def shown(cell: object) -> Text:
    """As text for the terminal: no markup, no emoji codes, control characters spelt out."""
    return Text(_CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(cell)))


def answer_table(answer: Answer) -> None:
    """Hits, the time taken and whose judgement it is."""
    texts = any(hit.text or moment(hit) for hit in answer.hits)
    table(
        ["#", "score", "kind", "asset", *(["best match"] if texts else []), "raw scores"],
        [
            [rank, f"{hit.score:.4f}", hit.modality, hit.external_id, *([_best(hit)] if texts else []), _raw(hit)]
            for rank, hit in enumerate(answer.hits, start=1)
        ],
    )
    spent = answer.seconds
    stages = ", ".join(f"{name} {spent[name] * 1e3:.1f}" for name in ("encode", "store", "fuse", "rerank"))
    models = "; ".join(f"{space} = {model}" for space, model in answer.encoders.items())
    line = f"{len(answer.hits)} hits in {spent['total'] * 1e3:.1f} ms ({stages}) · {models}"
    out.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    if answer.query is not None:
        out.print(f"recorded as {answer.query}", style="dim", markup=False, highlight=False, soft_wrap=True)
    if answer.partial:
        late = ", ".join(answer.partial)
        out.print(f"not done, for lack of time: {late}", style="yellow", markup=False, highlight=False)
    noted(answer.notes)


def noted(notes: Sequence[str]) -> None:
    """What is to be known of an answer."""
    for note in notes:
        out.print(shown(note), style="yellow", soft_wrap=True)


def effects_table(answer: Answer) -> None:
    """Of every hit: its place and score in each list, and what each stage did to it."""
    rows: list[list[object]] = []
    for at, hit in enumerate(answer.hits, start=1):
        for match in hit.matches:
            chance = "" if match.probability is None else f"{match.probability:.2f}"
            where = f"{match.space}/{match.content}"
            rows.append([at, hit.external_id, where, match.rank, f"{match.score:.4f}", chance, match.source or ""])
        for effect in hit.effects:
            moved = f"{effect.rank_before or '-'} > {effect.rank}"
            rows.append([at, hit.external_id, effect.stage, moved, f"{effect.score:.4f}", "", effect.note])
    table(["#", "asset", "list or stage", "rank", "score", "probability", "note"], rows)


def _best(hit: Hit) -> str:
    text = " ".join((hit.text or "").split())
    short = text if len(text) <= 60 else text[:59] + "…"
    span: Span | None = hit.matches[0].span
    if when := moment(hit):
        return f"{short} [{when}]" if short else when
    return f"{short} [{span.start:g}-{span.end:g} {span.unit}]" if span and short else short


def _raw(hit: Hit) -> str:
    return " ".join(f"{match.space} {match.score:.2f}" for match in hit.matches)
