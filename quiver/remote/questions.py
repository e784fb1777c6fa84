"""A question as JSON, with its files in base64."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import Refused
from core.filters import Filter
from core.spaces import Sparse
from ingest.files import opened
from quiver.asking import Question, keys_of, several, vector_of
from retrieval.filter_json import write
from retrieval.request import numbered

PathLike = str | Path
_NUMBERED = re.compile(r"(?:^query |\bbody\.queries\.)(\d+)")
FILES = ("image", "audio", "video")


def body_of(question: Question) -> dict[str, Any]:
    """What the server's `SearchQuery` reads. Raises BadQuery, and what a file that cannot be read raises."""
    body = _thing({each.name: getattr(question, each.name) for each in fields(question)})
    if isinstance(question.where, Filter):
        body["where"] = write(question.where)
    body["mix"] = [_thing(dict(part)) for part in question.mix or ()]
    body["less"] = list(question.less)
    body["weights"] = dict(question.weights or {})
    body["rerank"] = [spec if isinstance(spec, str) else dict(spec) for spec in question.rerank]
    body["without"] = [str(key) for key in keys_of(question.without)]
    if question.modality is not None:
        said = question.modality
        body["modality"] = [str(said)] if isinstance(said, str) else [str(each) for each in said]
    return {name: value for name, value in body.items() if value is not None}


def bodies_of(queries: Sequence[Question | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of several. Raises as `body_of`, for the first that is wrong, which is numbered."""
    out = []
    for at, question in enumerate(several(queries)):
        with numbered(at, len(queries)):
            out.append(body_of(question))
    return out


@contextmanager
def counted(before: int, some: int, of: int) -> Iterator[None]:
    """A server numbers the queries of one request, and one alone not at all; here they are numbered among all."""
    try:
        yield
    except Refused as exc:
        if of == 1:
            raise
        said, found = _NUMBERED.subn(lambda number: f"query {before + int(number[1])}", str(exc))
        raise type(exc)(said if found or some > 1 else f"query {before}: {said}") from exc


def _thing(said: dict[str, Any]) -> dict[str, Any]:
    """The same with what is asked by as JSON."""
    for name in FILES:
        if said.get(name) is not None:
            with stream_of(said[name]) as (source, _):
                said[name] = base64.b64encode(source.read()).decode()
    if said.get("like") is not None:
        said["like"] = str(said["like"])
    if said.get("vector") is not None:
        said["vector"] = vector_said(said["vector"])
    return said


def vector_said(given: Any) -> Mapping[str, Any]:
    """A vector as JSON. Raises BadQuery."""
    read = vector_of(given)
    values = read.vector.values if isinstance(read.vector, Sparse) else read.vector
    return {
        "space": read.space,
        "values": values.tolist(),
        "indices": read.vector.indices.tolist() if isinstance(read.vector, Sparse) else None,
        "modality": None if read.modality is None else str(read.modality),
    }


@contextmanager
def stream_of(given: PathLike | bytes | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """A stream of what was given, and its name."""
    if isinstance(given, bytes):
        yield io.BytesIO(given), ""
    elif isinstance(given, (str, Path)):
        with opened(Path(given)) as source:
            yield source, Path(given).name
    else:
        yield given, ""
