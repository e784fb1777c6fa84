"""Folders that are watched: when something in them has changed and come to rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from time import monotonic

from watchfiles import Change, watch
from watchfiles._rust_notify import WatchfilesRustInternalError

from core.errors import Misconfigured
from ingest.sources.folder import SETTLED

REST = SETTLED + 0.1  # seconds without a change after which a burst is over: its files then count as settled
LONGEST = 30.0  # seconds of changes without rest after which those that came to rest are taken in
AGAIN = 300.0  # seconds after which all is looked at anyway: an event may be lost, and a share may send none


class Watch:
    """Changes in folders. A folder that is away is waited for, and one that comes back is a change.

    Raises Misconfigured when the system watches no more.
    """

    def __init__(self, folders: Sequence[Path], stopping: Event) -> None:
        self._folders, self._stopping = folders, stopping
        self._changed = 0.0  # when the first change came that nobody was told of
        self._looked = monotonic()

    def again(self) -> None:
        """Something was left undone: a burst is to come though nothing changes."""
        self._changed = self._changed or monotonic()

    def bursts(self) -> Iterator[None]:
        """One at the first look and one after each burst of changes, until `stopping` is set."""
        self.again()
        while not self._stopping.is_set():
            known = self._there()
            if not known:
                self._stopping.wait(1.0)
                continue
            for quiet in self._ticks(known):
                if self._due(quiet):
                    self._changed, self._looked = 0.0, monotonic()
                    yield
                if self._there() != known:  # what was watched is another folder now, or none
                    self.again()
                    break

    def _due(self, quiet: bool) -> bool:
        now = monotonic()
        if now - self._looked >= AGAIN:
            return True
        return bool(self._changed) and (quiet or now - self._changed >= LONGEST)

    def _ticks(self, known: Mapping[Path, tuple[int, int]]) -> Iterator[bool]:
        """Whether nothing changed for REST, after each time and after each change.

        The first comes when the system watches already: so nothing changes unseen while all is looked at first.
        """
        try:
            for found in watch(
                *known,
                watch_filter=self._counts,
                stop_event=self._stopping,
                rust_timeout=int(REST * 1000),
                yield_on_timeout=True,
                ignore_permission_denied=True,
            ):
                if found:
                    self.again()
                yield not found
        except (OSError, WatchfilesRustInternalError) as exc:
            if self._there() == known:
                raise Misconfigured(
                    f"these folders cannot be watched ({exc}): raise fs.inotify.max_user_watches, or set "
                    "WATCHFILES_FORCE_POLLING=true"
                ) from exc
            self.again()  # a folder went away meanwhile
            self._stopping.wait(1.0)

    def _counts(self, _: Change, path: str) -> bool:
        """Hidden files are no items; so what happens to them is no change."""
        for folder in self._folders:
            try:
                return not any(part.startswith(".") for part in Path(path).relative_to(folder.absolute()).parts)
            except ValueError:
                continue
        return True

    def _there(self) -> dict[Path, tuple[int, int]]:
        out = {}
        for folder in self._folders:
            try:
                said = folder.stat()
            except OSError:
                continue
            out[folder] = (said.st_dev, said.st_ino)
        return out
