"""A stand-in for the Hugging Face Hub on loopback: its routes and headers, as far as a download asks for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT, OFFER = "c" * 40, "d" * 40
DIFFERS = b"\0" * 16


@dataclass
class Repository:
    """A model: the files at each revision, and what goes wrong with it."""

    files: dict[str, dict[str, bytes]]  # commit to path to content
    refs: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    gated: bool = False
    offers: list[dict[str, str]] = field(default_factory=list)  # pull requests
    cut: str = ""  # a path whose connection ends in its middle
    damaged: str = ""  # a path of whose bytes some are not what they should be

    @classmethod
    def of(cls, folder: Path) -> Repository:
        return cls({COMMIT: files_of(folder)})


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass
class Hub:
    """What is served, and what was asked for."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # paths of files whose bytes were sent


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        parts = path.removeprefix("api/models/").split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        found = self.hub.repositories.get(name)
        if found is None:
            self._refuse(401, "RepoNotFound")
        elif path.startswith("api/"):
            self._tell(name, found, rest)
        elif found.gated:
            self._refuse(403 if "Authorization" in self.headers else 401, "GatedRepo")
        else:
            self._file(found, rest, body=body)

    def _tell(self, name: str, found: Repository, rest: list[str]) -> None:
        match rest:
            case ["discussions"]:
                offers = [
                    {"num": 4, "isPullRequest": True, "createdAt": "2023-03-01T00:00:00.000Z"}
                    | {"title": offer["title"], "status": offer["status"], "author": {"name": offer["author"]}}
                    | {"repo": {"name": name, "type": "model"}}
                    for offer in found.offers
                ]
                self._json({"count": len(offers), "start": 0, "discussions": offers})
            case ["tree", *revision]:
                files = found.files[found.refs.get("/".join(revision), "/".join(revision))]
                self._json([_entry(path, data) for path, data in files.items()])
            case [] | ["revision", *_]:
                said = "/".join(rest[1:]) or "main"
                commit = found.refs.get(said, said)
                if commit not in found.files:
                    self._refuse(404, "RevisionNotFound")
                    return
                siblings = [{"rfilename": path} for path in found.files[commit]]
                self._json({"id": name, "sha": commit, "siblings": siblings, "private": False})
            case _:
                self._refuse(404, "EntryNotFound")

    def _file(self, found: Repository, rest: list[str], *, body: bool) -> None:
        commit, path = rest[1], "/".join(rest[2:])
        data = found.files[commit].get(path)
        if data is None:
            self._refuse(404, "EntryNotFound")
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{_etag(path, data)}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.hub.asked.append(path)
            sent = data[: len(data) // 2] if path == found.cut else data
            self.wfile.write(sent[: -len(DIFFERS)] + DIFFERS if path == found.damaged else sent)
            self.close_connection = True

    def _json(self, said: object) -> None:
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(path: str, data: bytes) -> str:
    """As the hub does: sha-256 of what lies in large file storage, git's name for the rest."""
    if path.endswith(".safetensors"):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, object]:
    said: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": _etag(path, data)[:40]}
    if path.endswith(".safetensors"):
        said["lfs"] = {"oid": _etag(path, data), "size": len(data), "pointerSize": 134}
    return said


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
