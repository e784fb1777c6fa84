"""Tenants over HTTP: what is another's is answered as if it were nowhere, on every route there is."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pyarrow.parquet as pq
import pytest

from core.desk import Quota, Role
from core.runtime.wiring import Parts
from quiver.http.app import make_app
from tests.httpd import client, done, found, key_for, png, settled
from workers.keys import issue

OPEN = {"/livez", "/readyz"}  # tell nothing of anybody
RECEIPT = "987654321"  # of nobody: test_quiver_erasing says whose receipts one sees
PARQUET = "application/vnd.apache.parquet"
NDJSON = {"Content-Type": "application/x-ndjson"}


class Ann:
    """The first tenant's things, in a collection of its own and in one for all."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        http.put("/v1/collections/secret", json={"fields": {"salary": "float"}}).raise_for_status()
        self.assets: dict[str, str] = {}
        for collection in ("secret", "shared"):
            for name in ("red.png", "poison.txt"):
                data = png((255, 0, 0)) if name == "red.png" else b"poison of ann"
                answer = http.post(f"/v1/collections/{collection}/assets", files=[("file", (name, data))])
                self.assets[f"{collection}/{name}"] = answer.json()["assets"][0]["id"]
            self.counts = settled(http, collection)
            assert self.counts == {"indexed": 1, "failed": 1, "pending": 0, "working": 0}
        line = json.dumps({"text": "red of ann", "id": "job"})
        self.job = http.post("/v1/collections/secret/assets", content=line, headers=NDJSON).json()["job"]["id"]
        settled(http, "secret")
        self.key = http.post("/v1/admin/keys", json={"name": "k", "roles": ["reader"]}).json()["id"]


@pytest.fixture
def ann(parts: Parts, base: str) -> Iterator[Ann]:
    with client(base) as operator:
        operator.put("/v1/collections/shared").raise_for_status()
    with client(base, key_for(parts, "ann")) as http:
        yield Ann(http)


@pytest.fixture
def bob(parts: Parts, base: str, ann: Ann) -> Iterator[httpx.Client]:
    with client(base, key_for(parts, "bob", Role.ADMIN)) as http:
        yield http


