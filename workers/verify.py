"""Whether an index may take the place of the one that serves: what is compared, and what came of it, as data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from uuid import UUID

from core.errors import BadQuery, Fault, NoSpaceFor, NoSuchAsset
from core.indexes import Share
from core.points import Nearest, Points, Scope, Stored
from core.records import Claim, Collection, Index
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, Sparse, Vector
from core.types import Asset, AssetId, Content, Modality, Tenant, Text
from retrieval.evaluate import relevant
from retrieval.measures import Qrels
from retrieval.request import Like, SearchRequest
from workers.answering import asked
from workers.calibrating import take_after
from workers.embedding import Work, encode, fitting, prepare
from workers.evaluating import Judging, Query, embedded, report
from workers.probing import served_by
from workers.reconcile import reconcile
from workers.rehearsal import sampled
from workers.reindex import LOOK, PATIENCE, WRITTEN, coming
from workers.tally import Tally

COSINE = 0.999  # what an asset that is embedded again must have in common with what is stored
RECALL = 0.95  # of the exact nearest, those that the graph must find
BUDGET = 0.01  # of nDCG@10, that the new index may lose
NEAREST = 10
LIKE = 16  # assets whose likes are asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison."""

    name: str
    passed: bool
    message: str
    figure: float | None = None  # what was measured, where that is a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of all."""

    index: str
    passed: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgements:
    """Judged queries of a tenant. `budget`: of nDCG@10, what the new index may lose."""

    queries: Sequence[Query]
    qrels: Qrels
    tenant: Tenant
    budget: float = BUDGET

    def __post_init__(self) -> None:
        if not 0 <= self.budget <= 1:
            raise BadQuery(f"a budget of {self.budget:g}: give what nDCG@{NEAREST} may fall by, from 0 to 1")
        if not any(relevant(self.qrels.get(query.case.id, {})) for query in self.queries):
            raise BadQuery("no query has a relevant asset: the ids of queries and of judgements must be the same")


def verify(
    parts: Parts,
    name: str,
    *,
    sample: int = 64,
    recall: float = RECALL,
    queries: Sequence[str] = (),
    overlap: float = 0.0,
    judged: Judgements | None = None,
    seed: int | None = None,
) -> Verdict:
    """Compare the index that was built with the catalogue, with the one that serves, and with its own models.

    `sample`: assets that are embedded again, and whose vectors are asked for as queries. `queries`: texts that both
    indexes are asked; of the nearest that the one finds, the part `overlap` must be among the other's. `judged`: what
    is asked of both and measured. Repairs what has drifted, which the build then makes good: verify again. Scores of an
    index that is whole are calibrated, where those of the other are. The verdict is kept, and opens the way for the
    switch when it is good. Raises Conflict when nothing is being built; MissingExtra, for judgements.
    """
    made = coming(parts, name)
    index = made.index
    if index.state not in WRITTEN:
        return Verdict(index=index.id, passed=False, checks=(Check(name="built", passed=False, message="not begun"),))
    collection, old = parts.catalogue.collection(name), parts.catalogue.serving(name)
    whole = (
        _settled(parts, lambda: _covered(parts, old, index)),
        _drift(parts, name, index),
        _settled(parts, lambda: _counts(parts, old, index)),
    )
    if all(check.passed for check in whole):
        take_after(parts, old, index)
    assets = sampled(parts, index, sample, seed=seed)
    stored = _stored(parts, index, assets)
    checks = (
        *whole,
        _anew(parts, collection, index, assets, stored),
        _graph(parts, index, stored, recall),
        _shadow(parts, old, index, assets, queries, overlap),
        *([_judged(parts, collection, old, index, judged)] if judged is not None else ()),
    )
    verdict = Verdict(index=index.id, passed=all(check.passed for check in checks), checks=checks)
    kept = {"at": datetime.now(UTC).isoformat(), "passed": verdict.passed, "checks": [asdict(one) for one in checks]}
    parts.catalogue.revise(index.id, {"verified": kept})
    return verdict


def _settled(parts: Parts, look: Callable[[], Check]) -> Check:
    """What is written just now is here a moment before it is there: then it is looked at again."""
    until = monotonic() + PATIENCE
    while True:
        held = parts.catalogue.holders()  # before the look: they may end meanwhile
        check = look()
        if check.passed or not held or monotonic() >= until:
            return check
        sleep(LOOK)


def _covered(parts: Parts, old: Index, index: Index) -> Check:
    count, some = parts.catalogue.uncovered(old.id, index.id, limit=5)
    said = "; ".join(f"{name} ({why})" for name, why in some)
    message = f"{count} assets that are found now would be lost: {said}" if count else "it has all that is found now"
    return Check(name="coverage", passed=not count, message=message, figure=float(count))


