"""The HTTP application over toy parts on a real server: a thread with a port of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from time import monotonic, sleep
from typing import Any

import httpx
import PIL.Image
import uvicorn

from core.desk import Quota, Role
from core.runtime.wiring import Parts
from quiver.http.app import make_app
from workers.keys import issue

PATIENCE = 20.0  # seconds


@contextmanager
def serving(parts: Parts, **config: Any) -> Iterator[str]:
    """The application served; its base URL."""
    server = uvicorn.Server(
        uvicorn.Config(make_app(parts), host="127.0.0.1", port=0, log_config=None, access_log=False, **config)
    )
    thread = Thread(target=server.run)
    thread.start()
    try:
        until = monotonic() + PATIENCE
        while not server.started:
            assert monotonic() < until
            assert thread.is_alive()
            sleep(0.01)
        [listening] = server.servers
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def key_for(parts: Parts, tenant: str, *roles: Role, quota: Quota | None = None) -> str:
    """The secret of a new key."""
    wanted = roles or (Role.ADMIN,)
    return issue(parts, tenant, "a key", wanted, quota=quota or Quota(), lifetime=None, operator=True).secret


def client(base: str, key: str | None = None) -> httpx.Client:
    """A client with that key."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False)


def png(colour: tuple[int, int, int], side: int = 8) -> bytes:
    """A one-coloured picture as a file."""
    out = io.BytesIO()
    PIL.Image.new("RGB", (side, side), colour).save(out, "PNG")
    return out.getvalue()


def settled(http: httpx.Client, collection: str) -> dict[str, int]:
    """The counts of a collection when nothing in it waits."""
    until = monotonic() + PATIENCE
    while True:
        counts: dict[str, int] = http.get(f"/v1/collections/{collection}").raise_for_status().json()["counts"]
        if not counts["pending"] + counts["working"]:
            return counts
        assert monotonic() < until, counts
        sleep(0.05)


def found(http: httpx.Client, collection: str, text: str, **more: Any) -> list[str]:
    """What a search finds, by external id."""
    answer = http.post(f"/v1/collections/{collection}/search", json={"text": text, **more}).raise_for_status()
    return [hit["external_id"] for hit in answer.json()["hits"]]


def done(http: httpx.Client, url: str) -> dict[str, Any]:
    """A bulk job that is done."""
    until = monotonic() + PATIENCE
    while True:
        job: dict[str, Any] = http.get(url).raise_for_status().json()
        if job["done"]:
            return job
        assert monotonic() < until, job
        sleep(0.05)
