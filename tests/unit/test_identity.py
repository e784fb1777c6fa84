"""Who a worker is: the living are never buried, the dead and their successors are told apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from workers.identity import is_dead, me

WHO = "from workers.identity import me; import sys; print(me(), flush=True); sys.stdin.read()"


def test_this_worker_is_alive() -> None:
    assert not is_dead(me())


def test_threads_are_workers_of_their_own() -> None:
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(me()))
    thread.start()
    thread.join()
    assert got[0] != me()
    assert got[0].rpartition("/")[0] == me().rpartition("/")[0]
    assert not is_dead(got[0])  # its process lives: the lease is its own affair until it runs out


def test_a_worker_is_dead_when_its_process_has_gone_and_not_before() -> None:
    child = subprocess.Popen([sys.executable, "-c", WHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        worker = child.stdout.readline().strip()
        assert str(child.pid) in worker.split("/")
        assert not is_dead(worker)
        child.kill()
    assert is_dead(worker)


def test_a_later_process_of_the_same_number_is_not_the_worker() -> None:
    host, pid, born, thread = me().split("/")
    assert is_dead(f"{host}/{pid}/{int(born) - 1}/{thread}")


def test_a_worker_of_another_host_is_never_known_to_be_dead() -> None:
    assert not is_dead("elsewhere/999999999/1/1")
    assert is_dead(f"{socket.gethostname()}/999999999/1/1")


@pytest.mark.parametrize(
    "worker",
    ["", "celery@host", "a/b", f"{socket.gethostname()}/{os.getpid()}", "a/b/c/d/e"],
    ids=["nothing", "Celery's", "two", "without a start", "five"],
)
def test_a_name_that_says_too_little_is_not_known_to_be_dead(worker: str) -> None:
    assert not is_dead(worker)