def _drift(parts: Parts, name: str, index: Index) -> Check:
    drift = reconcile(parts, name, repair=True, only=index.id)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(drift.counts.items()))
    message = f"catalogue and index disagreed and were repaired: {said}; build and verify again" if said else "none"
    return Check(name="drift", passed=not said, message=message, figure=float(drift.counts.total()))


def _counts(parts: Parts, old: Index, index: Index) -> Check:
    """By tenant and modality: as many assets as before, and as many points as the receipts say."""
    before, now = (_by_kind(parts.catalogue.census(one.id)) for one in (old, index))
    wrong = [
        f"{tenant}, {modality}: {now[tenant, modality].assets if (tenant, modality) in now else 0} assets of "
        f"{share.assets}"
        for (tenant, modality), share in before.items()
        if (tenant, modality) not in now or now[tenant, modality].assets < share.assets
    ]
    for (tenant, modality), share in now.items():
        scope = Scope(tenant=tenant, modalities=frozenset({modality}), blocked=True)
        there = parts.store.count(index, scope)
        if there != share.points:
            wrong.append(f"{tenant}, {modality}: {there} points, {share.points} in the receipts")
    assets, points = (sum(getattr(share, part) for share in now.values()) for part in ("assets", "points"))
    return Check(name="counts", passed=not wrong, message="; ".join(wrong) or f"{assets} assets, {points} points")


def _by_kind(shares: Sequence[Share]) -> dict[tuple[Tenant, Modality], Share]:
    return {(share.tenant, share.modality): share for share in shares}


def _stored(parts: Parts, index: Index, assets: Sequence[Asset]) -> dict[AssetId, list[Stored]]:
    out: defaultdict[AssetId, list[Stored]] = defaultdict(list)
    for point in parts.store.of_assets(index, [asset.id for asset in assets]) if assets else ():
        out[AssetId(UUID(point.payload["asset"]))].append(point)
    return out


def _anew(
    parts: Parts, collection: Collection, index: Index, assets: Sequence[Asset], stored: dict[AssetId, list[Stored]]
) -> Check:
    """Embed them again, from their bytes: the worst cosine with what is stored. What is removed or replaced meanwhile
    has other bytes by then, or none, and counts for nothing."""
    faults: dict[AssetId, str] = {}
    nearest: dict[AssetId, list[tuple[float, str]]] = {}

    def fail(claim: Claim, fault: Fault) -> None:
        faults[claim.asset.id] = f"{claim.asset.external_id}: {fault}"

    work = Work(parts=parts, collection=collection, index=index, tally=Tally(), failed=fail)
    for asset in assets:
        near = nearest[asset.id] = []
        held = {point.id: point for point in stored.get(asset.id, ())}
        claims = fitting(work, [Claim(asset=asset, token="", attempt=1)])
        long: list[Claim] = []
        for prepared in prepare(work, claims, long):
            points: Points = encode(work, prepared)[1]
            for space, column in points.columns.items():
                for row, vector in zip(column.rows, column.vectors, strict=True):
                    there = held[points.ids[row]].vectors.get(space.vector_name) if points.ids[row] in held else None
                    alike = 0.0 if there is None else cosine(vector, there)
                    near.append((alike, f"{asset.external_id} in {space.name}"))
        near += [(1.0, "")] * len(long)  # its pieces would each be decoded: a film is looked at by its points' count
    kept = _unchanged(parts, index, assets)
    every = [one for asset in kept for one in nearest[asset]]
    worst, where = min(every, default=(1.0, ""))
    if failed := [faults[asset] for asset in kept if asset in faults]:
        return Check(name="sample", passed=False, message="; ".join(failed[:5]), figure=worst)
    message = f"{len(every)} vectors of {len(kept)} assets were embedded again; worst cosine {worst:.5f}"
    passed = worst >= COSINE
    return Check(name="sample", passed=passed, message=message + ("" if passed else f" ({where})"), figure=worst)


def _unchanged(parts: Parts, index: Index, assets: Sequence[Asset]) -> list[AssetId]:
    """Those that are yet what they were when they were read."""
    now = {one.asset.id: one for one in parts.catalogue.standings(index, [asset.id for asset in assets])}
    return [
        asset.id
        for asset in assets
        if (one := now.get(asset.id)) and not one.removed and one.asset.generation == asset.generation
    ]


def cosine(one: Vector, other: Vector) -> float:
    """Of two vectors of a space, sparse or dense; 1 for two that are empty."""
    if isinstance(one, Sparse) and isinstance(other, Sparse):
        mine, theirs = (dict(zip(v.indices.tolist(), v.values.tolist(), strict=True)) for v in (one, other))
        dot = sum(value * theirs.get(at, 0.0) for at, value in mine.items())
        norms = (sum(value * value for value in v.values()) for v in (mine, theirs))
        length = next(norms) * next(norms)
        return float(dot / length**0.5) if length else 1.0
    if isinstance(one, Sparse) or isinstance(other, Sparse):
        return 0.0
    length = float(one @ one) * float(other @ other)
    return float(one @ other) / length**0.5 if length else 1.0


