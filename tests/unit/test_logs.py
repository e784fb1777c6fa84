"""What a service logs: one line a record, with the ids of what is worked on, and no secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from threading import Thread

import pytest

from core.errors import Misconfigured
from core.runtime import logs
from core.runtime.settings import load_settings

log = logging.getLogger("quiver.test")
SECRET = {
    "database_url": "postgresql://me:hunter2@db.example/q",
    "broker_url": "redis://:s3same@broker.example/0",
    "qdrant_api_key": 'k"ey',
}
Configured = Callable[..., io.StringIO]


@pytest.fixture
def configured() -> Iterator[Configured]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in logs.LOUD}

    def configure(level: str = "info", **settings: str) -> io.StringIO:
        out = io.StringIO()
        logs.configure(load_settings(**settings), level=level, stream=out)
        return out

    yield configure
    logging.captureWarnings(False)
    root.handlers, root.level = before[0], before[1]
    for name, was in before[2].items():
        logging.getLogger(name).setLevel(was)


def lines(out: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_json_line_has_time_level_logger_message_and_what_is_bound(configured: Configured) -> None:
    out = configured(log_format="json")
    with logs.bound(request_id="r1", job=None), logs.bound(collection="photos"):
        log.warning("two\nlines, %s", "ähnlich")
    log.info("later")
    log.debug("too much")
    first, later = lines(out)
    assert datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first == {
        "level": "warning",
        "logger": "quiver.test",
        "message": "two\nlines, ähnlich",
        "request_id": "r1",
        "collection": "photos",
    }
    assert "request_id" not in later


def test_a_line_for_people_ends_with_what_is_bound(configured: Configured) -> None:
    out = configured()
    with logs.bound(task_id="t1"):
        log.info("done")
    (line,) = out.getvalue().splitlines()
    assert line.endswith(" INFO quiver.test: done task_id=t1")


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_is_logged_whoever_says_it(form: str, configured: Configured) -> None:
    out = configured(log_format=form, **SECRET)
    log.info("connecting to %s and %s with %s", *SECRET.values())
    try:
        int("hunter2")
    except ValueError:
        log.exception("s3same")
    with logs.bound(collection="hunter2"):
        log.info("bound")
    said = out.getvalue()
    assert logs.HIDDEN in said
    for secret in ("hunter2", "s3same", 'k"ey', 'k\\"ey'):
        assert secret not in said
    assert "invalid literal" in said, "the rest of it is there"


def test_an_exception_stays_on_its_line(configured: Configured) -> None:
    out = configured(log_format="json")
    try:
        int("broken")
    except ValueError:
        log.exception("it failed")
    (line,) = lines(out)
    assert line["exception"].endswith("'broken'")


def test_what_one_thread_binds_no_other_has(configured: Configured) -> None:
    out = configured(log_format="json")
    with logs.bound(task_id="t1"):
        other = Thread(target=lambda: log.info("other"))
        other.start()
        other.join()
    assert "task_id" not in lines(out)[0]


def test_the_level_holds_and_a_wrong_one_is_named(configured: Configured) -> None:
    out = configured(level="warning")
    log.info("quiet")
    assert out.getvalue() == ""
    logging.getLogger("httpx").info("chatter")
    with pytest.raises(Misconfigured, match="no log level 'loud'; there is: debug, info"):
        configured(level="loud")


def test_to_configure_twice_logs_once(configured: Configured) -> None:
    before, out = configured(), configured()
    log.info("once")
    assert len(out.getvalue().splitlines()) == 1
    assert before.getvalue() == ""
