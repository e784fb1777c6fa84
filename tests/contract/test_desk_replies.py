"""Replies to requests that may come twice: the promises of `Desk` on them, over both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from core.catalogue.sql import SqlCatalogue
from core.desk import Reply
from tests.contract.catalogues import LEASE, ME, OTHER

NONE = timedelta(0)


def test_a_request_is_done_once_and_answered_the_same_ever_after(catalogue: SqlCatalogue) -> None:
    assert catalogue.begin_reply(ME, "k", "f", lease=LEASE) is None
    assert catalogue.begin_reply(ME, "k", "f", lease=LEASE) == Reply(fingerprint="f", status=None, body=None)
    catalogue.end_reply(ME, "k", status=201, body='{"é": 1}')
    answered = Reply(fingerprint="f", status=201, body='{"é": 1}')
    assert catalogue.begin_reply(ME, "k", "f", lease=LEASE) == answered
    assert catalogue.begin_reply(ME, "k", "other", lease=LEASE) == answered, "the caller sees that it is another"


def test_of_many_that_begin_at_once_one_does_it(catalogue: SqlCatalogue) -> None:
    start = threading.Barrier(6)
    said: list[Reply | None] = []

    def begin() -> None:
        start.wait()
        said.append(catalogue.begin_reply(ME, "k", "f", lease=LEASE))

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 6
    assert said.count(None) == 1


def test_an_abandoned_request_is_taken_over_by_the_same_one_alone(catalogue: SqlCatalogue) -> None:
    assert catalogue.begin_reply(ME, "k", "f", lease=NONE) is None
    assert catalogue.begin_reply(ME, "k", "other", lease=LEASE) == Reply(fingerprint="f", status=None, body=None)
    assert catalogue.begin_reply(ME, "k", "f", lease=LEASE) is None
    assert catalogue.begin_reply(ME, "k", "f", lease=LEASE) is not None


def test_an_answer_is_never_taken_over_however_old(catalogue: SqlCatalogue) -> None:
    catalogue.begin_reply(ME, "k", "f", lease=NONE)
    catalogue.end_reply(ME, "k", status=200, body="a")
    assert catalogue.begin_reply(ME, "k", "f", lease=NONE) == Reply(fingerprint="f", status=200, body="a")


def test_a_forgotten_request_can_be_sent_again_even_as_another(catalogue: SqlCatalogue) -> None:
    catalogue.begin_reply(ME, "k", "f", lease=LEASE)
    catalogue.end_reply(ME, "k", status=None, body=None)
    assert catalogue.begin_reply(ME, "k", "other", lease=LEASE) is None


def test_the_first_answer_stands(catalogue: SqlCatalogue) -> None:
    catalogue.begin_reply(ME, "k", "f", lease=LEASE)
    catalogue.end_reply(ME, "k", status=200, body="first")
    catalogue.end_reply(ME, "k", status=500, body="late")
    catalogue.end_reply(ME, "k", status=None, body=None)
    assert catalogue.begin_reply(ME, "k", "f", lease=LEASE) == Reply(fingerprint="f", status=200, body="first")


def test_a_key_of_one_tenant_is_not_that_of_another(catalogue: SqlCatalogue) -> None:
    catalogue.begin_reply(ME, "k", "f", lease=LEASE)
    catalogue.end_reply(ME, "k", status=200, body="mine")
    assert catalogue.begin_reply(OTHER, "k", "f", lease=LEASE) is None
    catalogue.end_reply(OTHER, "k", status=None, body=None)
    mine = catalogue.begin_reply(ME, "k", "f", lease=LEASE)
    assert mine is not None
    assert mine.body == "mine"


def test_old_replies_are_pruned_and_young_ones_are_not(catalogue: SqlCatalogue) -> None:
    catalogue.begin_reply(ME, "old", "f", lease=LEASE)
    between = datetime.now(UTC)
    catalogue.begin_reply(ME, "young", "f", lease=LEASE)
    assert catalogue.prune(before=between) == []
    assert catalogue.begin_reply(ME, "old", "f", lease=LEASE) is None
    assert catalogue.begin_reply(ME, "young", "f", lease=LEASE) is not None
