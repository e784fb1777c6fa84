"""Fixtures that every kind of test shares: real services, and no way home or out."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from core.catalogue.engine import make_engine, migrate

settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", max_examples=4000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a job in the background: children would ignore it, too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(service: str, how: str) -> None:
    """A service that is not there skips at home and fails in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{service} is needed in CI: {how}")
    pytest.skip(f"{service} is not there: {how}")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the user's home or settings, or reaches beyond this machine."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in list(os.environ):
        if name.startswith("QUIVER_") and not name.startswith("QUIVER_TEST_"):
            monkeypatch.delenv(name)
    for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "QDRANT_URL", "QDRANT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0]) if isinstance(address, tuple) else ""
            if host not in {"127.0.0.1", "::1", "localhost"}:
                raise RuntimeError(f"a test tried to reach {address}")
        real(self, address)  # type: ignore[arg-type]  # the address was only looked at

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty SQLite catalogue at the newest migration."""
    path = tmp_path_factory.mktemp("migrated") / "catalogue.db"
    made = make_engine(path)
    migrate(made)
    made.dispose()
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _at_head_at_once(_migrated: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new SQLite catalogue is a copy of one that was migrated: thousands are made, and each migration takes its time.
    tests/migrations is about migrating itself, and knows nothing of this."""

    def quick(engine: Engine) -> None:
        where = engine.url.database
        if engine.dialect.name == "sqlite" and where and not Path(where).exists():
            Path(where).write_bytes(_migrated)
        else:
            migrate(engine)

    monkeypatch.setattr("core.catalogue.sql.migrate", quick)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of our own on a real PostgreSQL, dropped afterwards."""
    server = os.environ.get("QUIVER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
    name = f"quiver_test_{uuid4().hex[:12]}"
    admin = make_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as conn:
            conn.exec_driver_sql(f"CREATE DATABASE {name}")
    except Exception as exc:  # noqa: BLE001  # whatever it is, the service is not there
        missing("PostgreSQL", f"set QUIVER_TEST_POSTGRES to an administrator's URL ({exc})")
    yield server.rpartition("/")[0] + f"/{name}"
    with admin.connect() as conn:
        conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()
