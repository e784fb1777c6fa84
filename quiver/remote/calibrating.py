"""Calibrating a server's collection: files of judgements are read here and sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.types import Modality
from quiver.asking import question_of
from quiver.calibrating import Judged, PathLike, judgements_of
from quiver.remote.asking import Asking
from quiver.remote.questions import body_of
from workers.calibrating import Fitted


class Calibrating(Asking):
    """How likely a hit is to be relevant."""

    def calibrate(
        self,
        collection: str,
        *,
        queries: PathLike | None = None,
        qrels: PathLike | None = None,
        pairs: PathLike | None = None,
        judged: Sequence[Judged] = (),
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Fitted]:
        """As the embedded facade's, with an administrator's key. `on_progress` is told of the end alone."""
        given = [*judged, *judgements_of(queries, qrels, pairs)]
        body = {
            "collection": collection,
            "judged": [{"query": body_of(question_of(said)), "grades": dict(grades)} for said, grades in given],
        }
        made = [
            Fitted(**{**one, "asked": Modality(one["asked"]), "content": Modality(one["content"])})
            for one in self._wire.post("/v1/admin/calibrate", body)
        ]
        if on_progress is not None:
            on_progress(len(made), len(made))
        return made
