"""What relevance is worth: precision at a threshold, what comes back empty, and how modalities share an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from statistics import mean
from typing import Any, NamedTuple

from ir_measures import RR, Success, iter_calc, nDCG

from quiver import Quiver
from retrieval.request import Answer, Hit

EVEN = 0.5  # the threshold that is judged
MANY = 100  # hits above it that are looked at
PAGE = 20  # of a mixed answer
MIXED: Mapping[str, Mapping[str, Any]] = {
    "by ranks (RRF)": {"fusion": "rrf"},
    "by distributions (DBSF)": {"fusion": "dbsf"},
    "**Quiver** (by relevance)": {},
    "the same, and a cross-encoder": {"rerank": ["cross-encoder"]},
}

Asked = Mapping[str, Any]  # what `Quiver.search` is asked by
Judged = Sequence[tuple[Asked, Set[str]]]  # and the keys that are right


class Cut(NamedTuple):
    """What is left of answers at the threshold."""

    name: str
    precision: float  # of all hits that are left
    found: float  # share of the right ones
    answered: float  # share of queries about what is there that find anything
    empty: float  # share of queries about what is not there that find nothing


def cut(name: str, quiver: Quiver, collection: str, judged: Judged, told: Callable[[str], None], **more: Any) -> Cut:
    """Each query is asked twice: as it is, and with all that is right left out, which makes it one about something that
    is not there."""
    right = left = wanted = answered = empty = 0
    for at, (said, keys) in enumerate(judged, 1):
        hits = quiver.search(collection, **said, **more, min_score=EVEN, limit=MANY).hits
        right += sum(hit.external_id in keys for hit in hits)
        left += len(hits)
        wanted += len(keys)
        answered += bool(hits)
        absent = quiver.search(collection, **said, **more, min_score=EVEN, limit=1, without=sorted(keys)).hits
        empty += not absent
        told(f"{name}: {at}/{len(judged)}")
    return Cut(name, right / max(1, left), right / wanted, answered / len(judged), empty / len(judged))


def cut_table(cuts: Iterable[Cut]) -> str:
    """As Markdown."""
    lines = [
        f"| at {EVEN} | precision | of the right ones | queries answered | empty where it is not there |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {c.name} | {c.precision:.2f} | {c.found:.2f} | {c.answered:.2f} | {c.empty:.2f} |" for c in cuts]
    return "\n".join(lines)


class Mix(NamedTuple):
    """An order of texts and pictures together."""

    name: str
    ndcg: float  # of the first 20
    pictures: float  # share of pictures among them


def alone(answer: Answer, space: str) -> list[str]:
    """The order that one space by itself would give."""
    ranks = {hit.external_id: m.rank for hit in answer.hits for m in hit.matches if m.space == space}
    return sorted(ranks, key=ranks.__getitem__)


def by_cosine(answer: Answer) -> list[Hit]:
    """The order of raw scores in the space that holds both: what a single index of all vectors answers."""
    best = {hit.asset: max((m.score for m in hit.matches if m.space == "concept"), default=-1.0) for hit in answer.hits}
    return sorted(answer.hits, key=lambda hit: -best[hit.asset])


def mixes(quiver: Quiver, collection: str, judged: Judged, told: Callable[[str], None]) -> list[Mix]:
    """Orders of a collection of texts and pictures: by raw cosine, by each fusion, and reranked."""
    runs: dict[str, list[Sequence[Hit]]] = {"by cosine, as one index": []}
    for at, (said, _) in enumerate(judged, 1):
        runs["by cosine, as one index"].append(by_cosine(quiver.search(collection, **said, limit=MANY))[:PAGE])
        for name, more in MIXED.items():
            runs.setdefault(name, []).append(quiver.search(collection, **said, limit=PAGE, **more).hits)
        told(f"mixed: {at}/{len(judged)}")
    qrels = {str(at): dict.fromkeys(keys, 1) for at, (_, keys) in enumerate(judged)}
    out = []
    for name, answers in runs.items():
        run = {str(at): {h.external_id: -float(r) for r, h in enumerate(hits)} for at, hits in enumerate(answers)}
        values = {one.query_id: one.value for one in iter_calc([nDCG @ PAGE], qrels, run)}
        share = mean(mean(hit.modality == "image" for hit in hits) for hits in answers)
        out.append(Mix(name, sum(values.values()) / len(judged), share))
    return out


def mix_table(rows: Iterable[Mix], there: float) -> str:
    """As Markdown; `there`: the share of pictures among what is right."""
    lines = ["| | nDCG@20 | pictures among the first 20 |", "|---|---|---|"]
    lines += [f"| {row.name} | {row.ndcg:.3f} | {row.pictures:.2f} |" for row in rows]
    return "\n".join([*lines, f"| of what is right | | {there:.2f} |"])


def captions_of(quiver: Quiver, collection: str, judged: Judged, told: Callable[[str], None]) -> str:
    """Pictures to the texts that are their captions, as Markdown."""
    qrels = {str(at): dict.fromkeys(keys, 1) for at, (_, keys) in enumerate(judged)}
    run = {}
    for at, (said, _) in enumerate(judged):
        hits = quiver.search(collection, **said, modality="text", limit=10).hits
        run[str(at)] = {hit.external_id: -float(rank) for rank, hit in enumerate(hits)}
        told(f"picture to text: {at + 1}/{len(judged)}")
    measures = [nDCG @ 10, Success @ 1, Success @ 10, RR]
    values: dict[str, float] = dict.fromkeys(map(str, measures), 0.0)
    for one in iter_calc(measures, qrels, run):
        values[str(one.measure)] += one.value / len(judged)
    return "\n".join(
        [
            "| | " + " | ".join(values) + " |",
            "|---" * (len(values) + 1) + "|",
            "| **Quiver** | " + " | ".join(f"{value:.3f}" for value in values.values()) + " |",
        ]
    )
