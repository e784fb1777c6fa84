"""What must hold when nothing is outstanding any more: nothing lost, nothing doubled, every bad file named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from core.points import Stored
from core.records import Index, State
from core.runtime.wiring import Parts
from core.types import Asset
from quiver import Quiver
from tests.flow.promises import ME
from tests.slow.clients import COLLECTION, World

MANY = 1_000_000


@dataclass
class Verdict:
    """Names, by how a promise to them was broken; and what was counted on the way."""

    assets: int = 0
    points: int = 0
    lost: list[str] = field(default_factory=list)  # good, and not found
    doubled: list[str] = field(default_factory=list)  # other points than the receipt's, or of two generations
    wrongly_there: list[str] = field(default_factory=list)  # removed, or never given
    outdated: list[str] = field(default_factory=list)  # not the bytes that were given last
    blamed: dict[str, str] = field(default_factory=dict)  # good, and reported bad
    misjudged: dict[str, str] = field(default_factory=dict)  # bad, and not reported, or as something else
    reported: Counter[str] = field(default_factory=Counter)  # bad files rightly reported, by what they are
    drift: dict[str, int] = field(default_factory=dict)  # what a dry reconciliation found

    @property
    def problems(self) -> list[str]:
        """One line a broken promise."""
        names = ("lost", "doubled", "wrongly_there", "outdated", "blamed", "misjudged", "drift")
        return [f"{name}: {len(said)}: {str(said)[:600]}" for name in names if (said := getattr(self, name))]


def judge(quiver: Quiver, parts: Parts, world: World) -> Verdict:
    """Compare what the clients were promised with the catalogue, the index and the reports."""
    verdict = Verdict()
    known = {asset.external_id: (asset, state) for asset, state in parts.catalogue.assets(ME, COLLECTION, limit=MANY)}
    wanted = {name: world.digests.get(name) for name in world.corpus.good if name not in world.absent}
    wanted |= world.digests
    _bad(quiver, world, verdict)
    failures = {failure.external_id: failure for failure in quiver.failures(COLLECTION, limit=MANY)}
    for name, digest in wanted.items():
        if name in failures:
            verdict.blamed[name] = f"{failures[name].kind}: {failures[name].message}"
        elif name not in known or known[name][1] is not State.INDEXED:
            verdict.lost.append(f"{name} {known[name][1] if name in known else 'unknown'}")
        elif digest is not None and known[name][0].digest != digest:
            verdict.outdated.append(name)
    verdict.wrongly_there += [name for name in known if name not in wanted and name not in world.corpus.bad]
    index = parts.catalogue.serving(COLLECTION)
    _points(parts, index, {asset.id: asset for asset, state in known.values() if state is State.INDEXED}, verdict)
    drift = quiver.reconcile(COLLECTION)
    verdict.drift = {str(kind): count for kind, count in drift.counts.items()}
    verdict.assets = len(known)
    return verdict


def _bad(quiver: Quiver, world: World, verdict: Verdict) -> None:
    assert world.report is not None
    at_intake = {problem.name: problem.kind for problem in world.report.refused}
    later = {failure.external_id: failure.kind for failure in quiver.failures(COLLECTION, limit=MANY)}
    for name, bad in world.corpus.bad.items():
        here, there = (at_intake, later) if bad.at_intake else (later, at_intake)
        if here.get(name) == bad.kind and name not in there:
            verdict.reported[bad.what] += 1
        else:
            verdict.misjudged[name] = f"{bad.what}: {here.get(name)} {there.get(name, '')}"
    verdict.blamed |= {name: kind for name, kind in at_intake.items() if name not in world.corpus.bad}


def _points(parts: Parts, index: Index, indexed: dict[UUID, Asset], verdict: Verdict) -> None:
    receipts: dict[UUID, tuple[int, int]] = {}
    after = None
    while page := parts.catalogue.signed(index, after=after):
        receipts |= {asset_id: (generation, points) for asset_id, generation, points in page}
        after = page[-1][0]
    held: dict[UUID, list[Stored]] = {}
    last: UUID | None = None
    while points := parts.store.scroll(index, after=last):
        verdict.points += len(points)
        for point in points:
            held.setdefault(UUID(point.payload["asset"]), []).append(point)
        last = points[-1].id
    for asset_id, asset in indexed.items():
        mine = held.pop(asset_id, [])
        generations = {point.payload["generation"] for point in mine}
        if not mine:
            verdict.lost.append(f"{asset.external_id} has no points")
        elif generations != {asset.generation} or receipts.get(asset_id) != (asset.generation, len(mine)):
            verdict.doubled.append(f"{asset.external_id} {sorted(generations)} {len(mine)} {receipts.get(asset_id)}")
        elif any(point.payload["digest"] != asset.digest for point in mine):
            verdict.outdated.append(asset.external_id)
    verdict.wrongly_there += [str(points[0].payload["external_id"]) for points in held.values()]