def _queries(index: Index, stored: dict[AssetId, list[Stored]]) -> list[tuple[Tenant, EmbeddingSpace, Vector]]:
    """One vector an asset and space, as queries."""
    return [
        (Tenant(points[0].payload["tenant"]), space, points[0].vectors[space.vector_name])
        for points in stored.values()
        for space in index.spaces
        if space.vector_name in points[0].vectors
    ]


def _graph(parts: Parts, index: Index, stored: dict[AssetId, list[Stored]], least: float) -> Check:
    """The nearest as the graph finds them, against an exact search."""
    asked = _queries(index, stored)
    if not asked:
        return Check(name="recall", passed=True, message="nothing to be asked")
    found: list[list[set[UUID]]] = []
    for exact in (False, True):
        queries = [
            Nearest(
                space=space,
                vector=vector,
                scope=Scope(tenant=tenant),
                limit=NEAREST,
                exact=exact,
                payload=frozenset(),
            )
            for tenant, space, vector in asked
        ]
        found.append([{point.id for point in answer} for answer in parts.store.search(index, queries)])
    shares = [len(near & right) / len(right) for near, right in zip(*found, strict=True) if right]
    mean = sum(shares) / len(shares) if shares else 1.0
    message = f"{mean:.4f} of the {NEAREST} nearest of {len(asked)} queries, {least:g} wanted"
    return Check(name="recall", passed=mean >= least, message=message, figure=mean)


def _shadow(
    parts: Parts, old: Index, index: Index, assets: Sequence[Asset], queries: Sequence[str], least: float
) -> Check:
    """Both indexes are asked the same: texts, or else assets to be like. The new one may answer otherwise, but not
    with nothing where the other finds something."""
    said: list[tuple[str, Tenant, Content | Like]] = [
        (text, tenant, Text(text))
        for text in queries
        for tenant in sorted({share.tenant for share in parts.catalogue.census(old.id)})
    ]
    if not queries:
        said = [(asset.external_id, asset.tenant, Like(asset.id)) for asset in assets[:LIKE]]
    shares: list[float] = []
    empty: list[str] = []
    for name, tenant, query in said:
        request = SearchRequest(tenant=tenant, collection=index.collection, query=query, limit=NEAREST)
        before, now = (_asked(parts, one, request) for one in (old, index))
        if before and not now:
            empty.append(name)
        elif before:
            shares.append(len(before & now) / len(before))
    mean = sum(shares) / len(shares) if shares else 1.0
    message = f"{len(said)} queries asked of both: {mean:.2f} of the {NEAREST} nearest are the same"
    if empty:
        message += f"; nothing is found any more for {', '.join(empty[:5])}"
    return Check(name="shadow", passed=not empty and mean >= least, message=message, figure=mean)


def _asked(parts: Parts, index: Index, request: SearchRequest) -> set[AssetId]:
    seen = served_by(index, parts.catalogue)
    try:
        [answer] = asked(parts, [request], profile=index.profile, catalogue=seen)
    except (NoSpaceFor, NoSuchAsset, BadQuery):  # it has no space for it, or the asset is gone by now
        return set()
    return {hit.asset for hit in answer.hits}


def _judged(parts: Parts, collection: Collection, old: Index, index: Index, said: Judgements) -> Check:
    """Both are asked the judged queries: how much nDCG falls. What is refused counts as not answered."""
    before, now = (
        embedded(parts, collection, said.queries, tenant=said.tenant, index=one, settings={}) for one in (old, index)
    )
    how, cases = Judging(at=(NEAREST,), depth=NEAREST, sample=0, pairs=0), [query.case for query in said.queries]
    try:
        found = report(before, cases, said.qrels, how, rival=now)
    except BadQuery as fault:  # one of the two refuses all
        return Check(name="judged", passed=False, message=str(fault))
    assert found.comparison is not None
    one = next(each for each in found.comparison.differences if each.measure == f"nDCG@{NEAREST}")
    message = (
        f"{one.measure} of {found.queries} queries is {one.there:.3f}, and was {one.here:.3f}: {one.difference:+.3f} "
        f"(95 % {one.low:+.3f} to {one.high:+.3f}), {-said.budget:+g} allowed"
    )
    if found.unknown:
        message += f"; {len(found.unknown)} judged assets are not there"
    if refused := found.comparison.failed:
        message += f"; it refuses {len(refused)}: {refused[0][0]} ({refused[0][1]})"
    passed = one.difference >= -said.budget - 1e-9  # means of the same values may differ by a rounding
    return Check(name="judged", passed=passed, message=message, figure=one.difference)
