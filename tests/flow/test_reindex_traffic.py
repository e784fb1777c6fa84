"""A reindexing under traffic of threads: who asks meanwhile sees no fault, no empty answer, and never two models."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from time import sleep

import pytest

from tests.flow.reindexed import SWITCHED, embedded
from tests.flow.traffic import Seen, ask_all, change, check_end, fill, go_on, settled
from workers import rebuilding, reindex


@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_nobody_who_asks_meanwhile_notices(tmp_path: Path, rounds: int) -> None:
    parts = embedded(tmp_path / "data")
    fill(parts)
    stopping = threading.Event()
    crowd = [Seen(str(number)) for number in range(4)]
    threads = [
        threading.Thread(target=go_on, args=(parts, seen, ask_all if at < 2 else change, partial(stopping.wait, 0.005)))
        for at, seen in enumerate(crowd)
    ]

    def asked() -> int:
        return sum(len(seen.answers) for seen in crowd)

    for thread in threads:
        thread.start()
    try:
        for _ in range(rounds):
            reindex.start(parts, "c", SWITCHED)
            assert rebuilding.run(parts, "c").built
            settled(parts)
            reindex.switch(parts, "c")
            before = asked()
            while asked() < before + 20 and not any(seen.wrong for seen in crowd):
                sleep(0.001)
            reindex.rollback(parts, "c")
            reindex.retire(parts, "c")
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    check_end(parts, crowd)
    assert {model for seen in crowd for *_, model in seen.answers} == {"toy", "turned"}
    assert asked() > 20 * rounds
