"""Bodies that are too large, too slow or cut off: refused before they are held, and nobody else notices."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import httpx
import pytest

from core.runtime.wiring import Parts
from quiver.http import bodies, jobs, search
from tests.doubles import toy_parts
from tests.httpd import client, key_for, png, serving

ASSETS = "/v1/collections/c/assets"
MOST = 200_000  # bytes


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    limits = {"max_bytes": MOST, "max_media_bytes": MOST, "max_bulk_bytes": MOST, "max_pixels": 10_000}
    made = toy_parts(tmp_path / "data", decode="cage", **limits)
    yield made
    made.close()


def kept(parts: Parts) -> list[Path]:
    return [path for path in (parts.settings.data / "blobs").rglob("*") if path.is_file()]


def endless(size: int) -> Iterator[bytes]:
    for _ in range(size // 10_000):
        yield b"a" * 10_000


@pytest.mark.parametrize("kind", ["application/x-ndjson", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused_before_it_is_kept(
    parts: Parts, http: httpx.Client, kind: str, declared: bool
) -> None:
    size = MOST + bodies.SLACK + 50_000
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' if "multipart" in kind else b""
    headers = {"Content-Type": kind}
    body = [head + b"a" * size] if declared else (head, *endless(size))
    answer = http.post(ASSETS, content=body[0] if declared else iter(body), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:quiver:fault:TooLarge"), answer.text
    assert kept(parts) == []


def test_a_file_over_the_limit_and_a_bomb_are_refused_each_by_its_name(parts: Parts, http: httpx.Client) -> None:
    large = http.post(ASSETS, files=[("file", ("large.txt", b"a " * MOST))])
    assert (large.status_code, large.json()["type"]) == (413, "urn:quiver:fault:TooLarge")
    bomb = http.post(ASSETS, files=[("file", ("bomb.png", png((0, 0, 0), 4000)))])
    assert (bomb.status_code, bomb.json()["type"]) == (413, "urn:quiver:fault:TooLarge")
    assert "pixels" in bomb.json()["detail"]
    query = http.post("/v1/embeddings", json={"input": [{"image": base64.b64encode(png((0, 0, 0), 4000)).decode()}]})
    assert query.status_code == 413
    assert kept(parts) == []


def test_too_many_files_in_a_form_are_refused(http: httpx.Client) -> None:
    files = [("file", (f"{n}.txt", b"red")) for n in range(bodies.FILES + 1)]
    answer = http.post(ASSETS, files=files)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:quiver:fault:BadQuery")


def test_json_that_is_nested_without_end_is_refused(http: httpx.Client) -> None:
    for path in (ASSETS, "/v1/collections/c/search"):
        answer = http.post(path, content=b'{"text":' + b"[" * 200_000, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, answer.text


def dribble(port: int, stop: list[bool]) -> bytes:
    """A client that sends its headers, and then hardly anything."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"POST /v1/collections/c/assets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n")
        line.sendall(b"Content-Type: application/json\r\n\r\n{")
        line.settimeout(30)
        said = b""
        while piece := line.recv(65_536):
            said += piece
            if b"\r\n\r\n" in said and b"}" in said:
                break
        stop.append(True)
        return said


def test_a_client_that_trickles_is_cut_off_and_others_are_served_meanwhile(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 1.0)
    with serving(parts) as base, client(base) as http:
        http.get("/v1/collections")
        said: list[bytes] = []
        over: list[bool] = []
        port = int(base.rpartition(":")[2])
        slow = [Thread(target=lambda: said.append(dribble(port, over))) for _ in range(60)]
        for each in slow:
            each.start()
        asked = 0
        while not over:
            began = time.monotonic()
            assert http.get("/v1/collections").status_code == 200
            assert time.monotonic() - began < 5
            asked += 1
        for each in slow:
            each.join()
        assert asked > 0
        assert all(b"503" in each.split(b"\r\n")[0] for each in said)
        assert len(said) == 60


@pytest.mark.parametrize("declared", [True, False])
def test_hardly_anything_is_read_from_who_has_no_key(parts: Parts, base: str, declared: bool) -> None:
    key_for(parts, "ann")
    body = b'{"text":[' + b"{}," * (bodies.FREE * 8)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer qv_abcdefghijkl_x"}
    with client(base) as http:
        content = body if declared else iter([body[at : at + 4096] for at in range(0, len(body), 4096)])
        answer = http.post("/v1/collections/c/search", content=content, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:quiver:fault:Unauthorized")


def test_a_body_of_countless_names_is_refused_by_their_number(http: httpx.Client) -> None:
    body = {str(n): 1 for n in range(100_000)}
    for path in ("/v1/collections/c/search", ASSETS):
        began = time.monotonic()
        answer = http.post(path, json=body)
        assert (answer.status_code, time.monotonic() - began < 5) == (422, True)
        assert "and 99,997 more: there is no such name; there is: " in answer.text
        assert len(answer.content) < 5000


def test_it_is_alive_while_every_place_for_searches_is_taken(parts: Parts, http: httpx.Client) -> None:
    http.put("/v1/collections/c").raise_for_status()
    with ExitStack() as taken:
        for _ in range(search.PLACES):
            taken.enter_context(search.admitted())
        refused = http.post("/v1/collections/c/search", json={"text": "red"})
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:quiver:fault:Overloaded")
        assert refused.headers["retry-after"] == "1"
        assert http.get("/livez").status_code == http.get("/v1/collections").status_code == 200
    assert http.post("/v1/collections/c/search", json={"text": "red"}).status_code == 200


def test_streams_of_events_are_limited(parts: Parts, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with client(base, key_for(parts, "ann")) as http:
        headers = {"Content-Type": "application/x-ndjson"}
        job = http.post(ASSETS, content=json.dumps({"text": "red"}), headers=headers).json()["job"]
        assert http.get(f"{job['url']}/events").status_code == 200
        assert "ann" not in jobs._open, "one that ended is not counted"
        monkeypatch.setitem(jobs._open, "ann", jobs.STREAMS)
        refused = http.get(f"{job['url']}/events")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:quiver:fault:Overloaded")


def test_a_client_that_goes_away_half_way_leaves_nothing(parts: Parts, base: str, http: httpx.Client) -> None:
    port = int(base.rpartition(":")[2])
    for kind in (b"application/x-ndjson", b"multipart/form-data; boundary=b", b"application/json"):
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(b"POST /v1/collections/c/assets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n")
            line.sendall(b"Content-Type: " + kind + b"\r\n\r\n--b\r\nContent-Disposition: form-data; name=")
    assert http.get("/v1/collections").json() == []
    assert kept(parts) == []
