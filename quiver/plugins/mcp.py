"""MCP: a server whose tools let a language model search one tenant's assets. The extra `mcp`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

from core.errors import BadQuery, Fault, Unavailable
from core.types import Modality
from quiver.plugins.door import Door, missing, passage, span_of
from quiver.reports import AssetView
from retrieval.request import Answer, Hit

try:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations
except ModuleNotFoundError as exc:
    raise missing("MCP", "mcp") from exc

PATIENCE = 60.0  # seconds that `add` waits for workers
WHERE = 'kind = photo and (price < 20 or tag in ["a"])'
INSTRUCTIONS = f"""\
Quiver holds texts and pictures in collections and finds both by meaning. Call `status` first: it names the collections
and the fields that a filter may use. A filter is an expression over declared fields, as {WHERE}. Scores are of one
answer only: compare ranks, and call `explain` to see why something was found."""
P = ParamSpec("P")
R = TypeVar("R")


def make_server(door: Door, *, write: bool = False) -> MCPServer[Any]:
    """A server over the assets that `door` sees. Only with `write` has it tools that change anything."""
    server: MCPServer[Any] = MCPServer("quiver", instructions=INSTRUCTIONS, log_level="WARNING")
    tools = Tools(door)
    for read in (tools.search, tools.similar, tools.explain, tools.status, tools.asset):
        server.add_tool(_told(read), annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    if write:
        adding = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
        server.add_tool(_told(tools.add), annotations=adding)
        removing = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
        server.add_tool(_told(tools.remove), annotations=removing)
    return server


def serve(door: Door, *, write: bool = False, transport: Literal["stdio", "http"] = "stdio", port: int = 8081) -> None:
    """Answer until the other side ends or we are stopped; HTTP on this machine alone, at http://127.0.0.1:port/mcp."""
    server = make_server(door, write=write)
    if transport == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=port)


class Tools:
    """The tools. Their signatures are their schemas and their docstrings what a model reads."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def search(
        self,
        collection: str,
        query: str,
        where: str | None = None,
        modality: Modality | None = None,
        limit: int = 10,
    ) -> dict[str, Any]:
        """Find texts, pictures, sounds and films by meaning, best first.

        query: what to look for, in words. where: a filter over the collection's declared fields, for example
        price < 20 and kind = "photo". modality: text, image, audio or video, to find only those. limit: at
        most so many, up to 1000.
        """
        answer = self._door.search(collection, query, where=where, modality=modality, limit=limit)
        return {"hits": [self._found(collection, hit) for hit in answer.hits]}

    def similar(
        self,
        collection: str,
        asset: str,
        where: str | None = None,
        modality: Modality | None = None,
        limit: int = 10,
    ) -> dict[str, Any]:
        """Find what is most like an asset of the collection, which is itself left out.

        asset: its id or external_id. where, modality, limit: as in search.
        """
        answer = self._door.search(collection, like=asset, where=where, modality=modality, limit=limit)
        return {"hits": [self._found(collection, hit) for hit in answer.hits]}

    def explain(
        self,
        collection: str,
        query: str,
        where: str | None = None,
        modality: Modality | None = None,
        limit: int = 5,
    ) -> dict[str, Any]:
        """Search, and say of each hit which embedding space found it: its raw score, rank and passage in each.

        A raw score compares with others of its space only. The order comes from the ranks.
        """
        answer = self._door.search(collection, query, where=where, modality=modality, limit=limit)
        return _explained(answer)

    def _found(self, collection: str, hit: Hit) -> dict[str, Any]:
        text = {"text": passage(self._door, collection, hit)} if hit.text else {}
        return {**_hit(hit), **text}

    def status(self, collection: str | None = None) -> dict[str, Any]:
        """The collections, or one: fields that filters may name, encoders, and how many assets are in each state."""
        return {
            "collections": [
                {
                    "name": each.name,
                    "fields": {name: str(kind) for name, kind in each.fields.items()},
                    "encoders": dict(each.encoders),
                    "assets": {str(state): count for state, count in each.counts.items()},
                }
                for each in self._door.status(collection)
            ]
        }

    def asset(self, collection: str, asset: str) -> dict[str, Any]:
        """One asset by its id or external_id: its metadata, its state, and why it failed if it did."""
        return _asset(self._door.show(collection, asset))

    def add(
        self,
        collection: str,
        text: str | None = None,
        url: str | None = None,
        data: str | None = None,
        id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Add one thing to a collection, which is made if there is none: exactly one of text, url, data.

        url: an address to fetch a file from. data: a file in base64. id: its external id; what has that id is
        replaced. metadata: values of declared fields have the declared type.
        """
        file = None if data is None else _decoded(data)
        added = self._door.add(collection, text=text, url=url, file=file, id=id, metadata=metadata)
        with suppress(Unavailable):  # it is kept, and its state says that it waits
            self._door.wait(collection, added.id, timeout=PATIENCE)
        return {"outcome": str(added.outcome), **_asset(self._door.show(collection, added.id))}

    def remove(self, collection: str, assets: list[str]) -> dict[str, Any]:
        """Remove assets by id or external_id. It cannot be undone. Those that are not there are listed as unknown."""
        done = self._door.remove(collection, *assets)
        return {"removed": done.removed, "unknown": list(done.unknown)}


def _told(tool: Callable[P, R]) -> Callable[P, R]:
    """The tool, with faults as what a model may read: which, and what to do."""

    @wraps(tool)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except Fault as fault:
            again = " (try again later)" if fault.retryable else ""
            raise ToolError(f"{fault.kind}: {fault}{again}") from fault

    return call


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as exc:
        raise BadQuery(f"data is no base64: {exc}") from exc


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "id": str(hit.asset),
        "external_id": hit.external_id,
        "modality": str(hit.modality),
        "media_type": hit.media_type,
        "score": hit.score,
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }


def _explained(answer: Answer) -> dict[str, Any]:
    hits = []
    for hit in answer.hits:
        matches = [
            {"space": m.space, "score": m.score, "rank": m.rank, "span": span_of(m.span), "text": m.text}
            for m in hit.matches
        ]
        hits.append({**_hit(hit), "matches": matches})
    return {"hits": hits, "encoders": dict(answer.encoders)}


def _asset(view: AssetView) -> dict[str, Any]:
    asset, failure = view.asset, view.failure
    return {
        "id": str(asset.id),
        "external_id": asset.external_id,
        "state": str(view.state),
        "failure": None
        if failure is None
        else {"kind": failure.kind, "message": failure.message, "attempts": failure.attempts},
        "modality": str(asset.modality),
        "media_type": asset.media_type,
        "bytes": asset.size,
        "metadata": dict(asset.metadata),
        "added_at": asset.created_at.isoformat(),
    }
