"""Request bodies: limited before they are read, spooled to disk, and given up when they only trickle."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import BadManifest, BadMetadata, BadQuery, MissingExtra, TooLarge, Unavailable, UnsupportedMedia
from ingest.sources.manifest import MEDIA_TYPES, Form, form_of
from ingest.sources.parquet import parquet_count
from ingest.sources.upload import Upload
from quiver.http.schemas import NewAsset
from workers.intake import LONGEST_ID

JSON_BYTES = 16 << 20  # of a JSON body, pictures in base64 included
FREE = 64 << 10  # bytes that are read before it is known who sends them
SLACK = 1 << 20  # of a form beyond its file
FILES = 100  # of a form
PATIENCE = 20.0  # seconds for the next piece of a body
SPOOL = 1 << 20  # bytes of a body that are held in memory
MANIFESTS: dict[str, Form] = {
    **dict.fromkeys(
        ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines"), "jsonl"
    ),
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}


class Bodies:
    """Middleware: counts a body while it comes, and waits for no piece of it longer than PATIENCE.

    A framework reads a body before it looks at who sends it: so beyond FREE bytes the sender is looked at here.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, max_bulk_bytes: int, vouched: Callable[[Request], None]
    ) -> None:
        """`vouched` raises when the request has no credential that is good."""
        self._app = app
        self._vouched = vouched
        self._most = {"multipart/form-data": max_bytes + SLACK, **dict.fromkeys(MANIFESTS, max_bulk_bytes)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        most = self._most.get(said.get("content-type", "").partition(";")[0].strip().lower(), JSON_BYTES)
        length = said.get("content-length", "")
        declared = int(length) if length.isdigit() else 0
        read, ended, known = 0, False, False

        async def counted() -> Message:
            nonlocal read, ended, known
            if ended:
                return await receive()  # that the client has gone, perhaps hours later
            if not known and max(declared, read) > FREE:
                await run_in_threadpool(self._vouched, Request(scope))
                known = True
            if declared > most:
                raise TooLarge(f"the body is of {declared:,} bytes, but at most {most:,} are taken: send less at once")
            try:
                message = await asyncio.wait_for(receive(), PATIENCE)
            except TimeoutError:
                raise Unavailable(f"nothing of the body came for {PATIENCE:g} s: send it again") from None
            read += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if read > most:
                raise TooLarge(f"the body has over {most:,} bytes: send less at once")
            return message

        await self._app(scope, counted, send)


@dataclass(slots=True)
class Sent:
    """What came in a request to add: one asset by its text or address, files, or a manifest."""

    asset: NewAsset | None = None
    files: list[Upload] = field(default_factory=list)
    manifest: BinaryIO | None = None
    size: int = 0  # bytes
    lines: int = 0  # of the manifest
    fingerprint: str = ""  # sha-256 over all that was sent


async def received(request: Request) -> AsyncIterator[Sent]:
    """The body of a request to add, by its content type; its files are closed afterwards."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            yield _marked(await _json(request), kind)
        elif kind in MANIFESTS:
            with tempfile.SpooledTemporaryFile(SPOOL) as spool:
                source = cast(BinaryIO, spool)  # it is one, but for its declared base
                yield _marked(await _manifest(request, source, MANIFESTS[kind]), kind)
        elif kind == "multipart/form-data":
            async with request.form(max_files=FILES, max_fields=2 * FILES, max_part_size=SLACK) as form:
                yield _marked(await run_in_threadpool(_form, list(form.multi_items())), kind)
        else:
            raise UnsupportedMedia(
                f"a body of {kind or 'no type'} is not taken: send application/json, multipart/form-data, or a "
                "manifest as "
                f"{', '.join(MEDIA_TYPES.values())}"
            )
    except HTTPException as exc:  # what Starlette makes of a form that it cannot parse
        raise BadQuery(f"the form cannot be read: {exc.detail}") from exc
    except ClientDisconnect:
        raise Unavailable("the body ended too early: send it again") from None


def _marked(sent: Sent, kind: str) -> Sent:
    """The same bytes as something else are another request."""
    sent.fingerprint = f"{kind} {sent.fingerprint}"
    return sent


async def _json(request: Request) -> Sent:
    body = await request.body()
    try:
        asset = NewAsset.model_validate_json(body)
    except ValidationError as exc:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in exc.errors(include_input=False)
        )
        raise BadQuery(said) from None
    return Sent(asset=asset, size=len(body), fingerprint=hashlib.sha256(body).hexdigest())


async def table(request: Request) -> AsyncIterator[BinaryIO]:
    """The body as a file, where it is declared as Parquet; closed afterwards."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if MANIFESTS.get(kind) != "parquet":
        raise UnsupportedMedia(f"a body of {kind or 'no type'} is not taken: send {MEDIA_TYPES['parquet']}")
    with tempfile.SpooledTemporaryFile(SPOOL) as spool:
        source = cast(BinaryIO, spool)  # it is one, but for its declared base
        try:
            async for piece in request.stream():
                await asyncio.to_thread(source.write, piece)
        except ClientDisconnect:
            raise Unavailable("the body ended too early: send it again") from None
        yield source


async def _manifest(request: Request, spool: BinaryIO, form: Form) -> Sent:
    hashed, size, lines = hashlib.sha256(), 0, 0
    async for piece in request.stream():
        hashed.update(piece)
        size += len(piece)
        lines += piece.count(b"\n")
        await asyncio.to_thread(spool.write, piece)
    if not size:
        raise BadQuery("the body is empty: send one JSON object a line")
    rows = await run_in_threadpool(_rows, spool, form)
    spool.seek(0)
    return Sent(manifest=spool, size=size, lines=lines + 1 if rows is None else rows, fingerprint=hashed.hexdigest())


def _rows(manifest: BinaryIO, form: Form) -> int | None:
    """How many rows a table has; None: as many as lines. Who takes it in sees its form by its content, so that must be
    what was declared. Raises BadManifest, CorruptMedia, UnsupportedMedia."""
    found = form_of(manifest)
    if form == "csv" and found != "csv":
        raise BadManifest("its first line must name the columns, in UTF-8, and one of them text or url")
    if form != "csv" and found != form:
        raise BadManifest(f"it is declared as {MEDIA_TYPES[form]} and looks like {MEDIA_TYPES[found]}: declare that")
    if form != "parquet":
        return None
    try:
        return max(1, parquet_count(manifest))
    except MissingExtra as exc:
        raise UnsupportedMedia(
            "this server reads no Parquet, for its operator has not installed quiver[parquet]"
        ) from exc


def _form(items: list[tuple[str, UploadFile | str]]) -> Sent:
    files = [value for name, value in items if isinstance(value, UploadFile)]
    said = {name: value for name, value in items if isinstance(value, str)}
    if unknown := sorted({name for name, _ in items} - {"file", "id", "metadata"}):
        raise BadQuery(f"the form has {unknown[0]!r}: its fields are file (once or more), id and metadata")
    if not files:
        raise BadQuery("the form holds no file: send it as the field `file`")
    if "id" in said and len(files) > 1:
        raise BadQuery("an id names one file: send one a request, or none, to call each by its name")
    if len(said.get("id", "")) > LONGEST_ID:
        raise BadQuery(f"an id has at most {LONGEST_ID} characters")
    metadata = _metadata(said.get("metadata", ""))
    hashed = hashlib.sha256(json.dumps(sorted(said.items())).encode())
    uploads = []
    for each in files:
        # A client's path is never used: the last part of it is what the asset is called, and a hint of what it is.
        name = (each.filename or "").replace("\\", "/").rpartition("/")[2]
        hashed.update(name.encode("utf-8", "replace") + b"\0")
        while piece := each.file.read(SPOOL):
            hashed.update(piece)
        each.file.seek(0)
        uploads.append(Upload(said.get("id") or name, each.file, name, metadata))
    return Sent(
        files=uploads,
        size=sum(each.size or 0 for each in files) + len(said.get("metadata", "")) * len(files),
        fingerprint=hashed.hexdigest(),
    )


def _metadata(said: str) -> Mapping[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not in JSON")

    constant: Callable[[str], Any] = refuse
    try:
        read = json.loads(said or "{}", parse_constant=constant)
    except (ValueError, RecursionError) as exc:
        raise BadMetadata(f"`metadata` is not JSON ({exc}): send an object") from exc
    if not isinstance(read, dict):
        raise BadMetadata("`metadata` must be a JSON object")
    return read
