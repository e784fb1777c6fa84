"""Tasks, called as functions: what a message does, whatever queue it came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.encoders.registry import Encoders
from core.records import State
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from ingest.sources.manifest import Inline
from tests.doubles import PitchEncoder, toy_parts
from workers import tasks
from workers.app import QUEUES, make_app
from workers.collections import ensure
from workers.intake import register
from workers.stalls import Stalls

ME = Tenant("default")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    made = toy_parts(tmp_path, batch=4, broker_url="redis://127.0.0.1:1/0")
    monkeypatch.setattr(tasks, "parts", lambda: made)
    yield made
    made.close()


def registered(parts: Parts, count: int) -> list[AssetId]:
    ids: list[AssetId] = []
    items = [Inline(str(i), "red") for i in range(count)]
    register(parts, ME, ensure(parts, "c"), items, lambda _, new: ids.extend(new))
    return ids


def test_a_message_of_one_asset_takes_neighbours_along_so_that_batches_are_full(parts: Parts) -> None:
    ids = registered(parts, 6)
    tasks.index("c", [str(ids[0])])
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 4
    assert parts.catalogue.state(parts.catalogue.asset(ME, "c", ids[0])) is State.INDEXED


def test_a_message_that_comes_twice_or_late_does_its_work_once(parts: Parts) -> None:
    ids = [str(asset_id) for asset_id in registered(parts, 4)]
    for _ in range(3):
        tasks.index("c", ids)
    assert parts.catalogue.counts(ME, "c")[State.INDEXED] == 4
    assert len(parts.store.scroll(parts.catalogue.serving("c"))) == 4


def test_what_was_removed_is_cleared_by_its_message(parts: Parts) -> None:
    ids = registered(parts, 2)
    tasks.index("c", [str(i) for i in ids])
    parts.catalogue.remove(ME, "c", ids[:1])
    tasks.clear_removed()
    assert parts.catalogue.removed(limit=10) == []
    assert len(parts.store.scroll(parts.catalogue.serving("c"))) == 1


def test_messages_are_json_and_are_acknowledged_after_their_work(parts: Parts) -> None:
    said = make_app(parts.settings).conf
    assert said.accept_content == ["json"]
    assert (said.task_acks_late, said.worker_prefetch_multiplier) == (True, 1)
    assert said.broker_transport_options["visibility_timeout"] == said.visibility_timeout > said.task_time_limit
    assert said.result_backend_transport_options["visibility_timeout"] == said.visibility_timeout
    assert [queue.name for queue in said.task_queues] == list(QUEUES)
    assert QUEUES[0] == "delete", "deletes never wait behind a bulk load"


def test_however_many_messages_are_sent_there_is_one_application_and_its_pool_does_not_grow(parts: Parts) -> None:
    def held() -> int:
        app = make_app(parts.settings.model_copy())
        return len(app.amqp.producer_pool._resource.queue)

    before = held()
    assert before > 0
    assert [held() for _ in range(3)] == [before] * 3


def test_a_message_of_a_wrong_model_is_told_of_once_and_its_assets_stay_pending(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "_stalls", Stalls())
    ids = [str(asset_id) for asset_id in registered(parts, 4)]
    monkeypatch.setitem(parts.__dict__, "encoders", Encoders({"toy": lambda _: [PitchEncoder()]}))
    for _ in range(2):
        tasks.index("c", ids)
    assert parts.catalogue.counts(ME, "c")[State.PENDING] == 4
    [said] = [record.getMessage() for record in caplog.records if record.name == "workers.stalls"]
    assert said.startswith("collection c: ")
    assert "ModelMismatch" in said
