"""Who a worker is, so that the leases of one that died can be ended without waiting."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from core.runtime.wiring import Parts


def _born(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty where the system does not say."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return said.rpartition(")")[2].split()[19]


def me() -> str:
    """host/pid/start/thread. The start tells a process from a later one of the same number."""
    return f"{socket.gethostname()}/{os.getpid()}/{_born(os.getpid())}/{threading.get_native_id()}"


def is_dead(worker: str) -> bool:
    """Whether its process is gone for certain. A worker of another host is never known to be dead."""
    parts = worker.split("/")
    if len(parts) != 4 or parts[0] != socket.gethostname() or not Path("/proc/self/stat").exists():
        return False
    return _born(int(parts[1])) != parts[2]


def bury(parts: Parts) -> int:
    """End the leases of workers of this machine whose process is gone; how many."""
    return sum(parts.catalogue.expire(worker) for worker in parts.catalogue.holders() if is_dead(worker))