def operations(parts: Parts) -> list[tuple[str, str]]:
    """Every route, by method and template."""
    paths = make_app(parts).openapi()["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item]


def asked(http: httpx.Client, method: str, path: str, ids: dict[str, str]) -> tuple[int, Any]:
    """A request with these ids wherever ids go, and its answer without what differs between any two."""
    bodies: dict[str, dict[str, Any]] = {
        "/v1/collections/{collection}": {"json": {}},
        "/v1/collections/{collection}/assets": {"json": {"text": "red", "id": "poison.txt"}},
        "/v1/collections/{collection}/assets/remove": {"json": {"assets": [ids["asset"], "red.png"]}},
        "/v1/collections/{collection}/assets/{asset}/explain": {"json": {"text": "red"}},
        "/v1/collections/{collection}/search": {"json": {"text": "red", "limit": 100}},
        "/v1/collections/{collection}/reindex/plan": {"json": {}},
        "/v1/collections/{collection}/reindex/start": {"json": {}},
        "/v1/collections/{collection}/export": {"json": {}},
        "/v1/collections/{collection}/import": {"content": b"PAR1", "headers": {"Content-Type": PARQUET}},
        "/v1/collections/{collection}/feedback": {"json": {"query": str(UUID(int=9)), "asset": ids["asset"]}},
        "/v1/embeddings": {"json": {"input": "red"}},
        "/v1/rerank": {"json": {"query": "red", "documents": ["red"]}},
        "/v1/admin/failures/retry": {"json": {"collection": ids["collection"]}},
        "/v1/admin/failures/discard": {"json": {"collection": ids["collection"]}},
        "/v1/admin/erase": {"json": {"collection": ids["collection"], "assets": [ids["asset"]], "dry_run": True}},
        "/v1/admin/erasures/verify": {"json": {}},
        "/v1/admin/reconcile": {"json": {"collection": ids["collection"], "repair": True}},
        "/v1/admin/calibrate": {"json": {"collection": ids["collection"]}},
        "/v1/admin/keys": {"json": {"name": "k", "roles": ["reader"]}},
        "/v1/admin/keys/{key}/rotate": {"json": {}},
    }
    more = bodies.get(path, {}) if method in ("POST", "PUT") else {}
    params = {"collection": ids["collection"]} if path in ("/v1/admin/failures", "/v1/admin/stats") else {}
    answer = http.request(method, path.format(number=RECEIPT, **ids), params=params, **more)
    said: Any = answer.text
    match answer.headers.get("content-type", ""):
        case kind if "json" in kind and answer.content:
            said = answer.json()
        case kind if kind == PARQUET:
            said = pq.read_table(io.BytesIO(answer.content)).select(["external_id", "text", "metadata"]).to_pylist()
    text = json.dumps(volatile_removed(said))
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return answer.status_code, json.loads(text)


def volatile_removed(said: Any) -> Any:
    """Without ids that are drawn, moments and seconds."""
    if isinstance(said, dict):
        drawn = {"request_id", "asset", "seconds", "created_at", "changed_at", "id", "secret", "url", "finished_at"}
        drawn |= {"oldest_seconds", "each", "writing"}  # and what was measured
        return {k: volatile_removed(v) for k, v in said.items() if k not in drawn}
    return [volatile_removed(each) for each in said] if isinstance(said, list) else said


def test_on_every_route_what_is_another_s_is_answered_as_what_is_not_there(
    parts: Parts, bob: httpx.Client, ann: Ann
) -> None:
    theirs = {"collection": "secret", "asset": ann.assets["secret/red.png"], "job": ann.job, "key": ann.key}
    nobodys = {"collection": "nobody", "asset": str(uuid4()), "job": str(uuid4()), "key": "abcdefghijkl"}
    walked = 0
    # Reading comes first: writing makes a collection of that name, for bob.
    for method, path in sorted(operations(parts), key=lambda each: (each[0] not in ("GET",), each)):
        if path in OPEN or path == "/v1/collections":
            continue
        said, expected = (asked(bob, method, path, ids) for ids in (theirs, nobodys))
        assert said == expected, (method, path)
        if (method, path) == ("POST", "/v1/collections/{collection}/assets"):
            for name in ("secret", "nobody"):  # bob's own by now; what is indexed is found
                settled(bob, name)
        walked += 1
    assert walked >= 20
    for name in ("secret", "shared"):
        ann.http.get(f"/v1/collections/{name}/assets/{ann.assets[f'{name}/red.png']}").raise_for_status()
    assert {one["id"] for one in ann.http.get("/v1/admin/keys").json()} >= {ann.key}


def test_in_a_shared_collection_each_sees_its_own_alone(bob: httpx.Client, ann: Ann) -> None:
    assert bob.get("/v1/collections/shared").json()["counts"]["indexed"] == 0
    assert found(bob, "shared", "red") == []
    assert bob.get("/v1/collections/shared/assets").json()["assets"] == []
    assert bob.post("/v1/collections/shared/search", json={"like": ann.assets["shared/red.png"]}).status_code == 404
    assert bob.get("/v1/admin/failures", params={"collection": "shared"}).json() == []
    drift = bob.post("/v1/admin/reconcile", json={"collection": "shared", "repair": True}).json()
    assert drift == {"points": 0, "receipts": 0, "counts": {}, "findings": [], "repaired": 0}
    assert bob.post("/v1/admin/failures/discard", json={"collection": "shared"}).json() == {"count": 0}
    for path in ("", "/content", "/thumbnail"):
        assert bob.get(f"/v1/collections/shared/assets/{ann.assets['shared/red.png']}{path}").status_code == 404
    assert bob.delete(f"/v1/collections/shared/assets/{ann.assets['shared/red.png']}").status_code == 404
    assert found(ann.http, "shared", "red") == ["red.png"]


def test_what_is_there_for_all_is_reindexed_with_a_key_of_both_roles_alone(
    parts: Parts, base: str, bob: httpx.Client, ann: Ann
) -> None:
    where = "/v1/collections/shared/reindex"
    steps: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("POST", "/plan", {}),
        ("POST", "/start", {"anew": True}),
        ("POST", "/verify", None),
    ]
    steps += [("POST", step, None) for step in ("/pause", "/resume", "/switch", "/rollback", "/abort", "/retire")]
    for roles in ([Role.ADMIN], [Role.OPERATOR], [Role.WRITER, Role.OPERATOR]):
        with client(base, key_for(parts, "bob", *roles)) as http:
            said = {http.request(method, where + step, json=body).status_code for method, step, body in steps}
            assert said == {403}, roles
    with client(base, key_for(parts, "ops", Role.ADMIN, Role.OPERATOR)) as operator:
        did = [operator.request(method, where + step, json=body).status_code for method, step, body in steps[:3]]
        assert did == [200, 200, 202]
        assert operator.post(f"{where}/abort").json()["collection"] == "shared"
        assert operator.get("/v1/collections/secret/reindex").status_code == 404, "another tenant's own"
    assert found(ann.http, "shared", "red") == ["red.png"]


