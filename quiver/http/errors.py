"""Faults as problem+json (RFC 9457). The only place that knows HTTP statuses."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core import errors
from core.errors import Defect, Fault, Misconfigured, Refused, Unavailable

log = logging.getLogger(__name__)
STATUS: dict[type[Fault], int] = {
    Refused: 422,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NoSuchCollection: 404,
    errors.NoSuchAsset: 404,
    errors.NoSuchJob: 404,
    errors.NoSuchKey: 404,
    errors.NoSuchErasure: 404,
    errors.NoSuchQuery: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.QuotaExceeded: 429,
    errors.InProgress: 409,
    Unavailable: 503,
    errors.SchemaOutdated: 503,
    errors.UnknownProfile: 422,
    Misconfigured: 500,
    Defect: 500,
}
HINTS: dict[type[Fault], str] = {
    Refused: "correct the request",
    Unavailable: "send it again later",
    Misconfigured: "the operator must correct the installation or its settings",
    Defect: "please report this with the request id",
}
MEDIA_TYPE = "application/problem+json"
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "hint", "retryable", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "urn:quiver:fault: and the fault's class"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong with this request"},
        "hint": {"type": "string", "description": "What to do"},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object"},
            "description": "Of a body that does not fit, each place",
        },
    },
}


def status_of(kind: type[Fault]) -> int:
    """The HTTP status of a class of faults."""
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def problem(request: Request, fault: Fault, **more: Any) -> JSONResponse:
    """A fault as a response."""
    kind = type(fault)
    title, _, remedy = (kind.__doc__ or "").strip().rstrip(".").partition(": ")
    hint = remedy or next(HINTS[each] for each in kind.__mro__ if each in HINTS)
    status = status_of(kind)
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(fault, Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after)))
    mark: str = getattr(request.state, "mark", "")  # of the tenant's own collections: nothing that people say
    detail = str(fault).replace(mark, "") if mark else str(fault)
    return _response(request, fault.kind, title, status, detail, hint, fault.retryable, headers, more)


def _response(
    request: Request,
    kind: str,
    title: str,
    status: int,
    detail: str,
    hint: str,
    retryable: bool,
    headers: Mapping[str, str],
    more: Mapping[str, Any],
) -> JSONResponse:
    said = {
        "type": f"urn:quiver:fault:{kind}",
        "title": title,
        "status": status,
        "detail": detail.encode("utf-8", "replace").decode(),  # a lone surrogate that somebody sent is no UTF-8
        "hint": hint,
        "retryable": retryable,
        "request_id": getattr(request.state, "request_id", ""),
        **more,
    }
    return JSONResponse(said, status, headers=dict(headers), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every fault of this application as a problem."""

    def fault(request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, Fault)
        if isinstance(exc, (Defect, Misconfigured)):
            log.error("%s: %s", exc.kind, exc, exc_info=exc)
        return problem(request, exc)

    def invalid(request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, RequestValidationError)
        places = [{"at": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in exc.errors()]
        said = "; ".join(f"{place['at']}: {place['message']}" for place in places[:5])
        if request.method in ("POST", "PUT") and "json" not in request.headers.get("content-type", ""):
            said = f"the body is read as JSON: send Content-Type: application/json ({said})"
        elif any(place["at"] == "path.asset" for place in places):
            said = f"an asset's address has its id, not its name: ask for assets?external_id=NAME ({said})"
        return problem(request, errors.BadQuery(said), errors=places[:50])

    def http(request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, HTTPException)
        if isinstance(exc.__cause__, Fault):  # of a body that was given up while FastAPI read it
            return problem(request, exc.__cause__)
        if exc.status_code == 400:  # of a body that FastAPI could not read: nested too deeply, for instance
            return problem(request, errors.BadQuery(f"the body cannot be read: {exc.detail}"))
        hint = "see /docs for the routes there are"
        return _response(
            request, "Http", str(exc.detail), exc.status_code, str(exc.detail), hint, False, exc.headers or {}, {}
        )

    def unknown(request: Request, exc: Exception) -> JSONResponse:
        log.error("a request failed in a way that nobody foresaw", exc_info=exc)
        return problem(request, Defect("something went wrong on our side"))

    app.add_exception_handler(Fault, fault)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unknown)
