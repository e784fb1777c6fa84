"""Bulk requests in CSV and Parquet."""

from __future__ import annotations

import sys
from typing import Any

import httpx
import pytest

from core.runtime.wiring import Parts
from tests.unit.test_tables import parquet

CSV = {"Content-Type": "text/csv"}
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
LINES = {"Content-Type": "application/x-ndjson"}
WHERE = "/v1/collections/c/assets"


def sent(http: httpx.Client, body: bytes, headers: dict[str, str]) -> Any:
    answer = http.post(WHERE, content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]["id"]
    while not (said := http.get(f"/v1/jobs/{job}").json())["done"]:
        pass
    return said


@pytest.fixture
def _made(http: httpx.Client) -> None:
    http.put("/v1/collections/c", json={"fields": {"n": "integer"}}).raise_for_status()


@pytest.mark.usefixtures("_made")
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_is_a_bulk_job_whose_values_have_the_declared_types(http, form):
    rows: list[dict[str, Any]] = [
        {"text": "red", "id": "a", "n": 3},
        {"text": "blue", "id": "b", "n": 4},
        {"text": None, "id": "c", "n": 5},
    ]
    if form == "csv":
        said = sent(http, b"text,id,n\nred,a,3\nblue,b,4\n,c,5\ngreen,d,many\n", CSV)
        assert [(one["line"], one["kind"]) for one in said["refusals"]] == [(4, "BadManifest"), (5, "BadManifest")]
        assert "column 'n': 'many' is no integer" in said["refusals"][1]["message"]
    else:
        said = sent(http, parquet(rows), PARQUET)
        assert [(one["line"], one["kind"]) for one in said["refusals"]] == [(3, "BadManifest")]
    found = http.get(WHERE).json()["assets"]
    assert [(one["external_id"], one["metadata"]) for one in found] == [("a", {"n": 3}), ("b", {"n": 4})]


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"name,age\nx,1\n", CSV, 422, "first line must name the columns"),
        (b'{"text": "a"}\n', CSV, 422, "first line must name the columns"),
        (b"text,id\na,b\n", LINES, 422, "declared as application/x-ndjson and looks like text/csv"),
        (b"text,id\na,b\n", PARQUET, 422, "declared as application/vnd.apache.parquet and looks like text/csv"),
        (b"PAR1 and no more", PARQUET, 422, "no Parquet can be read from it"),
        (b"", CSV, 422, "empty"),
        (b"x", {"Content-Type": "text/plain"}, 415, "text/csv"),
    ],
)
def test_a_table_that_cannot_be_one_is_refused_at_once(http, body, headers, status, says):
    answer = http.post(WHERE, content=body, headers=headers)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text
    assert http.get("/v1/collections").json() == []


def test_a_server_without_pyarrow_says_so(http, monkeypatch):
    body = parquet([{"text": "a"}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = http.post(WHERE, content=body, headers=PARQUET)
    assert answer.status_code == 415
    assert "quiver[parquet]" in answer.json()["detail"]


def test_a_path_in_a_table_is_none_of_the_servers(http, parts: Parts):
    said = sent(http, b"path\n/etc/passwd\n", CSV)
    assert "one of the server" in said["refusals"][0]["message"]
