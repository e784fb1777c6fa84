"""What a reindexing is to change, and what that would take, before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from core.errors import BadQuery
from core.fields import Fields
from core.records import Collection, Index, IndexState, Storage
from core.runtime.wiring import Parts
from workers.copying import change_of
from workers.rehearsal import Rehearsal, rehearse


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be changed; None: as it is. `spaces` are names of those of the profile; another comes whole."""

    profile: str | None = None
    spaces: Sequence[str] | None = None
    fields: Fields | None = None
    storage: Storage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a reindexing would do, before anything is done."""

    collection: str
    profile: str
    copied: tuple[str, ...]  # spaces whose vectors are taken over
    embedded: tuple[str, ...]  # spaces whose vectors are computed
    dropped: tuple[str, ...]
    fields_added: tuple[str, ...]
    fields_dropped: tuple[str, ...]
    storage: Storage
    storage_was: Storage
    assets: int
    decoded: int  # of them, that must be read again
    points: int  # about as many as there are now
    seconds: float | None  # of this machine with its lanes, by a measured sample; None: nothing there to be measured
    bytes: int  # of disk, about
    free: int | None  # bytes of disk that are free; None: it is a server's, or not for whoever asks
    sample: Rehearsal
    nothing: bool  # it would be the same again


def target(parts: Parts, collection: Collection, old: Index, wish: Wish) -> Index:
    """The index that a wish asks for, without a row yet. Raises UnknownProfile, MissingExtra, BadModel, BadQuery."""
    profile = wish.profile or old.profile
    spaces = tuple(encoder.space for encoder in parts.encoders.of_profile(profile))
    if wish.spaces is not None:
        names = {space.name for space in spaces}
        if unknown := sorted(set(wish.spaces) - names):
            raise BadQuery(f"profile {profile!r} has no space {', '.join(unknown)}; it has {', '.join(sorted(names))}")
        spaces = tuple(space for space in spaces if space.name in set(wish.spaces))
        if not spaces:
            raise BadQuery("an index needs a space: name one at least")
    elif wish.profile is None:
        # The model's own newest commit counts as a change only when it is asked for by naming the profile.
        spaces = old.spaces
    elif profile == old.profile:  # its newest commits: a space that was left out stays out
        names = {space.name for space in old.spaces}
        spaces = tuple(space for space in spaces if space.name in names) or spaces
    return Index(
        id=f"{collection.name}-{uuid4().hex[:8]}",
        collection=collection.name,
        state=IndexState.PLANNED,
        spaces=spaces,
        fields=wish.fields if wish.fields is not None else old.fields,
        reads=old.reads,
        profile=profile,
        storage=wish.storage if wish.storage is not None else old.storage,
    )


def plan(parts: Parts, name: str, wish: Wish, *, sample: int = 16) -> Plan:
    """What it would take. Embeds a sample of assets to measure it; writes nothing."""
    collection = parts.catalogue.collection(name)
    old = parts.catalogue.serving(name)
    new = target(parts, collection, old, wish)
    change = change_of(parts, old, new)
    census = parts.catalogue.census(old.id)
    measured = rehearse(parts, collection, old, new, change, sample=sample)
    points = sum(share.points for share in census)
    return Plan(
        collection=name,
        profile=new.profile,
        copied=tuple(space.name for space in change.copied),
        embedded=tuple(space.name for space in change.embedded),
        dropped=tuple(space.name for space in change.dropped),
        fields_added=tuple(sorted(f"{k}={v}" for k, v in new.fields.items() if old.fields.get(k) != v)),
        fields_dropped=tuple(sorted(k for k in old.fields if k not in new.fields)),
        storage=new.storage,
        storage_was=old.storage,
        assets=sum(share.assets for share in census),
        decoded=sum(share.assets for share in census if change.of(share.modality, new.reads)),
        points=points,
        seconds=measured.seconds(census),
        bytes=points * _bytes(new),
        free=parts.room(),
        sample=measured,
        nothing=same(old, new),
    )


def _bytes(index: Index) -> int:
    """About what a point takes: its vectors twice (the log, then the segment), and a kilobyte of payload and graph."""
    return 1024 + sum(2 * 4 * space.dim if not space.sparse else 512 for space in index.spaces)


def same(old: Index, new: Index) -> bool:
    """Whether there is nothing to be changed."""

    def parts_of(index: Index) -> tuple[Any, ...]:
        names = sorted(space.vector_name for space in index.spaces)
        return names, dict(index.fields), index.reads, index.storage, index.profile

    return parts_of(old) == parts_of(new)
