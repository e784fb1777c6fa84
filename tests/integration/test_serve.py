"""`quiver serve`: a process that answers, refuses to be reached by strangers, and loses nothing when it is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import httpx
import pytest

from core.desk import Role
from tests.doubles import toy_parts
from tests.httpd import client, found, key_for, settled

DEADLINE = 60.0  # seconds
ME = (sys.executable, "-m", "tests.launch")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def served(data: Path, port: int, *more: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    said = {**os.environ, "QUIVER_DATA": str(data), "QUIVER_PROFILE": "toy", "QUIVER_DECODE": "inline", **env}
    process = subprocess.Popen([*ME, "serve", "--port", str(port), *more], env=said)
    try:
        until = monotonic() + DEADLINE
        while not answers(port):
            assert process.poll() is None, "it ended"
            assert monotonic() < until
            sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_what_was_accepted_is_found_after_a_kill(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    accepted: list[str] = []
    with served(data, port) as process, client(f"http://127.0.0.1:{port}") as http:

        def send() -> None:
            try:
                for n in range(10_000):
                    http.post("/v1/collections/c/assets", json={"text": f"red {n}", "id": f"t{n}"}).raise_for_status()
                    accepted.append(f"t{n}")
            except httpx.HTTPError:
                return

        sender = Thread(target=send)
        sender.start()
        while len(accepted) < 60:
            sleep(0.01)
        process.send_signal(signal.SIGKILL)
        sender.join()
    with served(data, port), client(f"http://127.0.0.1:{port}") as http:
        assert settled(http, "c")["indexed"] >= len(accepted)
        assert set(accepted) <= set(found(http, "c", "red", limit=1000))


def test_it_ends_in_order_and_answers_what_it_had_begun(tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path / "data", port) as process, client(f"http://127.0.0.1:{port}") as http:
        lines = "\n".join(json.dumps({"text": f"red {n}", "id": f"t{n}"}) for n in range(300))
        headers = {"Content-Type": "application/x-ndjson"}
        job = http.post("/v1/collections/c/assets", content=lines, headers=headers).json()["job"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) in (0, -signal.SIGTERM)
    with served(tmp_path / "data", port), client(f"http://127.0.0.1:{port}") as http:
        until = monotonic() + DEADLINE
        while not (now := http.get(job["url"]).json())["done"]:
            assert monotonic() < until
            sleep(0.05)
        assert (now["lines"], now["counts"]["indexed"]) == (300, 300)


def run(data: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    said = {**os.environ, "QUIVER_DATA": str(data), "QUIVER_PROFILE": "toy"}
    return subprocess.run([*ME, *argv], env=said, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_it_does_not_listen_where_strangers_reach_it_before_there_is_a_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    refused = run(data, "serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 3
    assert "quiver keys create" in refused.stderr
    parts = toy_parts(data)
    key = key_for(parts, "ann", Role.READER)
    parts.close()
    port = free_port()
    with served(data, port, "--host", "0.0.0.0"), client(f"http://127.0.0.1:{port}", key) as http:
        assert http.get("/v1/collections").status_code == 200
        assert http.get("/v1/collections", headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (("--processes", "2"), {}),
        (("--loglevel", "loud"), {}),
        ((), {"QUIVER_FETCH_NETWORKS": "inside"}),
        ((), {"QUIVER_BROKER_URL": "sentinel://127.0.0.1:1"}),
    ],
)
def test_what_cannot_be_is_said_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], env: dict[str, str]
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    refused = run(tmp_path / "data", "serve", "--port", "0", *argv)
    assert refused.returncode == 3, refused.stderr
    assert "Misconfigured" in refused.stderr


def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path / "data", port), socket.create_connection(("127.0.0.1", port)) as silent:
        silent.settimeout(30)
        assert silent.recv(1) == b""
        with client(f"http://127.0.0.1:{port}") as http:
            sleep(1)
            assert http.get("/livez").status_code == 200


def test_readiness_names_what_is_wrong_and_liveness_does_not_care(tmp_path: Path) -> None:
    port = free_port()
    env = {"QUIVER_STORE": "process", "QUIVER_BROKER_URL": "redis://127.0.0.1:1/0"}
    with served(tmp_path / "data", port, **env), client(f"http://127.0.0.1:{port}") as http:
        assert http.get("/livez").json() == {"live": True}
        answer = http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {
            "catalogue": "ok",
            "store": "StoreDown",
            "model": "ok",
            "models": "ok",
            "broker": "BrokerDown",
        }
        search = http.put("/v1/collections/c")
        assert search.status_code == 200
    with served(tmp_path / "other", port), client(f"http://127.0.0.1:{port}") as http:
        assert http.get("/readyz").json()["ready"] is True
        assert b"quiver_http_requests_total" in http.get("/metrics").content
