"""Assets over HTTP: what is sent is durable when it is answered, and found when it says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import pytest

from core.records import State
from core.runtime.wiring import Parts
from quiver import Quiver
from quiver.http import app, replies
from tests.doubles import toy_parts
from tests.httpd import client, done, found, png, serving, settled
from workers import service

RED, GREEN = (255, 0, 0), (0, 255, 0)
ASSETS = "/v1/collections/c/assets"


def test_a_text_is_taken_in_found_replaced_and_removed(http: httpx.Client) -> None:
    answer = http.post(ASSETS, json={"text": "red cat", "id": "a", "metadata": {"n": 1}})
    assert answer.status_code == 202
    [added] = answer.json()["assets"]
    assert (added["external_id"], added["outcome"]) == ("a", "added")
    assert settled(http, "c")["indexed"] == 1
    assert found(http, "c", "red") == ["a"]
    shown = http.get(added["url"]).json()
    assert (shown["state"], shown["metadata"], shown["generation"]) == ("indexed", {"n": 1}, 1)
    again = http.post(ASSETS, json={"text": "blue cat", "id": "a"}).json()["assets"][0]
    assert (again["id"], again["outcome"]) == (added["id"], "changed")
    settled(http, "c")
    assert http.get(f"{added['url']}/content").text == "blue cat"
    assert http.delete(added["url"]).status_code == 204
    assert found(http, "c", "blue") == []
    gone = http.get(added["url"])
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:quiver:fault:NoSuchAsset")


def test_files_come_as_a_form_and_are_called_by_their_names(http: httpx.Client) -> None:
    files = [("file", ("red.png", png(RED))), ("file", ("../../green.png", png(GREEN))), ("file", ("bad.jpg", b"no"))]
    answer = http.post(ASSETS, files=files, data={"metadata": json.dumps({"kind": "photo"})}).json()
    assert {one["external_id"] for one in answer["assets"]} == {"red.png", "green.png"}
    assert [(one["name"], one["kind"]) for one in answer["refused"]] == [("bad.jpg", "CorruptMedia")]
    settled(http, "c")
    assert found(http, "c", "green")[0] == "green.png"
    one = http.post(ASSETS, files=[("file", ("x", png(RED, 9)))], data={"id": "mine"}).json()
    assert one["assets"][0]["external_id"] == "mine"
    alone = http.post(ASSETS, files=[("file", ("bad.jpg", b"no"))])
    assert (alone.status_code, alone.json()["type"]) == (422, "urn:quiver:fault:CorruptMedia")


def test_bytes_come_back_whole_in_ranges_and_never_as_a_page(http: httpx.Client) -> None:
    said = b"<html><script>alert(1)</script>red</html>" * 50
    [added] = http.post(ASSETS, files=[("file", ("a.html", said))]).json()["assets"]
    whole = http.get(f"{added['url']}/content")
    assert whole.content == said
    assert whole.headers["content-disposition"].startswith("attachment")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-security-policy"] == "sandbox"
    part = http.get(f"{added['url']}/content", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, said[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(said)}"
    assert http.get(f"{added['url']}/content", headers={"Range": "bytes=999999-"}).status_code == 416
    assert whole.headers["cache-control"] == "private, no-cache"
    same = http.get(f"{added['url']}/content", headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert whole.headers["etag"] == f'"{hashlib.sha256(said).hexdigest()}"'


def test_a_thumbnail_is_small_and_only_of_pictures(http: httpx.Client) -> None:
    [picture] = http.post(ASSETS, files=[("file", ("a.png", png(RED, 500)))]).json()["assets"]
    small = http.get(f"{picture['url']}/thumbnail")
    assert small.headers["content-type"] == "image/jpeg"
    assert small.content[:2] == b"\xff\xd8"
    same = http.get(f"{picture['url']}/thumbnail", headers={"If-None-Match": small.headers["etag"]})
    assert same.status_code == 304
    [text] = http.post(ASSETS, json={"text": "red"}).json()["assets"]
    assert http.get(f"{text['url']}/thumbnail").status_code == 422


def test_what_is_nearly_right_is_told_what_is_missing(http: httpx.Client) -> None:
    http.put("/v1/collections/c").raise_for_status()
    asked = [
        (http.post("/v1/collections/c/search", content='{"text": "a"}'), "send Content-Type: application/json"),
        (http.get(f"{ASSETS}/coffee.png"), "assets?external_id=NAME"),
        (http.post("/v1/collections/c/search", json={"txt": "a"}), "txt: there is no such name; there is: text, image"),
        (http.post(ASSETS, json={"text": "a", "meta": {}}), "meta: there is no such name; there is: text, url, id"),
    ]
    for answer, said in asked:
        assert answer.status_code == 422
        assert said in answer.json()["detail"]
    assert http.get("/").json()["docs"] == "/docs"


def test_pages_are_whole_and_in_order(http: httpx.Client) -> None:
    lines = "\n".join(json.dumps({"text": f"red {n}", "id": f"{n:03}"}) for n in range(25))
    job = http.post(ASSETS, content=lines, headers={"Content-Type": "application/x-ndjson"}).json()["job"]
    wait(http, job["url"])
    seen: list[str] = []
    after: str | None = None
    while True:
        page = http.get(ASSETS, params={"limit": 10, **({"after": after} if after else {})}).json()
        seen += [one["external_id"] for one in page["assets"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"{n:03}" for n in range(25)]
    [one] = http.get(ASSETS, params={"external_id": "007"}).json()["assets"]
    assert one["external_id"] == "007"
    assert http.get(ASSETS, params={"external_id": "none"}).json() == {"assets": [], "next": None}


def wait(http: httpx.Client, url: str) -> dict[str, object]:
    """A job's last event."""
    last: dict[str, object] = {}
    with http.stream("GET", f"{url}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
    assert last["done"], last
    return last


def test_a_bulk_job_tells_how_it_stands_and_which_lines_were_refused(http: httpx.Client) -> None:
    lines = [json.dumps({"text": f"red {n}", "id": f"t{n}"}) for n in range(40)]
    lines[7], lines[20] = "{", json.dumps({"path": "/etc/passwd"})
    lines[30] = json.dumps({"url": "http://127.0.0.1/", "id": "u"})
    answer = http.post(ASSETS, content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 202
    last = wait(http, answer.json()["job"]["url"])
    assert (last["lines"], last["refused"], last["error"]) == (40, 3, None)
    assert last["counts"] == {"indexed": 37, "pending": 0, "working": 0, "failed": 0}
    refused = http.get(f"{answer.json()['job']['url']}/refusals").json()
    assert [one["line"] for one in refused] == [8, 21, 31]
    assert [job["id"] for job in http.get("/v1/collections/c/jobs").json()] == [answer.json()["job"]["id"]]
    assert len(found(http, "c", "red", limit=100)) == 37


@pytest.mark.parametrize("send", ["json", "form", "bulk"])
def test_an_idempotency_key_gives_the_first_answer_again(http: httpx.Client, send: str) -> None:
    def post(word: str) -> httpx.Response:
        headers = {"Idempotency-Key": "k1"}
        if send == "json":
            return http.post(ASSETS, json={"text": word}, headers=headers)
        if send == "form":
            return http.post(ASSETS, files=[("file", ("a.txt", word.encode()))], headers=headers)
        line = json.dumps({"text": word})
        return http.post(ASSETS, content=line, headers={**headers, "Content-Type": "application/x-ndjson"})

    first, again, other = post("red"), post("red"), post("blue")
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert http.post(ASSETS, json={"text": ""}, headers={"Idempotency-Key": "k2"}).status_code == 422
    assert http.post(ASSETS, json={"text": "blue"}, headers={"Idempotency-Key": "k2"}).status_code == 202


BAD: list[tuple[Callable[[httpx.Client], httpx.Response], int, str]] = [
    (lambda h: h.post(ASSETS, json={}), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, json={"text": "a", "url": "http://b"}), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, json={"text": "a", "path": "/etc/passwd"}), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, json={"text": "  "}), 422, "EmptyMedia"),
    (lambda h: h.post(ASSETS, json={"text": "a", "metadata": {"x y": 1}}), 422, "BadMetadata"),
    (lambda h: h.post(ASSETS, content=b"{", headers={"Content-Type": "application/json"}), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, content=b"\xff", headers={"Content-Type": "application/json"}), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, content=b"a", headers={"Content-Type": "text/plain"}), 415, "UnsupportedMedia"),
    (lambda h: h.post(ASSETS, content=b"a"), 415, "UnsupportedMedia"),
    (lambda h: h.post(ASSETS, data={"id": "a"}, files=[]), 415, "UnsupportedMedia"),
    (lambda h: h.post(ASSETS, content=b"", headers={"Content-Type": "application/x-ndjson"}), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, content=b"x", headers={"Content-Type": "multipart/form-data"}), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, files=[("what", ("a", b"a"))]), 422, "BadQuery"),
    (lambda h: h.post(ASSETS, files=[("file", ("a", b"a"))], data={"metadata": "[1"}), 422, "BadMetadata"),
    (lambda h: h.post(ASSETS, files=[("file", ("a", b""))]), 422, "EmptyMedia"),
    (lambda h: h.post(ASSETS, files=[("file", ("a", b"MZ\0\0" + bytes(99)))]), 415, "UnsupportedMedia"),
    (lambda h: h.post("/v1/collections/A/assets", json={"text": "a"}), 422, "BadQuery"),
    (lambda h: h.get("/v1/collections/none/assets"), 404, "NoSuchCollection"),
    (lambda h: h.get(f"{ASSETS}/not-a-uuid"), 422, "BadQuery"),
    (lambda h: h.get("/v1/jobs/00000000-0000-0000-0000-000000000000"), 404, "NoSuchJob"),
    (lambda h: h.get("/v1/jobs/00000000-0000-0000-0000-000000000000/events"), 404, "NoSuchJob"),
    (lambda h: h.get("/nothing"), 404, "Http"),
    (lambda h: h.patch(ASSETS), 405, "Http"),
    (lambda h: h.post(ASSETS, json={"url": "http://127.0.0.1:1/a.png"}), 422, "ForbiddenAddress"),
]


