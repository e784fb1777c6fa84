"""Items to registered assets: drafts by the batch, one transaction each, handed on after the commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from core.errors import BadMetadata, NoSpaceFor, Overloaded, Refused, TooLarge
from core.records import Collection, Draft, Outcome
from core.runtime.wiring import Parts
from core.types import AssetId, Tenant
from ingest.register import draft
from ingest.sources.manifest import Item
from workers.decoding import limits_of

LONGEST_ID = 1023  # characters, as the catalogue's column


@dataclass(frozen=True, slots=True)
class Problem:
    """An item that was not registered, and why."""

    name: str  # external id; empty for a line of a manifest that names none
    kind: str
    message: str


@dataclass(slots=True)
class Intake:
    """What registering did."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    refused: list[Problem] = field(default_factory=list)
    faults: list[Refused] = field(default_factory=list)  # of those refused, in the same order
    ids: set[AssetId] = field(default_factory=set)  # of all that was registered, changed or not
    last: list[tuple[str, AssetId, Outcome]] = field(default_factory=list)  # the batch just registered: external id

    @property
    def seen(self) -> int:
        """How many items were looked at."""
        return self.outcomes.total() + len(self.refused)


def admit(parts: Parts, collection: str) -> None:
    """Raises Overloaded, with the time after which to come again, when the oldest asset has waited too long."""
    most = parts.settings.max_waiting_seconds
    if not most:
        return
    oldest = parts.catalogue.oldest_waiting(collection).total_seconds()
    if oldest > most:
        fault = Overloaded(f"an asset of {collection!r} has waited {oldest:.0f} s, over {most:.0f}: come again later")
        fault.retry_after = oldest - most
        raise fault


def register(
    parts: Parts,
    tenant: Tenant,
    collection: Collection,
    items: Iterable[Item | Refused],
    submit: Callable[[str, Sequence[AssetId]], None],
    *,
    on_progress: Callable[[Intake], None] | None = None,
) -> Intake:
    """Register every item that can be; hand on what is new or changed. A refused one does not stop the others.

    Raises Overloaded when assets wait longer than the settings allow, before anything is taken in.
    """
    admit(parts, collection.name)
    intake = Intake()
    spaces = parts.catalogue.serving(collection.name).spaces
    taken = frozenset(modality for space in spaces for modality in space.modalities)
    pending: list[tuple[Item, Draft]] = []

    def commit() -> None:
        if not pending:
            return
        done = parts.catalogue.register(tenant, collection.name, [made for _, made in pending])
        for item, made in pending:
            if not parts.blobs.has(made.digest):
                # The last asset with these bytes was purged between our write and our row.
                draft(item, blobs=parts.blobs, fields=collection.fields, limits=limits)
        intake.outcomes.update(outcome for _, outcome in done)
        intake.ids.update(asset_id for asset_id, _ in done)
        intake.last = [(made.external_id, *one) for (_, made), one in zip(pending, done, strict=True)]
        pending.clear()
        if ids := [asset_id for asset_id, outcome in done if outcome is not Outcome.UNCHANGED]:
            submit(collection.name, ids)
        if on_progress is not None:
            on_progress(intake)

    limits = limits_of(parts)
    for item in items:
        if isinstance(item, Refused):
            intake.refused.append(Problem("", item.kind, str(item)))
            intake.faults.append(item)
            continue
        try:
            made = draft(item, blobs=parts.blobs, fields=collection.fields, limits=limits)
            if len(made.external_id) > LONGEST_ID:
                raise TooLarge(f"{made.external_id[:60]}...: an external id has at most {LONGEST_ID} characters")
            if "\0" in made.external_id:
                raise BadMetadata("an external id holds a NUL character: take it out")
            if made.modality not in taken:
                raise NoSpaceFor(f"{made.external_id}: no space of {collection.name!r} embeds {made.modality}")
        except Refused as fault:
            intake.refused.append(Problem(item.external_id, fault.kind, str(fault)))
            intake.faults.append(fault)
            continue
        pending.append((item, made))
        if len(pending) >= parts.settings.batch:
            commit()
    commit()
    intake.last = []
    if on_progress is not None:
        on_progress(intake)
    return intake
