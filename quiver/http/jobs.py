"""Bulk jobs: how they stand, and as events."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from core.errors import Fault, Overloaded
from quiver.http.access import Caller, Reader, vouched
from quiver.http.schemas import Label, Page
from quiver.http.views import JobOut, RefusedOut

router = APIRouter(prefix="/v1", tags=["jobs"])
EVERY, LONGEST = 0.5, 5.0  # seconds between looks, at first and at most
LASTS = 600.0  # seconds of a stream; then a client asks again
STREAMS, ALL_STREAMS = 10, 100  # that are open at once, of a tenant and of a process
_open: Counter[str] = Counter()  # by tenant
SILENCE = 3  # looks without news after which a comment keeps the connection open


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
    who = str(caller.tenant)
    if _open[who] >= STREAMS or _open.total() >= ALL_STREAMS:
        fault = Overloaded("as many streams of events are open as there may be: ask for the status instead")
        fault.retry_after = LONGEST
        raise fault
    return StreamingResponse(_counted(who, _events(caller, job, first, request)), media_type="text/event-stream")


async def _counted(who: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
    _open[who] += 1
    try:
        async for event in events:
            yield event
    finally:
        _open[who] -= 1
        if not _open[who]:
            del _open[who]


async def _events(caller: Caller, job: UUID, now: JobOut, request: Request) -> AsyncIterator[str]:
    said, silent, pause, until = "", 0, EVERY, monotonic() + LASTS
    while True:
        news = now.model_dump_json(exclude={"oldest_seconds"})
        if news != said:
            said, silent, pause = news, 0, EVERY
            yield f"event: status\ndata: {now.model_dump_json()}\n\n"
        elif (silent := silent + 1) % SILENCE == 0:
            yield ": still here\n\n"
        if now.done or monotonic() > until or await request.is_disconnected():
            return
        await asyncio.sleep(pause)
        pause = min(LONGEST, pause * 1.2)  # a job without news is asked after less often
        try:
            await run_in_threadpool(vouched, request)  # its key may have ended meanwhile
            now = JobOut.of(await run_in_threadpool(caller.quiver.job, job))
        except Fault as fault:
            yield f"event: fault\ndata: {fault.kind}\n\n"
            return
