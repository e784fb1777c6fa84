"""Collections as tables, taken out and in by administrators of a tenant."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from os import SEEK_END
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from core.errors import Conflict, ModelMismatch, NoSuchCollection
from core.records import Outcome
from ingest.sources.manifest import MEDIA_TYPES
from quiver.http.access import Admin, Caller, able
from quiver.http.bodies import table
from quiver.http.places import place
from quiver.http.schemas import MOST_CHARS, In, Label
from quiver.http.views import RefusedOut
from workers.importing import Imported
from workers.table import Heading
from workers.table_reader import Reader

router = APIRouter(prefix="/v1/collections/{collection}", tags=["archive"])
PARQUET = MEDIA_TYPES["parquet"]
PIECE = 1 << 20  # bytes of a table that are sent at once
MOST_TOLD = 10_000  # refusals in an answer
COUNTS = ("points", "assets", "changing")  # of an export, each as the header Quiver-NAME


class ExportIn(In):
    """What is exported."""

    where: Annotated[str, Field(max_length=MOST_CHARS)] | dict[str, Any] | None = Field(
        default=None, description="An expression, or Qdrant's filter JSON; without it everything of the tenant"
    )


class ImportedOut(BaseModel):
    """What an import did."""

    rows: int
    outcomes: dict[Outcome, int]
    points: int
    refusals: int
    refused: list[RefusedOut] = Field(description=f"At most {MOST_TOLD:,} of them")
    without_bytes: int
    ignored: list[str]

    @classmethod
    def of(cls, said: Imported) -> ImportedOut:
        """From a report."""
        told = said.refused[:MOST_TOLD]
        return cls(
            rows=said.rows,
            outcomes=said.outcomes,
            points=said.points,
            refusals=len(said.refused),
            refused=[RefusedOut(name=one.name, kind=one.kind, message=one.message) for one in told],
            without_bytes=said.without_bytes,
            ignored=list(said.ignored),
        )


@router.post(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {PARQUET: {"schema": {"type": "string", "format": "binary"}}},
            "headers": {f"Quiver-{name.title()}": {"schema": {"type": "integer"}} for name in COUNTS},
        }
    },
)
def export(collection: Label, caller: Admin, what: ExportIn) -> StreamingResponse:
    """What is indexed, with its vectors, as a Parquet table: a row a segment, and no bytes. It is written whole before
    it is sent, so that the answer begins late."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it was sent
    try:
        with place(), able():
            done = caller.quiver.export(collection, file, where=what.where)
        size = file.seek(0, SEEK_END)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    counts = {f"Quiver-{name.title()}": str(getattr(done, name)) for name in COUNTS}
    headers = {
        **counts,
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{collection}.parquet"',
    }
    return StreamingResponse(_sent(file), media_type=PARQUET, headers=headers)


def _sent(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


@router.post(
    "/import",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {PARQUET: {"schema": {"type": "string", "format": "binary", "description": "An export"}}},
        }
    },
)
def import_(collection: Label, caller: Admin, sent: Annotated[BinaryIO, Depends(table)]) -> ImportedOut:
    """Take in what an export gave, with its vectors: nothing is embedded. Makes the collection if there is none. Twice
    is once, and what a broken connection left undone is done when it is sent again."""
    with place(), able():
        there = Reader(sent)
        _may_make(caller, collection, there.heading)
        caller.charge(assets=there.rows, size=sent.seek(0, SEEK_END))
        try:
            return ImportedOut.of(caller.quiver.import_(sent, collection))
        except ModelMismatch as fault:  # of what was sent, and not of this installation
            raise Conflict(str(fault)) from fault


def _may_make(caller: Caller, collection: str, heading: Heading) -> None:
    """Raises Forbidden, BadQuery when the collection is to be made and has what a request may not ask for."""
    with suppress(NoSuchCollection):
        caller.quiver.status(collection)
        return
    caller.profile(heading.profile)
    caller.reads(heading.reads)
