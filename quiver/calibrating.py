"""Calibrating: how the scores of a collection are read, anew and by judgements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import BadQuery
from quiver.asking import Question, question_of
from quiver.searching import Searching
from workers.calibrating import Fitted, calibrate
from workers.trec import Read, read_pairs, read_qrels, read_queries

PathLike = str | Path
Judged = tuple[Question | Mapping[str, Any], Mapping[str, int]]  # a query, and grades by id or external id
MOST_JUDGED = 10_000


class Calibrating(Searching):
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
        """Fit how scores become probabilities, here and now; see docs/calibration.md. What was fitted is told.

        It is done unasked, too, once there are a hundred assets and whenever they have doubled. By judgements only
        here: of files as `evaluate` reads them (`queries` with `qrels`, or `pairs`), or `judged`, where grades of more
        than 0 are right and what has none is wrong. Curves made so stay until they are made again. Raises
        NoSuchCollection, BadQuery, NoSuchPath, MissingExtra; Forbidden for a tenant in a collection that is not its
        own alone.
        """
        kept = self._governed(collection, "calibrate")
        given = [*judged, *judgements_of(queries, qrels, pairs)]
        requests = [(self._request(kept, question_of(said)), grades) for said, grades in given]
        index = self._parts.catalogue.serving(kept.name)
        return calibrate(self._parts, index, judged=requests, on_progress=on_progress or (lambda _done, _of: None))


def judgements_of(queries: PathLike | None, qrels: PathLike | None, pairs: PathLike | None) -> list[Judged]:
    """What files say. Raises BadQuery for a line that cannot be read and for halves of what belongs together,
    NoSuchPath."""
    if (queries is None) != (qrels is None):
        raise BadQuery("judgements name queries by their ids: give both files, --queries and --qrels")
    read = Read()
    if queries is not None and qrels is not None:
        read_queries(Path(queries), read)
        read_qrels(Path(qrels), read)
    if pairs is not None:
        read_pairs(Path(pairs), read)
    if read.refused:
        more = f" (and {len(read.refused) - 1} more)" if len(read.refused) > 1 else ""
        raise BadQuery(f"{read.refused[0]}{more}")
    found: list[Judged] = [(line.said, read.qrels[line.id]) for line in read.queries if line.id in read.qrels]
    if (queries or pairs) and not found:
        raise BadQuery("no query has a judgement: the ids in both files must be the same")
    if len(found) > MOST_JUDGED:
        raise BadQuery(f"{len(found):,} judged queries: give {MOST_JUDGED:,} at most")
    return found
