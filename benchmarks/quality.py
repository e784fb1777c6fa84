"""How well the packaged profile finds photos: `python -m benchmarks.quality` writes docs/quality.md.

Everything goes through `quiver.Quiver`, as a user would: ingest a folder, search. No caption, name or folder of a photo
is indexed; they are only what the answers are judged by.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from ir_measures import AP, RR, R, Success, iter_calc, nDCG

from benchmarks.categories import Part, categories, tuning_keys
from benchmarks.debian import NoPackage
from benchmarks.photosets import Photo, by_caption, classmates, lay_out, photos
from benchmarks.relevance import Judged as Cases
from benchmarks.relevance import alone, captions_of, cut, cut_table, mix_table, mixes
from benchmarks.report import Row, interval, page
from benchmarks.steps import steps
from quiver import Quiver

PAGE = Path("docs/quality.md")
COLLECTION = "photos"
DEPTH = 10
DEEP = 200  # hits asked for when the order of one space alone is judged
WEAK = 0.1  # nDCG@10
SEED = 7

UNASKED = "**Quiver** (both, by relevance)"
# What is added to a plain search, by arguments of `Quiver.search`.
FUSED: Mapping[str, Mapping[str, Any]] = {
    "by ranks (RRF)": {"fusion": "rrf"},
    "by distributions of relevance (DBSF)": {"fusion": "dbsf"},
    UNASKED: {},
}

Judged = Mapping[str, Iterable[str]]  # query -> the keys that are right
Ranked = Mapping[str, Sequence[str]]  # query -> keys, best first


class Task(NamedTuple):
    """A set of queries of one language, and what is measured of their answers."""

    name: str
    measures: tuple[Any, ...]
    judged: Judged


def measured(task: Task, ranked: Ranked) -> dict[str, list[float]]:
    """Measure to its value for each query; a query with no answer counts as zero."""
    qrels = {query: dict.fromkeys(right, 1) for query, right in task.judged.items()}
    run = {query: {key: 1 / (1 + at) for at, key in enumerate(ranked[query])} for query in task.judged}
    values: dict[str, dict[str, float]] = {str(m): dict.fromkeys(task.judged, 0.0) for m in task.measures}
    for one in iter_calc(task.measures, qrels, run):
        values[str(one.measure)][one.query_id] = one.value
    return {name: list(held.values()) for name, held in values.items()}


def guessed(task: Task, keys: Sequence[str]) -> dict[str, list[float]]:
    """The same of answers in random order, twenty times."""
    rng = np.random.default_rng(SEED)
    out: dict[str, list[float]] = defaultdict(list)
    for _ in range(20):
        ranked = {query: [keys[i] for i in rng.permutation(len(keys))[:100]] for query in task.judged}
        for name, values in measured(task, ranked).items():
            out[name] += values
    return dict(out)


def tasks(held: Sequence[Photo]) -> list[Task]:
    """Categories of the test part; captions, and those of them whose photos are all outside the tuning part."""
    keys = [photo.key for photo in held]
    tuned = tuning_keys(keys)
    test = categories("test")
    if both := tuned & frozenset().union(*(c.among(keys) for c in test)):
        raise ValueError(f"relevant to a tuning query and to a test query: {sorted(both)}")
    english = by_caption(held, lambda photo: photo.english)
    chinese = by_caption(held, lambda photo: photo.chinese)
    ranks = (nDCG @ DEPTH, R @ DEPTH, Success @ DEPTH)
    ones = (Success @ 1, Success @ DEPTH, R @ DEPTH, RR)
    out = [
        Task("Categories, English", ranks, {c.english: c.among(keys) for c in test}),
        Task("Categories, Chinese", ranks, {c.chinese: c.among(keys) for c in test}),
    ]
    for language, captions in (("English", english), ("Chinese", chinese)):
        fresh = {said: right for said, right in captions.items() if not tuned & set(right)}
        out += [
            Task(f"Captions, {language}, held out", ones, fresh),
            Task(f"Captions, {language}, all", ones, captions),
        ]
    return out


def text_rows(quiver: Quiver, task: Task, keys: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Random, each space alone, and what the product answers, by each fusion; and the queries it answers badly."""
    fused: dict[str, dict[str, list[str]]] = {name: {} for name in FUSED}
    each: dict[str, dict[str, list[str]]] = {"concept": {}, "concepts": {}}
    for at, query in enumerate(task.judged, 1):
        for name, more in FUSED.items():
            hits = quiver.search(COLLECTION, query, limit=DEPTH, **more).hits
            fused[name][query] = [hit.external_id for hit in hits]
        deep = quiver.search(COLLECTION, query, limit=DEEP)
        for space, ranked in each.items():
            ranked[query] = alone(deep, space)[:100]
        progress(f"{task.name}: {at}/{len(task.judged)}")
    rows = [Row("random order", interval(guessed(task, keys)))]
    rows += [Row(f"{space} alone", interval(measured(task, ranked))) for space, ranked in each.items()]
    values = {name: measured(task, ranked) for name, ranked in fused.items()}
    plain = values[UNASKED].get("nDCG@10", ())
    weak = [query for query, value in zip(task.judged, plain, strict=False) if value < WEAK]
    return [*rows, *(Row(name, interval(each)) for name, each in values.items())], weak


