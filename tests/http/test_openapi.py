"""Whatever fits the OpenAPI document, and much that does not, is answered and never with a fault of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks

from tests.doubles import toy_parts
from tests.httpd import client, key_for, png, serving

load_all_checks()
schemathesis.serializer.alias(["application/x-ndjson", "text/csv"], "text/plain")
schemathesis.serializer.alias("application/vnd.apache.parquet", "application/octet-stream")
EXAMPLES = 500 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 10  # a route
ALWAYS: Any = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)
# Numbers and moments deep inside these bodies are also read where they are said as texts or truth values.
LAX = ("/recommend", "/recommend/batch", "/search", "/search/batch", "/calibrate", "/verify")
REJECTED: Any = CHECKS.get_by_names(["negative_data_rejection"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """One server for all of it, and a key."""
    parts = toy_parts(tmp_path_factory.mktemp("http") / "data")
    with serving(parts) as base:
        key = key_for(parts, "ann")
        with client(base, key) as http:
            http.put("/v1/collections/c", json={"fields": {"price": "float"}}).raise_for_status()
            http.post("/v1/collections/c/assets", json={"text": "red", "id": "a"}).raise_for_status()
        yield base, key
    parts.close()


schema = schemathesis.openapi.from_path(Path(__file__).parents[2] / "docs" / "openapi.json")


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
def test_no_request_is_our_fault(case: Case[Any], served: tuple[str, str]) -> None:
    base, key = served
    answer = case.call(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    too_large = answer.status_code == 413  # a rejection, too, which the check does not know
    lines = case.media_type == "application/x-ndjson"  # any text is one of lines, which are refused one by one, later
    lax = case.path.endswith(LAX)
    case.validate_response(answer, checks=ALWAYS if too_large or lines or lax else [*ALWAYS, *REJECTED])


ODD = st.text(st.characters(codec="utf-8"), max_size=40)
WORDS = st.sampled_from(
    ["price", "<", ">=", "=", "!=", "and", "or", "not", "(", ")", "in", "[", "]", "exists(", "1e309", '"', "~"]
)


@given(where=ODD | st.lists(WORDS | ODD, max_size=12).map(" ".join))
@settings(max_examples=10 * EXAMPLES)
def test_no_filter_is_our_fault(served: tuple[str, str], where: str) -> None:
    base, key = served
    with client(base, key) as http:
        answer = http.post("/v1/collections/c/search", json={"text": "red", "where": where})
    assert answer.status_code in (200, 422), answer.text


@given(
    name=ODD,
    data=st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: png((1, 2, 3))[:40] + tail),
    metadata=ODD | st.just("{}"),
)
@settings(max_examples=10 * EXAMPLES)
def test_no_upload_is_our_fault(served: tuple[str, str], name: str, data: bytes, metadata: str) -> None:
    base, key = served
    with client(base, key) as http:
        answer = http.post("/v1/collections/up/assets", files=[("file", (name, data))], data={"metadata": metadata})
    assert answer.status_code in (202, 413, 415, 422), answer.text
