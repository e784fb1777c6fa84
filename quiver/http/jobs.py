"""Bulk jobs: how they stand, and as events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from core.errors import Fault
from quiver.http.access import Caller, Reader
from quiver.http.schemas import Label, Page
from quiver.http.views import JobOut, RefusedOut

router = APIRouter(prefix="/v1", tags=["jobs"])
EVERY = 0.5  # seconds between events
SILENCE = 30  # looks without news after which a comment keeps the connection open


@router.get("/collections/{collection}/jobs")
def listing(collection: Label, caller: Reader, limit: Annotated[Page, Query()] = 100) -> list[JobOut]:
    """The bulk jobs of a collection, newest first. Finished ones are forgotten after some days."""
    return [JobOut.of(each) for each in caller.quiver.jobs(collection, limit=limit)]


@router.get("/jobs/{job}")
def status(job: UUID, caller: Reader) -> JobOut:
    """How a job stands: its assets by state, the age of the oldest that waits, the first refused lines."""
    return JobOut.of(caller.quiver.job(job))


@router.get("/jobs/{job}/refusals")
def refusals(
    job: UUID,
    caller: Reader,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="The last line seen")] = 0,
    limit: Annotated[Page, Query()] = 100,
) -> list[RefusedOut]:
    """Lines that were refused, in order."""
    found = caller.quiver.refusals(job, after=after, limit=limit)
    return [RefusedOut(name=r.name, kind=r.kind, message=r.message, line=r.line) for r in found]


@router.get(
    "/jobs/{job}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def events(job: UUID, caller: Reader, request: Request) -> StreamingResponse:
    """The job's status as server-sent events, one whenever it changes; the stream ends when the job is done."""
    first = JobOut.of(caller.quiver.job(job))  # a job that is not there is answered as such
    return StreamingResponse(_events(caller, job, first, request), media_type="text/event-stream")


async def _events(caller: Caller, job: UUID, now: JobOut, request: Request) -> AsyncIterator[str]:
    said, silent = "", 0
    while True:
        news = now.model_dump_json(exclude={"oldest_seconds"})
        if news != said:
            said, silent = news, 0
            yield f"event: status\ndata: {now.model_dump_json()}\n\n"
        elif (silent := silent + 1) % SILENCE == 0:
            yield ": still here\n\n"
        if now.done or await request.is_disconnected():
            return
        await asyncio.sleep(EVERY)
        try:
            now = JobOut.of(await run_in_threadpool(caller.quiver.job, job))
        except Fault as fault:
            yield f"event: fault\ndata: {fault.kind}\n\n"
            return
