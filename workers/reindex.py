"""Reindexing: another index is built beside the one that serves, compared with it, and takes its place in one step.

Every function may be called again after a crash at any line, by any process: what was done is in the catalogue. Live
work has priority, and goes to both indexes. Until the switch nothing of it is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import monotonic, sleep
from typing import Any

from core.errors import BadQuery, Conflict
from core.indexes import Coverage, Tended
from core.records import IndexState
from core.runtime.wiring import Parts
from workers.serving import lead
from workers.wishes import Wish, same, target

COMING = (IndexState.PLANNED, IndexState.BUILDING, IndexState.VERIFYING)
WRITTEN = (IndexState.BUILDING, IndexState.VERIFYING)
GONE = (IndexState.SOAKING, IndexState.ROLLED_BACK, IndexState.FAILED)
MISSING = 10  # names that a status lists
PATIENCE = 5.0  # seconds for which workers may end what they write, before a switch is refused
MINUTE = 60.0  # seconds
LOOK = 0.05  # seconds between two tries


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a collection's indexes stand. `coming` is the one being built, `serving` the one that is asked."""

    collection: str
    serving: Tended
    coming: Tended | None
    kept: tuple[Tended, ...]  # soaking, rolled back, given up: what `retire` would drop
    coverage: Coverage | None  # of the coming one; else of the one that soaks
    lacks: int  # assets that would be lost by the step that comes next: a switch, or else a rollback
    examples: tuple[tuple[str, str], ...]  # some of them, and why
    rate: float = 0.0  # assets a second, over the last minute, or since it began
    seconds_left: float | None = None
    checks: tuple[dict[str, Any], ...] = ()  # of the last verification, of the coming one or of the last switch
    verified_at: datetime | None = None

    @property
    def paused(self) -> bool:
        """Whether somebody, or too many failures, stopped the build."""
        return bool(self.coming and self.coming.plan.get("paused"))


def start(parts: Parts, name: str, wish: Wish, *, rate: float | None = None, anew: bool = False) -> Tended:
    """Make the index and have it built from now on: live writes go to it too. Again after a crash, it goes on.

    `rate`: assets a second at most, from now on; 0: as fast as it can; None: as it was said before, else as fast as it
    can. `anew`: also when nothing would change, to fill an index afresh. Raises Conflict when another reindexing is
    under way, what it replaced before is still kept, or nothing would change; UnknownProfile, MissingExtra, BadModel,
    BadQuery.
    """
    _check_rate(rate)
    collection = parts.catalogue.collection(name)
    old = parts.catalogue.serving(name)
    new = target(parts, collection, old, wish)
    made = _coming(parts, name)
    if made is None:
        for kept in parts.catalogue.tended(name, [IndexState.SOAKING]):
            raise Conflict(
                f"index {kept.index.id!r} still soaks since the last switch: roll back to it, or retire it first"
            )
        if same(old, new) and not anew:
            raise Conflict(f"nothing would change: {name!r} has that profile, those spaces, fields and that storage")
        asked = {"rate": rate or 0.0, "paused": False, "from": old.id}
        parts.catalogue.create_index(new, asked)
        made = _coming(parts, name)
        assert made is not None
    elif not same(made.index, new):
        raise Conflict(
            f"{name!r} is being reindexed into {made.index.id!r} already (profile {made.index.profile}): "
            "go on with that, or abort it first"
        )
    elif rate is not None:
        made = parts.catalogue.revise(made.index.id, {"rate": rate})
    if made.index.state is not IndexState.PLANNED:
        return made
    parts.store.create(made.index)
    return parts.catalogue.advance(made.index.id, of=[IndexState.PLANNED], to=IndexState.BUILDING)


def _check_rate(rate: float | None) -> None:
    if rate is not None and not 0 <= rate < inf:
        raise BadQuery(f"a rate of {rate:g} assets a second: give a number from 0 on; 0 is as fast as it can")


def _coming(parts: Parts, name: str) -> Tended | None:
    return next(iter(parts.catalogue.tended(name, COMING)), None)


def coming(parts: Parts, name: str) -> Tended:
    """The index that is being built. Raises Conflict when there is none, NoSuchCollection."""
    found = _coming(parts, name)
    if found is None:
        parts.catalogue.collection(name)
        raise Conflict(f"{name!r} is not being reindexed: start it first")
    return found


def status(parts: Parts, name: str) -> Standing:
    """How it stands. Counts rows: seconds at a million assets."""
    parts.catalogue.collection(name)
    serving = next(iter(parts.catalogue.tended(name, [IndexState.SERVING])), None)
    if serving is None:
        parts.catalogue.serving(name)
        raise Conflict(f"{name!r} was switched a moment ago: look again")
    made = _coming(parts, name)
    kept = tuple(parts.catalogue.tended(name, GONE))
    soaking = next((one for one in reversed(kept) if one.index.state is IndexState.SOAKING), None)
    next_one = made if made is not None and made.index.state in WRITTEN else soaking
    lacks: int = 0
    examples: list[tuple[str, str]] = []
    coverage: Coverage | None = None
    if next_one is not None:
        coverage = parts.catalogue.coverage(next_one.index)
        lacks, examples = parts.catalogue.uncovered(serving.index.id, next_one.index.id, limit=MISSING)
    began = (datetime.now(UTC) - made.changed_at).total_seconds() if made else MINUTE
    rate = coverage.lately / min(MINUTE, max(1.0, began)) if coverage else 0.0
    building = made is not None and coverage is not None
    left = max(0, coverage.present - coverage.held - coverage.failed) if coverage else 0
    judged = made or (serving if soaking else None)  # what was found of an index before its switch is of that time
    verdict = (judged.plan.get("verified") if judged else None) or {}
    return Standing(
        collection=name,
        serving=serving,
        coming=made,
        kept=kept,
        coverage=coverage,
        lacks=lacks,
        examples=tuple(examples),
        rate=rate,
        seconds_left=left / rate if building and rate and left else None,
        checks=tuple(verdict.get("checks", ())),
        verified_at=datetime.fromisoformat(verdict["at"]) if verdict else None,
    )


