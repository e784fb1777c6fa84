"""The models that searches will ask, loaded while a process starts and not by the first who asks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from core.errors import Fault, NoSuchCollection, Unavailable
from core.records import Index
from core.runtime.wiring import Parts

log = logging.getLogger(__name__)
AGAIN = 5.0  # seconds between looks while the catalogue is down
PATIENCE = 2.0  # seconds for which readiness waits for what is still loading
LEAVING = 5.0  # seconds for which a process that ends waits for the thread


class Warming:
    """The default profile, and the spaces of the indexes that serve when the process starts.

    A wrong model of one collection is no reason to send nobody to this process: readiness tells of it, and is given.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stopping, self._done = Event(), Event()
        self._count = 0
        self._faults: dict[str, str] = {}  # by collection

    @contextmanager
    def running(self) -> Iterator[None]:
        """On a thread of its own."""
        thread = Thread(target=self._run, name="warming", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join(LEAVING)

    def loading(self) -> bool:
        """Whether something is still being loaded, after a moment for it to end."""
        return not self._done.wait(PATIENCE)

    def says(self) -> str:
        """`ok`, or how many collections have a model that cannot be loaded, and why."""
        if not self._done.is_set():
            return "loading"
        kinds = ", ".join(sorted(set(self._faults.values())))
        return f"{len(self._faults)} of {self._count}: {kinds}" if self._faults else "ok"

    def _run(self) -> None:
        try:
            self._parts.encoders.warm(self._parts.settings.profile)
        except Unavailable as fault:
            log.warning("the model could not be loaded yet: %s", fault)
        except Fault as fault:
            _tell("the model cannot be loaded: %s", fault)
        for index in self._serving():
            if self._stopping.is_set():
                return
            try:
                self._parts.encoders.warm(index.profile, *index.spaces)
            except Fault as fault:
                self._faults[index.collection] = fault.kind
                _tell(f"collection {index.collection}: its model cannot be loaded: %s", fault)
        self._done.set()

    def _serving(self) -> list[Index]:
        while not self._stopping.is_set():
            try:
                found = list(self._found())
            except Fault as fault:
                log.warning("which models are needed is not known yet: %s", fault)
                self._stopping.wait(AGAIN)
            else:
                self._count = len(found)
                return found
        return []

    def _found(self) -> Iterator[Index]:
        for collection in self._parts.catalogue.collections():
            try:
                yield self._parts.catalogue.serving(collection.name)
            except NoSuchCollection:
                log.debug("%s: nothing is indexed yet", collection.name)


def _tell(message: str, fault: Fault) -> None:
    log.error(message, fault)
