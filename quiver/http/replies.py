"""Requests that may come twice: with an Idempotency-Key the first answer is given again.

After the IETF draft "The Idempotency-Key HTTP Header Field". A request that died half way is done anew: what it had
registered is registered once, because an asset is called by its id or by its digest, and a job by the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import Header, Response
from pydantic import BaseModel

from core.errors import Conflict, InProgress
from quiver.http.access import Caller

LEASE = timedelta(seconds=10)  # after which a request that was not answered may be done by another: twice is once
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="The same key and body again give the first answer again, for a week", min_length=1, max_length=255
    ),
]


def once(
    caller: Caller, key: str | None, fingerprint: str, work: Callable[[], tuple[int, BaseModel]], *, scope: str
) -> Response:
    """The answer of `work`, or the one it gave before. Raises Conflict when the key came with another request,
    InProgress when the first is still at work."""
    if key is None:
        status, body = work()
        return _json(status, body.model_dump_json())
    kept = hashlib.sha256(f"{scope}\0{key}".encode("utf-8", "replace")).hexdigest()
    catalogue = caller.parts.catalogue
    earlier = catalogue.begin_reply(caller.tenant, kept, fingerprint, lease=LEASE)
    if earlier is not None:
        if earlier.fingerprint != fingerprint:
            raise Conflict("that Idempotency-Key came with another request: use a new key for a new request")
        if earlier.status is None or earlier.body is None:
            raise InProgress
        return _json(earlier.status, earlier.body, replayed=True)
    try:
        status, body = work()
    except BaseException:
        catalogue.end_reply(caller.tenant, kept, status=None, body=None)
        raise
    said = body.model_dump_json()
    catalogue.end_reply(caller.tenant, kept, status=status, body=said)
    return _json(status, said)


def _json(status: int, body: str, *, replayed: bool = False) -> Response:
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    return Response(body, status, media_type="application/json", headers=headers)
