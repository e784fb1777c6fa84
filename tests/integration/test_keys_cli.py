"""`quiver keys` from outside: what it prints, whom it lets in, how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.desk import Role
from core.errors import Unauthorized
from core.runtime.wiring import Parts
from tests.doubles import toy_parts
from tests.integration.test_cli import SCRIPT, Ran, Run, call, use_toy
from workers.keys import check


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path) -> Run:
    use_toy(monkeypatch, data)
    return lambda *args: call(monkeypatch, capsys, "keys", *args)


@pytest.fixture
def parts(data: Path) -> Iterator[Parts]:
    made = toy_parts(data)
    yield made
    made.close()


def one(ran: Ran) -> dict[str, Any]:
    assert ran.status == 0, ran
    (key,) = ran.json
    return dict(key)


def test_a_key_is_made_and_its_secret_alone_is_on_standard_output(run: Run, parts: Parts) -> None:
    ran = run("create", "the [red]web", "--tenant", "acme", "--role", "reader", "--role", "writer", "--expires", "90d")
    assert ran.status == 0, ran
    assert re.fullmatch(r"qv_[a-z0-9]{12}_[\w-]{43}\n", ran.out)
    key = check(parts, ran.out.strip())
    assert (key.tenant, key.name) == ("acme", "the [red]web")
    assert key.roles == {Role.READER, Role.WRITER}
    assert key.expires_at is not None
    assert timedelta(days=89) < key.expires_at - datetime.now(UTC) <= timedelta(days=90)
    assert f"key {key.id} of acme: the [red]web (reader, writer), expires {key.expires_at:%Y-%m-%d}" in ran.err
    assert "not shown again" in ran.err
    assert ran.out.strip() not in ran.err


def test_a_key_has_the_tenant_that_is_set_and_may_read_unless_more_is_said(
    run: Run, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(parts, run("create", "a").out.strip()).tenant == "default"
    monkeypatch.setenv("QUIVER_TENANT", "acme")
    key = check(parts, run("create", "a").out.strip())
    assert key.tenant == "acme"
    assert key.roles == {Role.READER}
    assert key.expires_at is None


def test_the_list_shows_keys_and_no_secret(run: Run) -> None:
    assert run("list").status == 0
    secret = run("create", "web", "--queries-per-second", "2.5", "--assets-per-day", "1000").out.strip()
    run("create", "other", "--tenant", "acme", "--expires", "1d", "--bytes-per-day", "0")
    ran = run("list")
    assert secret not in ran.out
    assert re.search(
        rf"{secret[3:15]} +default +web +reader +2\.5 +1,000 +as set +\d{{4}}-\d\d-\d\d \d\d:\d\d +never", ran.out
    ), ran.out
    assert re.search(r"acme +other +reader +as set +as set +no limit", ran.out)
    first, second = run("list", "--json").json
    assert (first["name"], second["name"]) == ("web", "other")
    assert first["quota"] == {"queries_per_second": 2.5, "assets_per_day": 1000, "bytes_per_day": None}
    assert first["roles"] == ["reader"]
    assert set(first) == {"id", "tenant", "name", "roles", "quota", "created_at", "expires_at"}
    assert one(run("list", "--tenant", "acme", "--json"))["id"] == second["id"]
    assert run("list", "--tenant", "nobody", "--json").json == []


def test_a_rotated_key_is_two_until_the_grace_ends(run: Run, parts: Parts) -> None:
    made = run("create", "web", "--role", "operator", "--role", "admin", "--json").json
    assert made["key"]["roles"] == ["admin", "operator"]
    again = run("rotate", made["key"]["id"], "--json").json
    assert again["key"]["roles"] == ["admin", "operator"]
    assert check(parts, again["secret"]).id == again["key"]["id"]
    ends = check(parts, made["secret"]).expires_at
    assert ends is not None
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=1)
    last = run("rotate", again["key"]["id"], "--grace", "0s")
    assert "not shown again" in last.err
    assert check(parts, last.out.strip()).name == "web"
    with pytest.raises(Unauthorized):
        check(parts, again["secret"])


def test_a_revoked_key_is_refused_at_once(run: Run, parts: Parts) -> None:
    first, second = (run("create", name, "--json").json for name in ("a", "b"))
    assert run("revoke", first["key"]["id"]).out == f"{first['key']['id']} is refused from now on\n"
    assert run("revoke", second["key"]["id"], "--json").json == {"revoked": second["key"]["id"]}
    for made in (first, second):
        with pytest.raises(Unauthorized):
            check(parts, made["secret"])
    assert run("list", "--json").json == []


@pytest.mark.parametrize(
    "said",
    [
        ("create", ""),
        ("create", "a\x1b[2Jb"),
        ("create", "a", "--tenant", "a/b"),
        ("create", "a", "--role", "king"),
        ("create", "a", "--expires", "soon"),
        ("create", "a", "--expires", "0s"),
        ("create", "a", "--assets-per-day", "-1"),
        ("create", "a", "--queries-per-second", "nan"),
        ("create",),
        ("list", "--tenant", "a b"),
        ("rotate", "nobody"),
        ("rotate", "0" * 12),
        ("revoke", "0" * 12),
        ("revoke",),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_ends_with_2_and_makes_no_key(run: Run, said: tuple[str, ...]) -> None:
    ran = run(*said)
    assert ran.status == 2, ran
    assert ran.err
    assert "\x1b" not in ran.err
    assert run("list", "--json").json == []


def test_a_token_in_place_of_an_id_is_not_printed(run: Run) -> None:
    secret = run("create", "a").out.strip()
    for command in ("revoke", "rotate"):
        ran = run(command, secret)
        assert ran.status == 2
        assert secret[16:] not in ran.out + ran.err
        assert "quiver keys list" in ran.err


def test_the_installed_command_makes_keys(data: Path, parts: Parts) -> None:
    said = [sys.executable, "-c", SCRIPT, "keys", "create", "web", "--data", str(data)]
    done = subprocess.run(said, capture_output=True, text=True, env={**os.environ, "COLUMNS": "20"}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert check(parts, done.stdout.strip()).name == "web", "whole, however narrow the terminal"