@pytest.mark.parametrize(("ask", "status", "kind"), BAD)
def test_bad_input_is_a_problem_that_says_what_to_do(
    http: httpx.Client, ask: Callable[[httpx.Client], httpx.Response], status: int, kind: str
) -> None:
    http.put("/v1/collections/c").raise_for_status()
    answer = ask(http)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:quiver:fault:{kind}"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["detail"]
    assert said["hint"]
    assert said["request_id"] == answer.headers["x-request-id"]
    assert settled(http, "c")["indexed"] == 0


def test_indexing_goes_on_after_a_fault_that_nobody_foresaw(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    broke: list[bool] = []

    def serve(*args: Any, **kwargs: Any) -> None:
        if not broke:
            broke.append(True)
            raise RuntimeError("nobody foresaw this")
        service.serve(*args, **kwargs)

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(app, "AGAIN", 0.05)
    with serving(parts) as base, client(base) as http:
        http.post(ASSETS, json={"text": "red", "id": "a"}).raise_for_status()
        assert settled(http, "c")["indexed"] == 1
    assert broke


def test_what_is_sent_while_the_broker_is_down_is_kept(tmp_path: Path) -> None:
    parts = toy_parts(tmp_path / "data", broker_url="redis://127.0.0.1:1/0")
    with serving(parts) as base, client(base) as http:
        assert http.post(ASSETS, json={"text": "red", "id": "a"}).status_code == 202
        line = json.dumps({"text": "blue", "id": "b"})
        assert http.post(ASSETS, content=line, headers={"Content-Type": "application/x-ndjson"}).status_code == 202
        assert http.get("/v1/collections/c").json()["counts"]["pending"] == 1
    parts.close()
    later = toy_parts(tmp_path / "data")
    with Quiver(later) as quiver:
        quiver.sweep()
        assert quiver.status("c")[0].counts[State.INDEXED] == 2


def test_a_request_that_died_half_way_is_done_by_the_next_one_with_its_key(
    parts: Parts, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill -9 between what it did and its answer."""
    monkeypatch.setattr(replies, "LEASE", timedelta(seconds=0.2))
    lines = json.dumps({"text": "red"})
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"}
    with monkeypatch.context() as dying:
        dying.setattr(type(parts.catalogue), "end_reply", lambda *_, **__: None)
        first = http.post(ASSETS, content=lines, headers=headers).json()["job"]
    busy = http.post(ASSETS, content=lines, headers=headers)
    if busy.status_code == 409:
        assert busy.json()["type"] == "urn:quiver:fault:InProgress"
        assert (busy.json()["retryable"], busy.headers["retry-after"]) == (True, "1")
        sleep(0.3)
        busy = http.post(ASSETS, content=lines, headers=headers)
    assert busy.json()["job"]["id"] == first["id"]
    assert len(http.get("/v1/collections/c/jobs").json()) == 1
    assert done(http, first["url"])["counts"]["indexed"] == 1


def test_a_collection_that_this_server_cannot_read_is_refused_and_not_made(http: httpx.Client) -> None:
    said = http.put("/v1/collections/talks", json={"reads": ["transcript"]})
    assert (said.status_code, said.json()["type"]) == (422, "urn:quiver:fault:BadQuery")
    assert "QUIVER_TRANSCRIBER" in said.json()["detail"]
    assert http.get("/v1/collections/talks").status_code == 404