def test_a_reindexing_names_only_profiles_that_the_settings_allow(ann: Ann) -> None:
    for step in ("plan", "start"):
        answer = ann.http.post(f"/v1/collections/secret/reindex/{step}", json={"profile": "hearing"})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:quiver:fault:Forbidden")


def test_two_tenants_may_say_the_same_label_with_other_fields(bob: httpx.Client, ann: Ann) -> None:
    names = [each["name"] for each in bob.get("/v1/collections").json()]
    assert names == ["shared"]
    made = bob.put("/v1/collections/secret", json={"fields": {"colour": "keyword"}})
    assert (made.status_code, made.json()["fields"]) == (200, {"colour": "keyword"})
    bob.post("/v1/collections/secret/assets", json={"text": "blue", "id": "red.png"}).raise_for_status()
    settled(bob, "secret")
    assert found(bob, "secret", "red") == ["red.png"]
    assert bob.get("/v1/collections/secret/assets").json()["assets"][0]["modality"] == "text"
    [asset] = [
        one for one in ann.http.get("/v1/collections/secret/assets").json()["assets"] if one["external_id"] == "red.png"
    ]
    assert asset["modality"] == "image"
    answer = bob.post("/v1/collections/secret/search", json={"text": "a", "where": "salary > 1"})
    assert "salary" in answer.json()["detail"]
    assert "." not in json.dumps(bob.get("/v1/collections").json()).replace("red.png", "").partition("encoders")[0]


def test_an_idempotency_key_of_another_tenant_gives_nothing_away(bob: httpx.Client, ann: Ann) -> None:
    def post(http: httpx.Client) -> httpx.Response:
        return http.post("/v1/collections/shared/assets", json={"text": "same"}, headers={"Idempotency-Key": "one"})

    first, other = post(ann.http), post(bob)
    assert "idempotency-replayed" not in other.headers
    assert first.json()["assets"][0]["id"] != other.json()["assets"][0]["id"]


ROLES: list[tuple[Role, set[str]]] = [
    (Role.READER, {"read"}),
    (Role.WRITER, {"read", "write"}),
    (Role.MODERATOR, {"read"}),
    (Role.ADMIN, {"read", "write", "admin"}),
    (Role.OPERATOR, {"metrics"}),
]


@pytest.mark.parametrize(("role", "may"), ROLES)
def test_a_role_may_do_what_it_says_and_no_more(parts: Parts, base: str, role: Role, may: set[str]) -> None:
    asks: dict[str, Callable[[httpx.Client], httpx.Response]] = {
        "read": lambda h: h.get("/v1/collections"),
        "write": lambda h: h.post("/v1/collections/c/assets", json={"text": "red"}),
        "admin": lambda h: h.get("/v1/admin/keys"),
        "metrics": lambda h: h.get("/metrics"),
    }
    with client(base, key_for(parts, "ann", role)) as http:
        for what, ask in asks.items():
            assert (ask(http).status_code < 400) is (what in may), what
        assert http.post("/v1/admin/keys", json={"name": "up", "roles": ["operator"]}).status_code == 403


