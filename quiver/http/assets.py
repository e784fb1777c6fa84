"""Assets: taken in, looked at, fetched and removed."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from core.errors import NoSuchAsset, TooLarge
from ingest.sources.manifest import MEDIA_TYPES
from quiver.http.access import Reader, Writer
from quiver.http.bodies import Sent, received
from quiver.http.replies import IdempotencyKey, once
from quiver.http.schemas import Keys, Label, NewAsset, Page
from quiver.http.views import Accepted, AddedOut, AssetOut, AssetsPage, JobOut, RefusedOut, RemovedOut

router = APIRouter(prefix="/v1/collections/{collection}/assets", tags=["assets"])
PRIVATE = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "May come several times"},
        "id": {"type": "string", "maxLength": 1023, "description": "Otherwise, or when empty, the file's name"},
        "metadata": {"type": "string", "description": "A JSON object, for all files"},
    },
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewAsset.model_json_schema()},
            "multipart/form-data": {"schema": FORM},
            MEDIA_TYPES["jsonl"]: {
                "schema": {
                    "type": "string",
                    "description": 'A bulk job: a JSON object a line with "text" or "url", and "id" and "metadata"',
                }
            },
            MEDIA_TYPES["csv"]: {
                "schema": {
                    "type": "string",
                    "description": "A bulk job: columns text or url, and id; the others are metadata",
                }
            },
            MEDIA_TYPES["parquet"]: {
                "schema": {"type": "string", "format": "binary", "description": "The same columns as Parquet"}
            },
        },
    }
}


@router.post("", status_code=202, response_model=Accepted, openapi_extra=BODY)
def add(
    collection: Label,
    caller: Writer,
    sent: Annotated[Sent, Depends(received)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Take in a text, what is at an address, files, or a manifest (a bulk job). Answered when it is durable; it is
    found when its state is `indexed`."""

    def work() -> tuple[int, BaseModel]:
        caller.charge(assets=sent.lines or len(sent.files) or 1, size=sent.size)
        if sent.manifest is not None:
            return 202, Accepted(job=JobOut.of(caller.quiver.bulk(collection, sent.manifest, key=idempotency_key)))
        if sent.asset is not None:
            said = sent.asset
            most = caller.parts.settings.max_metadata_bytes
            if len(json.dumps(said.metadata)) > 6 * most:  # as an escape takes six bytes: looked at before all else
                raise TooLarge(
                    f"the metadata is far over {most:,} bytes: send less, or raise QUIVER_MAX_METADATA_BYTES"
                )
            one = caller.quiver.add(collection, text=said.text, url=said.url, id=said.id, metadata=said.metadata)
            return 202, Accepted(assets=[AddedOut.of(collection, one)])
        added, refused = caller.quiver.add_files(collection, sent.files)
        return 202, Accepted(
            assets=[AddedOut.of(collection, one) for one in added],
            refused=[RefusedOut(name=p.name, kind=p.kind, message=p.message) for p in refused],
        )

    return once(caller, idempotency_key, sent.fingerprint, work, scope=collection)


@router.get("")
def listing(
    collection: Label,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=1023, description="The external id of the last one seen")] = None,
    external_id: Annotated[str | None, Query(max_length=1023, description="Only the one of that external id")] = None,
    limit: Annotated[Page, Query()] = 100,
) -> AssetsPage:
    """A page of assets by external id."""
    if external_id is not None:
        try:
            found = caller.quiver.show(collection, external_id)
        except NoSuchAsset:
            return AssetsPage(assets=[], next=None)
        return AssetsPage(assets=[AssetOut.of(found)], next=None)
    page = caller.quiver.assets(collection, after=after, limit=limit)
    more = page[-1].asset.external_id if len(page) == limit else None
    return AssetsPage(assets=[AssetOut.of(each) for each in page], next=more)


@router.post("/remove")
def remove(collection: Label, keys: Keys, caller: Writer) -> RemovedOut:
    """Remove assets by id or external id: found no more when this is answered."""
    done = caller.quiver.remove(collection, *keys.assets)
    return RemovedOut(removed=done.removed, unknown=list(done.unknown))


@router.get("/{asset}")
def show(collection: Label, asset: UUID, caller: Reader) -> AssetOut:
    """One asset: its state, and why it failed if it did."""
    return AssetOut.of(caller.quiver.show(collection, asset))


@router.delete("/{asset}", status_code=204)
def delete(collection: Label, asset: UUID, caller: Writer) -> None:
    """Remove one asset: found no more when this is answered."""
    caller.quiver.show(collection, asset)
    caller.quiver.remove(collection, asset)


@router.get("/{asset}/content", response_class=FileResponse)
def content(
    collection: Label, asset: UUID, caller: Reader, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The original bytes; ranges are answered. Never shown as a page: what somebody sent may be a program."""
    there, place = caller.quiver.place(collection, asset)
    headers = {**PRIVATE, "Content-Security-Policy": "sandbox", "ETag": f'"{there.asset.digest}"'}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    name = there.asset.external_id.rpartition("/")[2] or str(asset)
    if place is None:
        headers["Content-Disposition"] = "attachment"
        return Response(caller.quiver.content(collection, asset), media_type=there.asset.media_type, headers=headers)
    return FileResponse(place, media_type=there.asset.media_type, filename=name, headers=headers)


@router.get("/{asset}/thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def thumbnail(
    collection: Label, asset: UUID, caller: Reader, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """A JPEG of at most 240 pixels on its longer side, of a picture."""
    there, _ = caller.quiver.place(collection, asset)
    headers = {**PRIVATE, "ETag": f'"{there.asset.digest}-240"'}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(caller.quiver.thumbnail(collection, asset), media_type="image/jpeg", headers=headers)
