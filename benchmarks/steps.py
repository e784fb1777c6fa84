"""What each step adds to the first ten hits: one space by its cosine, all spaces fused, calibrated, reranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.categories import categories
from benchmarks.photosets import Photo, by_caption, classmates
from benchmarks.relevance import MANY, Judged, alone, by_cosine
from quiver import Quiver
from retrieval.measures import Difference, difference, measured

AT, SEED = 10, 7
NDCG = f"nDCG@{AT}"
UNSEEN, READ = "captioned", "read"  # photos whose captions the index has as metadata, and whose captions it finds
RERANK = {"rerank": ["cross-encoder"]}
HEAD = """
## Step by step

nDCG@10, and the change against one space alone; of the cross-encoder, against what is done unasked, which is bold. `p`
is of a paired randomisation test. What is not bold is off unless a search asks for it; ranks also decide until a
collection is calibrated.

| | queries | one space, by cosine | all spaces, by ranks | all, calibrated, by relevance | + cross-encoder |
|---|---|---|---|---|---|
"""


class Case(NamedTuple):
    """Queries of one kind, asked of one collection."""

    name: str
    collection: str
    judged: Judged
    space: str  # the one that is first asked alone
    mixed: bool = False  # segments of several modalities: alone it is the order of all cosines
    words: bool = True  # a cross-encoder reads words


def cases(held: Sequence[Photo], texts: Mapping[str, Mapping[str, str]]) -> list[Case]:
    """All of them; `texts` is language to caption to the id of that text."""
    keys = [photo.key for photo in held]
    out = []
    for collection, more, mixed in ((UNSEEN, "", False), (READ, ", captions found too", True)):
        for language in texts:
            judged = [
                ({"text": getattr(c, language.lower()), "modality": "image"}, c.among(keys)) for c in categories("test")
            ]
            out.append(Case(f"text to image, {language}{more}", collection, judged, "concept", mixed))
    for language, names in texts.items():
        asked = {"modality": "text", "where": f"said = {language}"}
        said = {photo.key: getattr(photo, language.lower()) for photo in held}
        found: Judged = [({"like": key, **asked}, {names[caption]}) for key, caption in said.items() if caption]
        out.append(Case(f"image to text, {language}", UNSEEN, found, "concept", words=False))
    liked: Judged = [({"like": key, "modality": "image"}, set(group)) for key, group in classmates(held).items()]
    return [*out, Case("image to image", UNSEEN, liked, "visual", words=False)]


def row(quiver: Quiver, case: Case, told: Callable[[str], None]) -> str:
    """A line of the table."""
    ways: dict[str, Mapping[str, Any]] = {"ranks": {"fusion": "rrf"}, "unasked": {}}
    if case.words:
        ways["reranked"] = RERANK
    runs: dict[str, dict[str, list[str]]] = {way: {} for way in ("alone", *ways)}
    for at, (asked, _) in enumerate(case.judged, 1):
        deep = quiver.search(case.collection, **asked, limit=MANY)
        order = [hit.external_id for hit in by_cosine(deep)] if case.mixed else alone(deep, case.space)
        runs["alone"][str(at)] = order[:AT]
        for way, more in ways.items():
            hits = quiver.search(case.collection, **asked, limit=AT, **more).hits
            runs[way][str(at)] = [hit.external_id for hit in hits]
        told(f"{case.name}: {at}/{len(case.judged)}")
    qrels = {str(at): dict.fromkeys(right, 1) for at, (_, right) in enumerate(case.judged, 1)}
    values = {way: list(measured(qrels, run, (AT,))[NDCG].values()) for way, run in runs.items()}
    cells = [f"{sum(values['alone']) / len(qrels):.3f}"]
    for way, before in (("ranks", "alone"), ("unasked", "alone"), ("reranked", "unasked")):
        if way in values:
            cell = changed(difference(NDCG, values[before], values[way], seed=SEED))
            cells.append(f"**{cell}**" if way == "unasked" else cell)
        else:
            cells.append("no words to read")
    return f"| {case.name} | {len(qrels)} | " + " | ".join(cells) + " |"


def changed(step: Difference) -> str:
    """The measure after a step, and what the step did to it."""
    chance = "< 0.01" if step.p < 0.01 else f"{step.p:.2f}"
    return f"{step.there:.3f} ({step.difference:+.3f}, p {chance})"


def steps(quiver: Quiver, held: Sequence[Photo], captioned: Path, told: Callable[[str], None]) -> str:
    """The part of the page. `captioned`: a folder of the photos, with their captions beside them."""
    quiver.create(UNSEEN, fields={"said": "keyword"}, profile="packaged")
    quiver.create(READ, profile="packaged", reads=["caption"])
    for collection in (UNSEEN, READ):
        told(f"{collection}: ingest")
        report = quiver.ingest(captioned, collection=collection, sidecars=True)
        if report.indexed != len(held):
            raise SystemExit(f"{report.indexed} of {len(held)} photos were indexed: {report.refused} {report.failures}")
    texts: dict[str, dict[str, str]] = {}
    for language in ("English", "Chinese"):
        found = by_caption(held, attrgetter(language.lower()))
        texts[language] = {caption: f"text/{language}/{at}" for at, caption in enumerate(found)}
        rows = [(name, caption, {"said": language}) for caption, name in texts[language].items()]
        quiver.add_texts(UNSEEN, rows)
    for collection in (UNSEEN, READ):
        quiver.calibrate(collection)
    return HEAD + "\n".join(row(quiver, case, told) for case in cases(held, texts)) + "\n"
