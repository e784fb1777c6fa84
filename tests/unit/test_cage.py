"""Decoding in child processes: whatever a file does to its decoder costs that file, and the next is served right."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.errors import DecoderCrashed, DecoderDown, Defect, Fault, OutOfMemory, Refused, TimedOut
from core.stores.memory import MemoryStore
from core.types import Image, Modality
from ingest.limits import MOST_PIXELS, Limits
from ingest.sources.paths import items
from tests.cages import ask, ended, inline, making, same, soon, stub, told
from tests.doubles import toy_parts
from tests.flow.promises import ME
from tests.photos import KINDS, huge_png, photo, turned
from workers.cage import Cage, cage_of
from workers.cage_process import CageLimits
from workers.cage_wire import KEPT
from workers.collections import ensure
from workers.indexing import index_batch
from workers.intake import register


@pytest.fixture
def cages() -> Iterator[Callable[..., Cage]]:
    with making() as make:
        yield make


# The same meaning


def test_it_prepares_as_the_same_process_would(cages, tmp_path):
    cage = cages()
    for kind in KINDS:
        for side in (0, 50):
            assert same(ask(cage, photo(kind, 333, 201), side=side), inline(photo(kind, 333, 201), side=side))
    assert same(ask(cage, turned(6)), inline(turned(6)))
    found = ask(cage, photo())
    assert isinstance(found[0].content, Image)
    assert found[0].content.pixels.flags.writeable
    text = ("A sentence about wells. 井水很清。 " * 400).encode()
    assert same(ask(cage, text, modality=Modality.TEXT), inline(text, modality=Modality.TEXT))
    path = tmp_path / "photo"
    path.write_bytes(photo(seed=3))
    with path.open("rb") as file:
        file.read(10)
        assert same(ask(cage, file), inline(photo(seed=3)))
    assert same(ask(cage, io.BytesIO(photo(seed=4))), inline(photo(seed=4)))


BAD: list[tuple[bytes, dict[str, Any]]] = [
    (photo()[:300], {}),
    (b"", {}),
    (b"a\0b", {"modality": Modality.TEXT}),
    (b"abc", {"modality": Modality.AUDIO}),
    (photo(), {"limits": Limits(pixels=100)}),
    (photo(), {"limits": Limits(bytes=100)}),
]


def test_faults_pass_by_class_and_message_and_cost_no_child(cages):
    cage = cages()
    ask(cage, photo())
    before = set(cage._running)
    for data, more in BAD:
        with pytest.raises(Refused) as wanted:
            inline(data, **more)
        with pytest.raises(Refused) as found:
            ask(cage, data, **more)
        assert (found.value.kind, str(found.value)) == (wanted.value.kind, str(wanted.value))
    assert cage._running == before


def test_answers_larger_than_what_is_kept_mapped_are_whole_and_their_memory_is_given_back(cages):
    cage = cages()
    large = photo("PPM", 3000, 2000)
    assert KEPT < 3000 * 2000 * 3
    for _ in range(2):
        assert same(ask(cage, large), inline(large))
        assert same(ask(cage, photo()), inline(photo()))
    (child,) = cage._running
    assert os.fstat(child._shared).st_blocks * 512 <= KEPT


# What a file can do


def refused(cage: Cage, data: bytes, kind: type[Fault], said: str) -> None:
    """It is, twice, and a good file before, between and after is served."""
    for _ in range(2):
        assert same(ask(cage, photo()), inline(photo()))
        with pytest.raises(kind, match=said) as found:
            ask(cage, data)
        assert type(found.value) is kind
    assert same(ask(cage, photo()), inline(photo()))


@pytest.mark.parametrize(
    ("file", "kind", "said"),
    [
        (b"segfault", DecoderCrashed, "SIGSEGV"),
        (b"abort", DecoderCrashed, "SIGABRT.*heap is gone"),
        (b"exit", DecoderCrashed, "status 3"),
        (b"hoard", OutOfMemory, "QUIVER_DECODE_MEMORY_BYTES"),
        (b"bug", Defect, "KeyError.*of ours"),
    ],
)
def test_a_file_that_brings_its_decoder_down_costs_that_file(cages, file, kind, said):
    refused(cages(stub()), file, kind, said)


def test_a_file_that_waits_is_stopped_by_the_clock(cages):
    refused(cages(stub(), seconds=1), b"sleep", TimedOut, "1 s.*QUIVER_DECODE_SECONDS")


def test_a_file_that_spins_is_stopped_by_its_processor_time(cages):
    cage = cages(stub(), cpu_seconds=1)
    assert same(ask(cage, b"good"), inline(photo()))
    with pytest.raises(TimedOut, match=r"processor time.*QUIVER_DECODE_CPU_SECONDS"):
        ask(cage, b"spin")
    assert same(ask(cage, b"good"), inline(photo()))


def test_processor_time_is_counted_a_file(cages):
    cage = cages(cpu_seconds=1)
    slow = photo("PNG", 2000, 1500)
    spent = -sum(os.times()[2:4])
    for _ in range(150):  # some 25 ms each
        ask(cage, slow, side=8)
    cage.close()
    assert spent + sum(os.times()[2:4]) > 1.2, "together they took more than one may"


def test_a_real_decompression_bomb_runs_into_the_limit_of_memory(cages):
    bomb = huge_png(8_000, 8_000)
    assert len(bomb) < 100_000
    refused(cages(memory_bytes=48 << 20), bomb, OutOfMemory, "50,331,648 bytes of memory")


def test_a_real_slow_file_runs_into_the_clock(cages):
    cage = cages(seconds=1, memory_bytes=16 << 30)
    with pytest.raises(TimedOut, match="more than 1 s"):
        ask(cage, huge_png(16_000, 16_000), limits=Limits(pixels=MOST_PIXELS))
    assert same(ask(cage, photo()), inline(photo()))


def test_a_decoder_that_hangs_up_and_stays_is_killed(cages, monkeypatch):
    monkeypatch.setattr("workers.cage_process.DYING", 0.2)
    cage = cages(stub())
    with pytest.raises(DecoderCrashed, match="hung up"):
        ask(cage, b"hang up")
    assert same(ask(cage, b"good"), inline(photo()))


def test_noise_on_standard_error_blocks_nobody(cages):
    cage = cages(stub(), seconds=20)
    for _ in range(5):
        assert same(ask(cage, b"noise"), inline(photo()))


def test_no_file_is_blamed_for_what_an_earlier_one_broke(cages):
    cage = cages(stub())
    assert same(ask(cage, b"grudge"), inline(photo()))
    assert same(ask(cage, b"good"), inline(photo()))


def test_a_child_that_was_killed_while_idle_is_replaced(cages):
    cage = cages(stub())
    os.kill(told(cage)["pid"], signal.SIGKILL)
    assert same(ask(cage, b"good"), inline(photo()))


def test_a_child_sees_no_secrets_writes_no_files_and_loads_no_models(cages, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@host/db")
    cage = cages(stub())
    said = told(cage)
    assert "secret" not in json.dumps(said["environment"])
    assert said["core"] == [0, 0]
    assert not {"torch", "sqlalchemy", "qdrant_client", "pydantic", "celery"} & set(said["modules"])
    with pytest.raises(Defect, match="File too large"):
        ask(cage, b"write:" + bytes(tmp_path / "out"))


# Children and their parent


def test_a_child_that_cannot_start_is_nobodys_fault(cages):
    for argv, said in (
        (["/nowhere/python"], "No such file"),
        ([sys.executable, "-c", "raise SystemExit('no such package')"], "no such package"),
    ):
        cage = cages(argv)
        for _ in range(2):
            with pytest.raises(DecoderDown, match=said):
                ask(cage, photo())


def test_eight_threads_on_two_children_get_their_own_answers(cages):
    cage = cages(children=2)
    photos = [photo(seed=i, width=64 + i) for i in range(80)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda data: ask(cage, data), photos))
    assert all(same(segments, inline(data)) for segments, data in zip(found, photos, strict=True))
    assert len(cage._running) <= 2


def test_a_thread_that_ends_takes_no_child_with_it(cages):
    cage = cages(stub())
    pids = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: pids.append(told(cage)["pid"]))
        thread.start()
        thread.join()
        time.sleep(0.05)
    assert pids[0] == pids[1]


def test_a_forked_process_asks_no_child_of_its_parents(cages, monkeypatch):
    cage = cages()
    monkeypatch.setattr(cage, "_owner", -1)
    with pytest.raises(DecoderDown, match="forked"):
        ask(cage, photo())


def test_a_child_is_replaced_after_as_many_files_as_set(cages):
    cage = cages(stub(), recycle=2)
    pids = [told(cage)["pid"] for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    assert ended(pids[0])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_parent_grows_by_nothing_over_many_files(cages):
    def state() -> tuple[int, int]:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096, open_files()

    cage = cages()
    data = photo(width=320, height=240)
    for _ in range(50):
        ask(cage, data)
    memory, files = state()
    for i in range(500):
        if i % 100 == 0:
            with pytest.raises(Refused):
                ask(cage, data[:200])
        ask(cage, data)
    assert state()[0] - memory < 4 << 20
    assert state()[1] == files


def test_closing_ends_the_idle_and_those_at_work_and_leaves_no_zombie(cages):
    cage = cages(stub(), children=2)
    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(ask, cage, b"sleep")
        assert soon(lambda: len(cage._running) == 1, 20)
        told(cage)
        pids = [child._popen.pid for child in cage._running]
        files = open_files()
        cage.close()
        with pytest.raises(DecoderDown, match="closed"):
            busy.result(5)
    cage.close()
    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert open_files() < files
    with pytest.raises(DecoderDown, match="closed"):
        ask(cage, photo())


def test_a_cage_that_is_dropped_ends_its_children():
    cage = Cage(children=1, limits=CageLimits())
    ask(cage, photo())
    (child,) = cage._running
    pid = child._popen.pid
    del cage, child
    assert soon(lambda: not Path(f"/proc/{pid}").exists(), 2)


PARENT = """
import sys, threading, time
from tests.cages import Cage, CageLimits, ask, stub, told
cage = Cage(children=2, limits=CageLimits(), argv=stub())
threading.Thread(target=ask, args=(cage, b"spin"), daemon=True).start()
while not cage._running: time.sleep(0.01)
time.sleep(0.1)
told(cage)
print(*[child._popen.pid for child in cage._running], flush=True)
time.sleep(60)
"""


def test_children_idle_or_at_work_die_with_their_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    with parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(ended(pid) for pid in pids)
        parent.kill()
    assert soon(lambda: all(ended(pid) for pid in pids), 1)


# Indexing


def test_a_bomb_among_pictures_costs_one_asset_and_closing_the_parts_ends_the_children(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name, data in {"a.jpg": photo(), "bomb.png": huge_png(8_000, 8_000), "c.png": photo("PNG")}.items():
        (folder / name).write_bytes(data)
    parts = toy_parts(tmp_path / "data", decode="cage", decode_memory_bytes=48 << 20)
    parts.__dict__["store"] = MemoryStore()
    made = ensure(parts, "c")
    tallies = []
    register(parts, ME, made, items([folder]), lambda name, ids: tallies.append(index_batch(parts, name, ids)))
    assert [(tally.indexed, tally.failed) for tally in tallies] == [(2, 1)]
    ask(cage_of(parts), photo())  # whichever came last, there is a child now
    pids = [child._popen.pid for child in cage_of(parts)._running]
    assert pids
    parts.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
