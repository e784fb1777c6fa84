"""How services log: lines for people, or JSON lines for a collector, with the ids of what is being worked on."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TextIO

from pydantic import SecretStr

from core.errors import Misconfigured
from core.runtime.settings import Settings

HIDDEN = "**********"
LEVELS = ("debug", "info", "warning", "error", "critical")
# They tell of every request to a part, at a level at which we tell of our own work.
LOUD = ("httpx", "httpcore", "alembic", "urllib3", "celery.utils.functional")

Ids = Mapping[str, str]
_ids: ContextVar[Ids] = ContextVar("ids", default=MappingProxyType({}))


@contextmanager
def bound(**ids: object) -> Iterator[None]:
    """What is logged inside carries these ids: request_id, task_id, job, collection. None is left out."""
    token = bind(**ids)
    try:
        yield
    finally:
        unbind(token)


def bind(**ids: object) -> Token[Ids]:
    """As `bound`, for who is told of begin and end by two calls. `unbind` takes the token, in the same thread."""
    return _ids.set({**_ids.get(), **{name: str(value) for name, value in ids.items() if value is not None}})


def unbind(token: Token[Ids]) -> None:
    """The ids are again those from before `bind`."""
    _ids.reset(token)


def ids() -> Ids:
    """The ids that are bound here."""
    return _ids.get()


def configure(settings: Settings, *, level: str = "info", stream: TextIO | None = None) -> None:
    """Send what this process logs to `stream` (standard error), as the settings say, and nowhere else.

    No secret of the settings is in it, whoever logs one. Raises Misconfigured for a level that there is not.
    """
    if level.lower() not in LEVELS:
        raise Misconfigured(f"there is no log level {level!r}; there is: {', '.join(LEVELS)}")
    out = logging.StreamHandler(stream if stream is not None else sys.stderr)
    secrets = _secrets(settings)
    out.setFormatter(_Json(secrets) if settings.log_format == "json" else _Text(secrets))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(out)
    root.setLevel(level.upper())
    for name in LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)


def _secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret that is set, and the passwords inside those that are addresses; the longest first."""
    said = [getattr(settings, name) for name in Settings.model_fields]
    whole = [secret.get_secret_value() for secret in said if isinstance(secret, SecretStr)]
    return tuple(sorted({part for one in whole for part in (one, _password(one)) if part}, key=len, reverse=True))


def _password(url: str) -> str:
    _, _, rest = url.partition("://")
    credentials, at, _ = rest.rpartition("@")
    return credentials.partition(":")[2] if at else ""


class _Text(logging.Formatter):
    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # its name in the standard library
        said = "".join(f" {name}={value}" for name, value in ids().items())
        return super().formatMessage(record) + said

    def format(self, record: logging.LogRecord) -> str:
        return _without(super().format(record), self._secrets)


class _Json(logging.Formatter):
    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **ids(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        # Before it is written as JSON: a secret with a quotation mark in it is spelt otherwise there.
        return json.dumps({name: _without(value, self._secrets) for name, value in line.items()}, ensure_ascii=False)


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text
