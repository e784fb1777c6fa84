"""Items to registered assets: drafts by the batch, one transaction each, handed on after the commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from core.errors import BadMetadata, NoSpaceFor, Overloaded, Refused, TooLarge
from core.records import Collection, Draft, Outcome
from core.runtime.wiring import Parts
from core.types import AssetId, Modality, Tenant
from ingest.register import draft
from ingest.sources.manifest import Item
from workers.decoding import limits_of
from workers.fetching import fetcher_of

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


class Drafts:
    """Makes drafts of what comes into one collection.

    `fetches`: whether items may name addresses to be fetched; without it they are Forbidden. Raises Misconfigured when
    what may be fetched cannot be read from the settings.
    """

    def __init__(self, parts: Parts, collection: Collection, *, fetches: bool) -> None:
        spaces = parts.catalogue.serving(collection.name).spaces
        self._taken = frozenset(modality for space in spaces for modality in space.modalities)
        if self._taken & {Modality.IMAGE, Modality.AUDIO}:
            self._taken |= {Modality.VIDEO}
        self._blobs, self._name = parts.blobs, collection.name
        self._draft = partial(
            draft,
            blobs=parts.blobs,
            fields=collection.fields,
            limits=limits_of(parts),
            fetcher=fetcher_of(parts) if fetches else None,
        )

    def of(self, item: Item) -> Draft:
        """Its draft, the bytes durable. Raises Refused."""
        made = self._draft(item)
        if len(made.external_id) > LONGEST_ID:
            raise TooLarge(f"{made.external_id[:60]}...: an external id has at most {LONGEST_ID} characters")
        if "\0" in made.external_id:
            raise BadMetadata("an external id holds a NUL character: take it out")
        if made.modality not in self._taken:
            raise NoSpaceFor(f"{made.external_id}: no space of {self._name!r} embeds {made.modality}")
        return made

    def restore(self, registered: Sequence[tuple[Item, Draft]]) -> list[tuple[Draft, Refused]]:
        """Store the bytes again of those whose last asset was purged between our write and our row. Those of which
        that cannot be done: an address, say, that gave its file only once."""
        lost = []
        for item, made in registered:
            if not self._blobs.has(made.digest):
                try:
                    self._draft(item)
                except Refused as fault:
                    lost.append((made, fault))
        return lost


def register(
    parts: Parts,
    tenant: Tenant,
    collection: Collection,
    items: Iterable[Item | Refused],
    submit: Callable[[str, Sequence[AssetId]], None],
    *,
    on_progress: Callable[[Intake], None] | None = None,
    fetches: bool = False,
) -> Intake:
    """Register every item that can be; hand on what is new or changed. A refused one does not stop the others.

    `fetches`: whether items may name addresses to be fetched; without it they are Forbidden. Before anything is taken
    in, raises Overloaded when assets wait longer than the settings allow, Misconfigured when what may be fetched cannot
    be read from them.
    """
    admit(parts, collection.name)
    intake = Intake()
    drafts = Drafts(parts, collection, fetches=fetches)
    pending: list[tuple[Item, Draft]] = []

    def commit() -> None:
        if not pending:
            return
        done = parts.catalogue.register(tenant, collection.name, [made for _, made in pending])
        for made, fault in drafts.restore(pending):
            intake.refused.append(Problem(made.external_id, fault.kind, str(fault)))
            intake.faults.append(fault)
        intake.outcomes.update(outcome for _, outcome in done)
        intake.ids.update(asset_id for asset_id, _ in done)
        intake.last = [(made.external_id, *one) for (_, made), one in zip(pending, done, strict=True)]
        pending.clear()
        if ids := [asset_id for asset_id, outcome in done if outcome is not Outcome.UNCHANGED]:
            submit(collection.name, ids)
        if on_progress is not None:
            on_progress(intake)

    for item in items:
        if isinstance(item, Refused):
            intake.refused.append(Problem("", item.kind, str(item)))
            intake.faults.append(item)
            continue
        try:
            made = drafts.of(item)
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
