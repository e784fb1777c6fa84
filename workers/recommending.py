"""Recommendations for many people, and their feeds as a file that a kill leaves neither half written nor lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from core.errors import BadQuery, Refused
from core.runtime.wiring import Parts
from retrieval.recommend import recommend_all
from retrieval.recommendation import Recommendation, RecommendRequest
from workers.calibrating import must_know
from workers.curves import known
from workers.serving import encoder_of, surely
from workers.table import arrow
from workers.table_writer import writing

ROWS = 512  # lines of people that are done before they are made durable
BLOCK = 1 << 20  # bytes copied at once


def recommended(parts: Parts, requests: Sequence[RecommendRequest], *, profile: str) -> list[Recommendation | Refused]:
    """As `retrieval.recommend.recommend_all`, with the encoders of that profile."""
    if not requests:
        return []
    speaks = encoder_of(parts, requests[0].collection, profile)
    there, curves = parts.catalogue, known(parts).curves_of
    if any(request.min_score is not None for request in requests):
        with suppress(BadQuery):  # who asks for a least relevance is told so, and the others are answered
            must_know(parts, requests[0].collection)
    return surely(
        lambda: recommend_all(requests, catalogue=there, store=parts.store, encoder_of=speaks, curves_of=curves)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that nothing was recommended for, by its number from 1."""

    line: int
    kind: str
    message: str


@dataclass(slots=True, kw_only=True)
class Feeds:
    """What was written, or has been so far."""

    users: int = 0  # with a feed
    lines: int = 0  # that are done, of this run and earlier ones
    resumed: int = 0  # that earlier runs had done
    total: int | None = None  # lines there are
    bad: list[BadLine] = field(default_factory=list)


Row = Mapping[str, Any]
Made = tuple[int, Row | BadLine]  # the number of the line, and what became of it


def write_feeds(
    source: Path,
    target: Path,
    asked: Sequence[object],
    make: Callable[[Iterator[tuple[int, str]]], Iterator[Made]],
    on_progress: Callable[[Feeds], None] | None = None,
) -> Feeds:
    """Write what `make` makes of the numbered lines of `source`, one row a line and in their order, as JSON lines or,
    by the name, as Parquet. The target appears in one step, when all is done.

    Until then finished lines are kept in a folder beside it; running it again with the same source and `asked` goes on
    from there. Raises BadQuery for a name that says no format, BlobsDown, and what `make` raises.
    """
    if target.suffix not in (".jsonl", ".ndjson", ".parquet"):
        raise BadQuery(f"{target}: name a file that ends with .jsonl or .parquet")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise BadQuery(f"{target}: name a file in a folder that is there")
    folder = target.with_name(f".{target.name}.parts")
    done = Feeds()
    with writing():
        of = hashlib.sha256(repr(asked).encode())
        with source.open("rb") as file:
            lines = 0
            while block := file.read(BLOCK):
                of.update(block)
                lines += block.count(b"\n")
                last = block
        done.total = lines + (0 if (not lines and source.stat().st_size == 0) or last.endswith(b"\n") else 1)
        _begin(folder, of.hexdigest())
    for part in _parts(folder):
        _count(done, part)
    done.resumed = done.lines
    with source.open(encoding="utf-8", errors="surrogateescape") as text:
        numbered = islice(enumerate(text, start=1), done.lines, None)
        batch: list[Made] = []
        for made in make(numbered):
            batch.append(made)
            if len(batch) == ROWS:
                _keep(folder, target, done, batch)
                batch = []
                if on_progress is not None:
                    on_progress(done)
        if batch:
            _keep(folder, target, done, batch)
    if on_progress is not None:
        on_progress(done)
    _join(folder, target)
    return done


def _begin(folder: Path, of: str) -> None:
    """The folder of parts; what another request or another source left there is thrown away."""
    mark = folder / "of"
    if folder.is_dir() and (not mark.is_file() or mark.read_text() != of):
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    _durable(mark, lambda draft: draft.write_text(of))


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.done"))


def _count(done: Feeds, part: Path) -> None:
    said = json.loads(part.read_text())
    done.lines, done.users = said["lines"], done.users + said["users"]
    done.bad += [BadLine(**one) for one in said["bad"]]


def _keep(folder: Path, target: Path, done: Feeds, batch: Sequence[Made]) -> None:
    """Make a batch durable: its rows, and only then the note that they are there."""
    rows = [what for _, what in batch if not isinstance(what, BadLine)]
    bad = [what for _, what in batch if isinstance(what, BadLine)]
    name = f"{batch[0][0]:012d}"
    with writing():
        if rows:
            write = _write_table if target.suffix == ".parquet" else _write_lines
            _durable(folder / f"{name}.rows", lambda draft: write(draft, rows))
        said = {
            "lines": batch[-1][0],
            "users": len(rows),
            "bad": [{"line": one.line, "kind": one.kind, "message": one.message} for one in bad],
        }
        _durable(folder / f"{name}.done", lambda draft: draft.write_text(json.dumps(said)))
    _count(done, folder / f"{name}.done")


def _durable(path: Path, write: Callable[[Path], object]) -> None:
    """A file that is there whole or not at all."""
    draft = path.with_suffix(f"{path.suffix}.part")
    write(draft)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(path)


def _write_lines(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    pa = arrow()
    pa.parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=_schema(pa)), path)


def _schema(pa: Any) -> Any:
    words, number = pa.string(), pa.float64()
    item = dict.fromkeys(("asset", "external_id", "modality", "example", "space", "fallback"), words)
    item |= dict.fromkeys(("score", "likeness", "freshness"), number)
    return pa.schema(
        {
            "user": words,
            "items": pa.list_(pa.struct(item)),
            "unknown": pa.list_(words),
            "pending": pa.list_(words),
            "fallback": words,
            "page": words,
        }
    )


def _join(folder: Path, target: Path) -> None:
    """All parts as the target, in one step; the parts go afterwards."""
    rows = [path for done in _parts(folder) if (path := done.with_suffix(".rows")).is_file()]
    draft = target.with_name(f".{target.name}.part")
    with writing():
        if target.suffix == ".parquet":
            pa = arrow()
            with pa.parquet.ParquetWriter(draft, _schema(pa)) as writer:
                for path in rows:
                    writer.write_table(pa.parquet.read_table(path))
        else:
            with draft.open("wb") as sink:
                for path in rows:
                    with path.open("rb") as part:
                        shutil.copyfileobj(part, sink, BLOCK)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(target)
        shutil.rmtree(folder)


def row_of(user: str, made: Recommendation) -> Row:
    """A feed as a row."""
    return {
        "user": user,
        "items": [
            {
                "asset": str(one.hit.asset),
                "external_id": one.hit.external_id,
                "modality": str(one.hit.modality),
                "score": one.hit.score,
                "example": None if one.because is None else one.because.example,
                "space": None if one.because is None else one.because.space,
                "likeness": None if one.because is None else one.because.score,
                "freshness": one.freshness,
                "fallback": one.fallback,
            }
            for one in made.items
        ],
        "unknown": list(made.unknown),
        "pending": list(made.pending),
        "fallback": made.fallback,
        "page": made.page,
    }