def image_rows(quiver: Quiver, held: Sequence[Photo]) -> tuple[list[Row], int]:
    """Same-class AP of every photo that has a classmate in its set, asked for by likeness."""
    judged = classmates(held)
    task = Task("Like this photo", (AP, Success @ 1), judged)
    each: dict[str, dict[str, list[str]]] = {"visual": {}, "concept": {}}
    fused: dict[str, list[str]] = {}
    for at, key in enumerate(judged, 1):
        answer = quiver.search(COLLECTION, like=key, limit=len(held), exact=True)
        fused[key] = [hit.external_id for hit in answer.hits]
        for space, ranked in each.items():
            ranked[key] = alone(answer, space)
        progress(f"{task.name}: {at}/{len(judged)}")
    rows = [Row("random order", interval(guessed(task, [photo.key for photo in held])))]
    rows += [Row(f"{space} alone", interval(measured(task, ranked))) for space, ranked in each.items()]
    return [*rows, Row(UNASKED, interval(measured(task, fused)))], len(judged)


def relevance(quiver: Quiver, held: Sequence[Photo]) -> str:
    """The part of the page on relevance: thresholds, and answers of texts and pictures together. Adds the captions."""
    keys = [photo.key for photo in held]
    parts = ["\n## At a relevance of 0.5\n"]
    languages = ("English", "Chinese")

    def said(part: Part, language: str) -> Cases:
        return [({"text": getattr(c, language.lower())}, c.among(keys)) for c in categories(part)]

    liked: Cases = [({"like": key}, frozenset(group)) for key, group in classmates(held).items()]
    cuts = [cut(f"{each} categories", quiver, COLLECTION, said("test", each), progress) for each in languages]
    cuts.append(cut("like this photo", quiver, COLLECTION, liked, progress))
    tuning = [(dict(asked), dict.fromkeys(right, 1)) for each in languages for asked, right in said("tuning", each)]
    quiver.calibrate(COLLECTION, judged=tuning)
    cuts += [
        cut(f"{each} categories, by judgements", quiver, COLLECTION, said("test", each), progress) for each in languages
    ]
    parts.append(cut_table(cuts))
    captions = by_caption(held, lambda photo: photo.english)
    names = {caption: f"text/{at}" for at, caption in enumerate(captions)}
    quiver.add_texts(COLLECTION, [(name, caption, {}) for caption, name in names.items()])
    quiver.calibrate(COLLECTION)
    english = {photo.key: photo.english for photo in held}
    for each in languages:
        judged = [
            (asked, {*right, *(names[english[key]] for key in right if english[key])})
            for asked, right in said("test", each)
        ]
        there = np.mean([sum(not key.startswith("text/") for key in right) / len(right) for _, right in judged])
        parts.append(f"\n## Photos and their captions together, {each} categories\n")
        parts.append(mix_table(mixes(quiver, COLLECTION, judged, progress), float(there)))
    asked = [({"like": photo.key}, frozenset({names[photo.english]})) for photo in held if photo.english]
    parts.append(f"\n## From a photo to its caption ({len(asked)} queries, {len(names)} captions)\n")
    parts.append(captions_of(quiver, COLLECTION, asked, progress))
    return "\n".join(parts) + "\n"


def progress(said: str) -> None:
    """One line on the terminal, written over."""
    if sys.stderr.isatty() or said.endswith("00"):
        print(f"\r{said}\033[K", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def main() -> int:
    """Write the page. 1 when the photos cannot be had or ingested."""
    began = perf_counter()
    try:
        held = photos()
    except NoPackage as exc:
        print(exc, file=sys.stderr)
        return 1
    keys = [photo.key for photo in held]
    with tempfile.TemporaryDirectory() as scratch:
        folder = lay_out(held, Path(scratch) / "photos")
        with Quiver.open(data=Path(scratch) / "data") as quiver:
            report = quiver.ingest(
                folder,
                collection=COLLECTION,
                profile="packaged",
                on_progress=lambda p: progress(f"ingest: {p.indexed}/{p.total}"),
            )
            if not report.ok or report.indexed != len(held):
                print(f"{report.refused} {report.failures}", file=sys.stderr)
                return 1
            tables, weak = [], {}
            for task in tasks(held):
                rows, missed = text_rows(quiver, task, keys)
                tables.append((f"{task.name} ({len(task.judged)} queries)", rows))
                if nDCG @ DEPTH in task.measures:
                    weak[task.name] = missed
            rows, count = image_rows(quiver, held)
            tables.append((f"Like this photo ({count} queries)", rows))
            (status,) = quiver.status(COLLECTION)
            told = relevance(quiver, held)
            stepwise = steps(quiver, held, lay_out(held, Path(scratch) / "captioned", captions=True), progress)
    counts = {"photos": len(held), "tuned": len(tuning_keys(keys)), "tuning": len(categories("tuning"))}
    text = page(tables, counts=counts, encoders=status.encoders, weak=weak, relevance=told, steps=stepwise)
    PAGE.write_text(text, "utf-8")
    print(f"\n{text}\nwritten to {PAGE} in {perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
