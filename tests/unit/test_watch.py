"""When a watched folder has changed and come to rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

import pytest

from core.errors import Misconfigured
from ingest.sources import watch
from ingest.sources.watch import Watch

REST = 0.1
SOON = 20.0  # seconds; a healthy machine needs less than one
NOTHING = 8 * REST  # seconds in which nothing is to come


class Followed:
    """A watch in a thread of its own."""

    def __init__(self, *folders: Path) -> None:
        self._stopping = Event()
        self.watch = Watch(folders, self._stopping)
        self._bursts: SimpleQueue[int] = SimpleQueue()
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        for at, _ in enumerate(self.watch.bursts()):
            self._bursts.put(at)

    def bursts(self, most: float = SOON) -> bool:
        """Whether one comes."""
        try:
            self._bursts.get(timeout=most)
        except Empty:
            return False
        return True

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive()


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(watch, "REST", REST)
    made = tmp_path / "watched"
    made.mkdir()
    return made


@pytest.fixture
def followed(there: Path) -> Iterator[Followed]:
    made = Followed(there)
    assert made.bursts()  # the first look
    yield made
    made.stop()


def test_a_folder_at_rest_is_not_looked_at_again(followed: Followed) -> None:
    assert not followed.bursts(NOTHING)


def test_every_kind_of_change_is_one_burst(followed: Followed, there: Path) -> None:
    for at in range(20):
        (there / f"{at}.txt").write_text("x")
    assert followed.bursts()
    assert not followed.bursts(NOTHING)
    (there / "0.txt").write_text("another")
    assert followed.bursts()
    (there / "0.txt").unlink()
    assert followed.bursts()
    (there / "sub").mkdir()
    (there / "1.txt").rename(there / "sub" / "1.txt")
    assert followed.bursts()
    (there / "sub" / "2.txt").write_text("below what is new")
    assert followed.bursts()


def test_hidden_files_are_no_change(followed: Followed, there: Path) -> None:
    (there / ".git").mkdir()
    (there / ".git" / "x").write_text("x")
    (there / ".x.swp").write_text("x")
    assert not followed.bursts(NOTHING)


def test_what_was_left_undone_comes_again(followed: Followed) -> None:
    followed.watch.again()
    assert followed.bursts()
    assert not followed.bursts(NOTHING)


def test_changes_without_rest_are_taken_in_all_the_same(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LONGEST", 0.5)
    monkeypatch.setattr(watch, "REST", SOON)
    stopping = Event()

    def write() -> None:
        while not stopping.wait(0.05):
            (there / "log.txt").write_text("more")

    writer = Thread(target=write, daemon=True)
    writer.start()
    followed = Followed(there)
    assert followed.bursts()
    assert followed.bursts()
    stopping.set()
    writer.join(SOON)
    followed.stop()


def test_all_is_looked_at_now_and_then(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "AGAIN", 0.0)
    assert followed.bursts()


def test_a_folder_that_is_away_is_waited_for(followed: Followed, there: Path) -> None:
    there.rename(there.with_name("away"))
    while followed.bursts(NOTHING):
        pass  # that it went is a change
    there.with_name("away").rename(there)
    assert followed.bursts()
    (there / "new.txt").write_text("x")
    assert followed.bursts()


def test_a_system_that_watches_no_more_says_what_to_do(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Iterator[object]:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watch, "watch", refuse)
    with pytest.raises(Misconfigured, match=r"fs\.inotify\.max_user_watches"):
        list(Watch([there], Event()).bursts())