def test_without_a_key_this_machine_is_served_until_the_first_key_is_made(parts: Parts, base: str) -> None:
    with client(base) as http:
        assert http.get("/v1/collections").status_code == 200
        evils: list[dict[str, str]] = [
            {"Host": "evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"X-Forwarded-For": "203.0.113.9"},
            {"Forwarded": "for=203.0.113.9"},
            {"Via": "1.1 proxy"},
        ]
        for host in ("localhost", "localhost:1", "127.0.0.1", "[::1]", "[::1]:80"):
            assert http.get("/v1/collections", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200
        for evil in evils:
            assert http.get("/v1/collections", headers=evil).status_code == 403
        key = key_for(parts, "ann")
        refused = http.get("/v1/collections")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert http.get("/v1/collections", headers={"X-API-Key": key}).status_code == 200
        for each in parts.catalogue.keys(None):
            parts.catalogue.revoke_key(each.id, tenant=None)
        assert http.get("/v1/collections").status_code == 401, "the last key's end opens nothing"
        for path in OPEN:
            assert http.get(path).status_code == 200


def test_a_wrong_key_says_no_more_than_that(parts: Parts, base: str) -> None:
    good = key_for(parts, "ann")
    wrong = [good[:-1] + ("a" if good[-1] != "a" else "b"), "qv_abcdefghijkl_x", "x", "Bearer"]
    said = set()
    for key in wrong:
        with client(base) as http:
            answer = http.get("/v1/collections", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 401, key
            said.add(answer.json()["detail"])
    assert len(said) == 1


def test_a_key_that_is_rotated_or_revoked_is_refused(parts: Parts, base: str) -> None:
    with client(base, key_for(parts, "ann")) as admin:
        made = admin.post("/v1/admin/keys", json={"name": "k", "roles": ["reader"]}).json()
        turned = admin.post(f"/v1/admin/keys/{made['id']}/rotate", json={"grace_seconds": 0}).json()
        assert turned["roles"] == ["reader"]
        for secret, status in ((made["secret"], 401), (turned["secret"], 200)):
            with client(base, secret) as http:
                assert http.get("/v1/collections").status_code == status
        assert admin.delete(f"/v1/admin/keys/{turned['id']}").status_code == 204
        with client(base, turned["secret"]) as http:
            assert http.get("/v1/collections").status_code == 401
        assert admin.delete(f"/v1/admin/keys/{turned['id']}").status_code == 404


def test_what_a_key_may_use_is_kept_to(parts: Parts, base: str) -> None:
    quota = Quota(queries_per_second=0.01, assets_per_day=3, bytes_per_day=100_000)
    with client(base, key_for(parts, "ann", Role.ADMIN, quota=quota)) as http:
        http.put("/v1/collections/c").raise_for_status()
        assert http.post("/v1/collections/c/search", json={"text": "a"}).status_code == 200
        refused = http.post("/v1/collections/c/search", json={"text": "a"})
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:quiver:fault:QuotaExceeded")
        assert int(refused.headers["retry-after"]) >= 1
        large = http.post("/v1/collections/c/assets", json={"text": "a" * 100_001})
        assert (large.status_code, large.json()["type"]) == (413, "urn:quiver:fault:TooLarge")  # it never will
        lines = "\n".join(json.dumps({"text": f"t{n}"}) for n in range(2))
        sent = [http.post("/v1/collections/c/assets", content=lines, headers=NDJSON) for _ in range(2)]
        assert [answer.status_code for answer in sent] == [202, 429]
        assert done(http, sent[0].json()["job"]["url"])["counts"]["indexed"] == 2


def test_urls_are_fetched_for_trusted_tenants_alone(parts: Parts, base: str) -> None:
    with client(base, key_for(parts, "ann")) as http:
        answer = http.post("/v1/collections/c/assets", json={"url": "http://example.com/a.png"})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:quiver:fault:Forbidden")


def test_a_tenant_s_mark_is_in_nothing_that_is_said(parts: Parts, base: str) -> None:
    made = issue(parts, UUID_TENANT, "k", frozenset({Role.ADMIN}), quota=Quota(), lifetime=None)
    with client(base, made.secret) as http:
        http.put("/v1/collections/mine").raise_for_status()
        collections = [each.name for each in parts.catalogue.collections()]
        [mark] = [name.removeprefix("mine") for name in collections]
        assert mark.startswith(".")
        said = [
            http.get("/v1/collections").text,
            http.post("/v1/collections/mine/assets", json={"text": "red"}).text,
            http.get("/v1/collections/mine/assets").text,
            http.put("/v1/collections/mine", json={"fields": {"a": "float"}}).text,
            http.post("/v1/collections/mine/search", json={"like": "nobody"}).text,
            http.get(f"/v1/collections/mine/assets/{uuid4()}").text,
            http.post("/v1/collections/mine/reindex/plan", json={}).text,
            http.post("/v1/collections/mine/reindex/start", json={"anew": True}).text,
            http.post("/v1/collections/mine/reindex/start", json={"fields": {"a": "float"}}).text,
            http.post("/v1/collections/mine/reindex/verify").text,
            http.post("/v1/collections/mine/reindex/switch", json={"reason": "a test"}).text,
            http.get("/v1/collections/mine/reindex").text,
            http.post("/v1/collections/mine/reindex/retire").text,
            http.post("/v1/collections/mine/export", json={}).content.decode("latin-1"),
        ]
        assert not [each for each in said if mark in each]
        assert "soaking" in said[-3]


UUID_TENANT: Any = str(UUID(int=7))
