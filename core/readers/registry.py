"""Which reader reads what, made once and shared: weights are loaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from core.errors import Misconfigured
from core.reader import Reader
from core.types import Reading


class Readers:
    """The readers of this process. `transcriber`: the model that hears, see `core.readers.transcript`, which
    `snapshot` downloads when it is none of this machine, and which computes where `place` says, in what type of
    floats."""

    def __init__(
        self,
        transcriber: str,
        snapshot: Callable[[str, str | None], Path],
        place: Callable[[], tuple[str, str]] = lambda: ("cpu", "float32"),
    ) -> None:
        self._transcriber, self._snapshot, self._place = transcriber, snapshot, place
        self._made: dict[Reading, Reader] = {}
        self._lock = threading.Lock()

    def of(self, reads: Iterable[Reading]) -> tuple[Reader, ...]:
        """The readers of what a collection reads, no weight loaded yet; a caption is read without.

        Raises MissingExtra, Misconfigured when no transcriber is set, BadModel.
        """
        with self._lock:
            for reading in set(reads) - self._made.keys() - {Reading.CAPTION}:
                self._made[reading] = self._make(reading)
            return tuple(self._made[reading] for reading in sorted(reads) if reading in self._made)

    def _make(self, reading: Reading) -> Reader:
        if reading is Reading.OCR:
            from core.readers.ocr import Ocr

            return Ocr()
        if not self._transcriber:
            raise Misconfigured(
                "reading transcripts needs a model that hears: set QUIVER_TRANSCRIBER to the folder or hub id of a "
                "Whisper or CTC model, as openai/whisper-tiny"
            )
        from core.readers.transcript import Transcriber

        return Transcriber(self._transcriber, self._snapshot, self._place)
