"""Collections: what there is, and making one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from quiver.http.access import Reader, Writer
from quiver.http.schemas import Label, NewCollection
from quiver.http.views import CollectionOut

router = APIRouter(prefix="/v1/collections", tags=["collections"])


@router.get("")
def listing(caller: Reader) -> list[CollectionOut]:
    """The collections that the caller sees, with how many of its assets are in each state."""
    return [CollectionOut.of(each) for each in caller.quiver.status()]


@router.get("/{collection}")
def status(collection: Label, caller: Reader) -> CollectionOut:
    """One collection."""
    [found] = caller.quiver.status(collection)
    return CollectionOut.of(found)


@router.put("/{collection}")
def create(
    collection: Label, caller: Writer, declared: Annotated[NewCollection | None, Body()] = None
) -> CollectionOut:
    """Make a collection. Twice alike is once; a difference is a conflict."""
    said = declared or NewCollection()
    fields = {name: str(kind) for name, kind in said.fields.items()} if declared is not None else None
    profile = caller.profile(said.profile)
    return CollectionOut.of(
        caller.quiver.create(collection, fields=fields, profile=profile, reads=caller.reads(said.reads))
    )
