"""Files of evaluation: queries, judgements and runs as TREC and BEIR write them, and captions of assets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BadQuery
from core.types import Modality
from ingest.files import named, printable
from workers.recording import MOST_GRADE

PARTS = ("text", "image", "audio", "video", "like", "vector", "mix", "less", "where", "modality")  # of a query
FILES = ("image", "audio", "video")
SAFE = re.compile(r"[^\s\x00-\x1f\x7f]+")  # what stands in a file whose columns are told apart by white space


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A query of a file: its name, what is asked as `Quiver.search` takes it, and what else is said of it."""

    id: str
    said: Mapping[str, Any]
    traits: Mapping[str, str] = field(default_factory=dict)
    place: str = ""  # file and line


@dataclass(slots=True)
class Read:
    """What files said. `refused`: the lines that could not be read, with their numbers, and why."""

    queries: list[Line] = field(default_factory=list)
    qrels: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def read_queries(path: Path, into: Read) -> None:
    """JSON Lines of `{"id": ..., "text": ...}`, or with what else a query has; files lie relative to this one. What is
    no part of a query (`language`, say) can be sliced by. Raises NoSuchPath."""
    known = {line.id for line in into.queries}

    def take(text: str, place: str) -> None:
        line = query_line(object_of(text), place, path.parent)
        if line.id in known:
            raise BadQuery(f"query {line.id!r} stands twice: give each its own id")
        known.add(line.id)
        into.queries.append(line)

    _lines(path, into, take)


def query_line(row: Mapping[str, Any], place: str = "", folder: Path | None = None) -> Line:
    """A query as a mapping. Raises BadQuery."""
    name = row.get("id", row.get("_id"))
    if isinstance(name, bool) or not isinstance(name, (str, int)) or not SAFE.fullmatch(str(name)):
        raise BadQuery('a query needs an id without white space: {"id": "q1", "text": "…"}')
    said = located({part: row[part] for part in PARTS if row.get(part) is not None}, folder)
    if not said.keys() & {*PARTS} - {"where", "modality", "less"}:
        raise BadQuery("it asks nothing: give text, image, audio, video, like, vector or mix")
    others = row.keys() - {*PARTS, "id", "_id"}
    traits = {other: str(row[other]) for other in sorted(others) if isinstance(row[other], (str, int, float, bool))}
    return Line(id=str(name), said=said, traits=traits, place=place)


