"""The processes of a chaos run, and how each is broken."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from core.catalogue.engine import make_engine
from workers.supervise import Service

PATIENCE = 60.0  # seconds


def until(what: str, true: Callable[[], bool], seconds: float = PATIENCE, *, every: float = 0.05) -> None:
    """Wait. Raises AssertionError when it does not come to pass."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(every)


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Child:
    """A service that is killed and started again."""

    def __init__(self, service: Service, log: Path) -> None:
        self.name, self.log, self._service = service.name, log, service
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0  # where in its log it began
        self.kills = 0

    def start(self) -> None:
        """Start it and wait until it is ready."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("QUIVER_")}
        with self.log.open("ab") as out:
            self._began = out.tell()
            self._process = subprocess.Popen(
                list(self._service.argv),
                env={**env, **self._service.env},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        ready = self._service.ready or (lambda: True)
        until(f"{self.name} is ready: see {self.log}", lambda: ready() or not self.alive)
        assert self.alive, f"{self.name} ended at once: {self.log.read_text()[-2000:]}"

    def says(self, what: str) -> bool:
        """Whether its log holds that since it was started last."""
        return what.encode() in self.log.read_bytes()[self._began :]

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> list[int]:
        """SIGKILL it; its children at that moment."""
        assert self._process is not None
        pid = self._process.pid
        children = _children(pid)
        self._process.kill()
        self._process.wait()
        self.kills += 1
        return children

    def end(self) -> None:
        """End it in any case. Harmless twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> bool:
        """Ask it to end; whether it did in time, with status 0."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(said) for said in task.read_text().split()]
    return found


class Postgres(Protocol):
    """A database that can be taken away."""

    how: str
    url: str

    def stop(self) -> None:
        """Take it away without warning."""
        ...

    def start(self) -> None:
        """Bring it back."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class Cluster:
    """A PostgreSQL of our own: stopped without a checkpoint, and recovered from its log."""

    how = "an own server: stopped with -m immediate, and started"

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        self._folder = Path(tempfile.mkdtemp(prefix="quiver-pg-", dir="/tmp"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self._call("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._options = (
            f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=60"
        )
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self.start()

    def start(self) -> None:
        """See the protocol."""
        self._call("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", self._options, "start")

    def stop(self) -> None:
        """See the protocol."""
        self._call("pg_ctl", "-w", "-m", "immediate", "stop")

    def close(self) -> None:
        """See the protocol."""
        with suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, program: str, *said: str) -> None:
        argv = [str(self._programs / program), "-D", str(self._folder / "data"), *said]
        subprocess.run(argv, user=self._user, cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Borrowed:
    """A database of our own on a server that others use too: closed to us, and every connection to it ended."""

    how = "a database on a server that stays up: no connections allowed, all ended"

    def __init__(self, server: str) -> None:
        self._admin = make_engine(server).execution_options(isolation_level="AUTOCOMMIT")
        self._name = f"quiver_chaos_{uuid4().hex[:12]}"
        self._say(f"CREATE DATABASE {self._name}")
        self.url = server.rpartition("/")[0] + f"/{self._name}"

    def stop(self) -> None:
        """See the protocol."""
        self._say(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self._say(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'")

    def start(self) -> None:
        """See the protocol."""
        self._say(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def close(self) -> None:
        """See the protocol."""
        self._say(f"DROP DATABASE {self._name} WITH (FORCE)")
        self._admin.dispose()

    def _say(self, statement: str) -> None:
        with self._admin.connect() as conn:
            conn.exec_driver_sql(statement)


def postgres() -> Postgres:
    """A server of our own where its programs are, or else a database on the one that is set."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = str(places[0]) if places else shutil.which("initdb")
    if found:
        return Cluster(Path(found).parent)
    return Borrowed(os.environ.get("QUIVER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres"))


WATCH = """
CREATE TABLE chaos_claims (asset_id uuid, generation integer);
CREATE FUNCTION chaos_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos_claims VALUES (NEW.asset_id, NEW.generation); RETURN NEW; END $$;
CREATE TRIGGER chaos_put AFTER INSERT ON leases FOR EACH ROW EXECUTE FUNCTION chaos_claim();
CREATE TRIGGER chaos_again AFTER UPDATE ON leases FOR EACH ROW
  WHEN (NEW.token IS NOT NULL AND NEW.token IS DISTINCT FROM OLD.token) EXECUTE FUNCTION chaos_claim();
"""


class Claims:
    """Counts every claim, which the catalogue itself forgets when the work is done."""

    def __init__(self, url: str) -> None:
        self._engine: Engine = make_engine(url)
        with self._engine.begin() as conn:
            conn.exec_driver_sql(WATCH)

    def counted(self) -> tuple[int, int]:
        """Claims, and how many different generations of assets were claimed."""
        with self._engine.connect() as conn:
            row = conn.execute(text("SELECT count(*), count(DISTINCT (asset_id, generation)) FROM chaos_claims")).one()
        return int(row[0]), int(row[1])

    def close(self) -> None:
        """Let go of the connection."""
        with suppress(DBAPIError):
            self._engine.dispose()