def pause(parts: Parts, name: str, *, why: str = "") -> Tended:
    """Have nothing more built, until `resume`. Live writes still go to both."""
    made = coming(parts, name)
    return parts.catalogue.revise(made.index.id, {"paused": True, "why_paused": why})


def resume(parts: Parts, name: str, *, rate: float | None = None) -> Tended:
    """Go on, with what failed too. `rate`: as for `start`. Raises BadQuery, Conflict."""
    _check_rate(rate)
    made = coming(parts, name)
    parts.catalogue.pardon(made.index.id)
    changes: dict[str, Any] = {"paused": False, "why_paused": ""}
    return parts.catalogue.revise(made.index.id, changes if rate is None else changes | {"rate": rate})


def switch(parts: Parts, name: str, *, reason: str | None = None) -> Standing:
    """Have the verified index serve, from one moment to the next; the other soaks. Readers follow with their next
    query.

    What workers have in their hands is waited for. Raises Conflict, with a list, when it was not verified or something
    that is found now would be lost; not so with a `reason`, which is kept; BadQuery for one that says nothing.
    """
    _check_reason(reason)
    made = coming(parts, name)
    verdict = made.plan.get("verified") or {}
    if not verdict.get("passed") and not reason:
        failed = [check for check in verdict.get("checks", ()) if not check["passed"]]
        said = "; ".join(f"{check['name']}: {check['message']}" for check in failed) or "it was not verified"
        raise Conflict(f"index {made.index.id!r} may not serve yet: {said}. Verify it, or force it and say why")
    of = [IndexState.VERIFYING] if not reason else list(WRITTEN)
    _exchange(
        parts,
        made.index.id,
        of=of,
        leaving=IndexState.SOAKING,
        note=f"forced: {reason}" if reason else None,
        forced=bool(reason),
    )
    return status(parts, name)


def rollback(parts: Parts, name: str, *, reason: str | None = None) -> Standing:
    """Have the index serve again that did before the last switch. Raises Conflict when none soaks, or it lacks what is
    found now; not so with a `reason`."""
    _check_reason(reason)
    soaking = parts.catalogue.tended(name, [IndexState.SOAKING])
    if not soaking:
        parts.catalogue.collection(name)
        raise Conflict(f"{name!r} has no index to go back to: none soaks")
    if made := _coming(parts, name):
        raise Conflict(f"{name!r} is being reindexed into {made.index.id!r}: abort that first")
    _exchange(
        parts,
        soaking[-1].index.id,
        of=[IndexState.SOAKING],
        leaving=IndexState.ROLLED_BACK,
        note=f"rolled back: {reason}" if reason else "rolled back",
        forced=bool(reason),
    )
    return status(parts, name)


def _check_reason(reason: str | None) -> None:
    if reason is not None and not reason.strip():
        raise BadQuery(
            "the reason is empty: say why it is to be done although something would be lost, or leave it out"
        )


def _exchange(parts: Parts, coming: str, **how: Any) -> None:
    """A live write is in one index a moment before it is in the other."""
    until = monotonic() + PATIENCE
    while True:
        held = parts.catalogue.holders()  # before the try: they may end while it is refused
        try:
            now, _ = parts.catalogue.exchange(coming, **how)
            lead(parts, now.index.collection)
            return
        except Conflict:
            if not held or monotonic() >= until:
                raise
            sleep(LOOK)


def retire(parts: Parts, name: str) -> list[str]:
    """Drop every index that served before, was rolled back or given up: their ids. There is no way back then."""
    parts.catalogue.collection(name)
    gone: list[str] = []
    for kept in parts.catalogue.tended(name, [*GONE, IndexState.RETIRED]):
        state = kept.index.state
        if state is not IndexState.RETIRED:
            parts.catalogue.advance(kept.index.id, of=[state], to=IndexState.RETIRED, note=kept.note or None)
            gone.append(kept.index.id)
        _drop(parts, kept.index.id)  # again, should an earlier call have died between
    return gone


def abort(parts: Parts, name: str, *, reason: str = "") -> Tended:
    """Give the index up that is being built, and drop it. The one that serves was never touched."""
    made = _coming(parts, name)
    if made is None:
        given_up = parts.catalogue.tended(name, [IndexState.FAILED])
        if not given_up:
            coming(parts, name)
        for one in given_up:
            _drop(parts, one.index.id)
        return given_up[-1]
    note = f"aborted: {reason}" if reason else "aborted"
    ended = parts.catalogue.advance(made.index.id, of=COMING, to=IndexState.FAILED, note=note)
    _drop(parts, made.index.id)
    return ended


def _drop(parts: Parts, index_id: str) -> None:
    parts.store.drop(index_id)
    parts.catalogue.clear_index(index_id)