def located(said: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """What is asked, its files found from that folder. Raises BadQuery for a file that was not kept."""
    out = dict(said)
    for part in (out, *_mixed(out)):
        for kind in FILES:
            if isinstance(given := part.get(kind), Mapping):
                raise BadQuery(f"its {kind} was not kept: only what it was is known")
            if folder is not None and isinstance(given, str):
                part[kind] = str(folder / given)
    return out


def _mixed(said: dict[str, Any]) -> Sequence[dict[str, Any]]:
    if said.get("mix") is None:
        return ()
    if not isinstance(said["mix"], list) or not all(isinstance(part, dict) for part in said["mix"]):
        raise BadQuery('mix is a list of parts: [{"text": "…", "weight": 0.5}]')
    said["mix"] = [dict(part) for part in said["mix"]]
    parts: Sequence[dict[str, Any]] = said["mix"]
    return parts


def read_qrels(path: Path, into: Read) -> None:
    """`query 0 asset grade` a line, as TREC has it, or BEIR's `query asset grade` under a header; columns apart by
    tabs, or else by spaces. Grades of -1 and -2, TREC's for spam, are 0. Raises NoSuchPath."""

    def take(text: str, _place: str) -> None:
        query, asset, said = _judgement(text)
        if query == "query-id" and said == "score":
            return
        grade = _grade(said)
        there = into.qrels.setdefault(query, {})
        if there.get(asset, grade) != grade:
            raise BadQuery(f"{asset!r} was judged {there[asset]} for {query!r} before: keep one of the two")
        there[asset] = grade

    _lines(path, into, take)


def _judgement(text: str) -> tuple[str, str, str]:
    columns = [column.strip() for column in text.split("\t")]
    if len(columns) == 1:
        head = text.split(None, 2)
        columns = head[:2] + (head[2].rsplit(None, 1) if len(head) == 3 else [])
    match columns:
        case [query, _, asset, grade]:
            return query, asset, grade
        case [query, asset, grade]:
            return query, asset, grade
        case _:
            pass
    raise BadQuery("it is no judgement: write QUERY 0 ASSET GRADE, apart by tabs where an asset's name has spaces")


def _grade(said: str) -> int:
    try:
        grade = float(said)
    except ValueError:
        grade = math.nan
    if not grade.is_integer() or not -MOST_GRADE <= grade <= MOST_GRADE:
        raise BadQuery(f"grade {said!r}: write a whole number from 0, which is wrong, to {MOST_GRADE}")
    return max(0, int(grade))


def read_pairs(path: Path, into: Read) -> None:
    """Captions and their assets: JSON Lines of `{"text": ..., "asset": ...}`, perhaps with `language` and the like; or
    caption, tab, asset. The same caption twice is one query with two right answers. Raises NoSuchPath."""
    named = {(line.said.get("text"), *line.traits.items()): line.id for line in into.queries}
    taken = {line.id for line in into.queries}

    def take(text: str, place: str) -> None:
        if text.lstrip().startswith("{"):
            row = dict(object_of(text))
            asset = row.pop("asset", None)
        else:
            caption, _, asset = text.rpartition("\t")
            row = {"text": caption.strip()}
        if not isinstance(asset, str) or not asset.strip() or not str(row.get("text", "")).strip():
            raise BadQuery('it is no pair: write {"text": "…", "asset": "…"}, or the caption, a tab and the asset')
        line = query_line({**row, "id": f"pair-{len(into.queries) + 1}"}, place, path.parent)
        name = named.setdefault((line.said["text"], *line.traits.items()), line.id)
        if name == line.id:
            if name in taken:
                raise BadQuery(f"query {name!r} stands twice: give other ids to your queries")
            into.queries.append(line)
        into.qrels.setdefault(name, {})[asset.strip()] = 1

    _lines(path, into, take)


def object_of(text: str) -> Mapping[str, Any]:
    """A JSON object of one line. Raises BadQuery."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadQuery(f"it is not JSON ({exc})") from exc
    if not isinstance(row, dict):
        raise BadQuery("it is no JSON object")
    return row


def _lines(path: Path, into: Read, take: Callable[[str, str], None]) -> None:
    """Every line that is not blank, told from where it is; what is wrong with one costs that one."""
    for number, text in lines_of(path):
        place = f"{printable(path.name)} line {number}"
        try:
            if isinstance(text, BadQuery):
                raise text
            take(text, place)
        except BadQuery as exc:
            into.refused.append(f"{place}: {exc}")


def lines_of(path: Path) -> Iterator[tuple[int, str | BadQuery]]:
    """The lines that are not blank, each with its number from 1, or what is wrong with it. Raises NoSuchPath."""
    with named(path) as source:
        for number, raw in enumerate(source, start=1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as exc:
                yield number, BadQuery(f"it is not UTF-8 (byte {exc.start + 1})")
            else:
                if text.strip():
                    yield number, text


def asked_of(said: Mapping[str, Any]) -> str:
    """What a query is of: a modality, or a mixture."""
    kinds = [kind for kind in ("text", "image", "audio", "video", "like", "vector") if kind in said]
    if len(kinds) != 1 or said.get("mix") or said.get("less"):
        return "mixture"
    if kinds[0] == "vector":
        given = said["vector"].get("modality") if isinstance(said["vector"], Mapping) else None
        return str(Modality(given)) if given in list(Modality) else "vector"
    return kinds[0]


def qrels_lines(qrels: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """`query 0 asset grade`, apart by tabs. Raises BadQuery for an asset whose name no such file can hold."""
    for query, grades in qrels.items():
        for asset, grade in grades.items():
            yield f"{query}\t0\t{_column(asset)}\t{grade}\n"


def run_lines(run: Mapping[str, Iterable[tuple[str, float]]], tag: str) -> Iterator[str]:
    """`query Q0 asset rank score tag`, as trec_eval reads it: apart by spaces, or by tabs where a name has spaces. The
    score falls by rank, as trec_eval orders by it."""
    for query, hits in run.items():
        held = [asset for asset, _ in hits]
        for rank, asset in enumerate(held, start=1):
            gap = " " if SAFE.fullmatch(asset) else "\t"
            yield gap.join([query, "Q0", _column(asset), str(rank), str(len(held) - rank + 1), tag]) + "\n"


def _column(asset: str) -> str:
    if re.search(r"[\t\r\n]", asset):
        raise BadQuery(f"asset {asset!r} has a tab or a line break in its name, which such a file cannot hold")
    return asset
