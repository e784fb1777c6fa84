"""Collections, what they are called, and their first index.

A label is what people say. A key is the collection's name in the catalogue: the label itself where the operator made
it, for all tenants; the label and a mark of the tenant where a tenant made it, for itself alone. So two tenants may
say the same label, and neither learns of the other's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from core.errors import BadQuery, NoSpaceFor, NoSuchCollection
from core.fields import Fields
from core.ports import Encoder
from core.records import Collection, Index, IndexState
from core.runtime.wiring import Parts
from core.types import Modality, Reading, Tenant

SHOWN_OR_HEARD = (Modality.IMAGE, Modality.AUDIO)  # what there is in a film
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def mark(owner: Tenant | None) -> str:
    """What a tenant's keys end with; nothing for the operator's."""
    return "" if owner is None else "." + hashlib.sha256(owner.encode()).hexdigest()[:12]


def label_of(key: str) -> str:
    """What people call the collection of that key."""
    return key.partition(".")[0]


def index_label(index_id: str) -> str:
    """What people call an index: its collection's label, and what tells it from the others."""
    key, dash, which = index_id.rpartition("-")
    return label_of(key) + dash + which


def parse_reads(names: Iterable[str]) -> frozenset[Reading]:
    """Raises BadQuery for a name that is none."""
    try:
        return frozenset(Reading(name) for name in names)
    except ValueError as exc:
        raise BadQuery(f"{exc}: what a collection reads is of {', '.join(Reading)}") from exc


def visible(parts: Parts, owner: Tenant | None) -> list[Collection]:
    """The collections that a tenant sees, its own before the operator's of the same label; the operator sees all."""
    known = parts.catalogue.collections()
    if owner is None:
        return known
    own = {label_of(c.name): c for c in known if c.name.endswith(mark(owner))}
    shared = {c.name: c for c in known if "." not in c.name}
    return [each for _, each in sorted({**shared, **own}.items())]


def find(parts: Parts, owner: Tenant | None, label: str) -> Collection:
    """The collection that a tenant means. Raises NoSuchCollection, listing those it sees."""
    for key in dict.fromkeys((label + mark(owner), label)):
        try:
            if owner is None or "." not in label:
                return parts.catalogue.collection(key)
        except NoSuchCollection:
            continue
    known = ", ".join(each.name if owner is None else label_of(each.name) for each in visible(parts, owner))
    raise NoSuchCollection(
        f"there is no collection {label!r}; there is: {known or 'none'}. Ingesting into it makes one"
    )


def ensure(
    parts: Parts,
    label: str,
    fields: Fields | None = None,
    profile: str | None = None,
    *,
    reads: frozenset[Reading] | None = None,
    owner: Tenant | None = None,
) -> Collection:
    """The collection of that label, made with a serving index if there is none.

    A folder that the profile names is kept by its whole path. Raises Conflict when it exists with other fields, another
    profile or other reads, UnknownProfile, BadQuery for a bad name, MissingExtra or Misconfigured when what it reads
    cannot be read here.
    """
    try:
        there = find(parts, owner, label)
    except NoSuchCollection:
        there = None
        if not NAME.fullmatch(label):
            raise BadQuery(f"{label!r} cannot name a collection: small letters, digits, - and _, at most 63") from None
    if profile and not (there and profile == there.profile):
        profile = parts.encoders.absolute(profile)
    wanted = Collection(
        name=there.name if there else label + mark(owner),
        fields=fields if fields is not None else there.fields if there else {},
        profile=profile or (there.profile if there else parts.encoders.absolute(parts.settings.profile)),
        reads=reads if reads is not None else there.reads if there else frozenset(),
    )
    encoders = parts.encoders.of_profile(wanted.profile)  # before anything is written: the profile may be unknown,
    parts.readers.of(wanted.reads)  # and what reads not installed
    made = parts.catalogue.create_collection(wanted)
    if not parts.catalogue.indexes(made.name):
        parts.catalogue.create_index(first_index(made, encoders))
    return made


def first_index(collection: Collection, encoders: tuple[Encoder, ...]) -> Index:
    """Its id follows from what it holds, so that making it twice makes it once."""
    spaces = tuple(encoder.space for encoder in encoders)
    said = json.dumps([[s.vector_name for s in spaces], sorted(collection.fields.items()), *sorted(collection.reads)])
    return Index(
        id=f"{collection.name}-{hashlib.sha256(said.encode()).hexdigest()[:8]}",
        collection=collection.name,
        state=IndexState.SERVING,
        spaces=spaces,
        fields=collection.fields,
        reads=collection.reads,
    )


def no_space(parts: Parts, collection: Collection, external_id: str, modality: Modality) -> NoSpaceFor:
    """Why something does not fit into a collection, and which collection would take it."""
    said = f"{external_id}: no space of {label_of(collection.name)!r} embeds {modality}"
    able = parts.encoders.embedding(*(SHOWN_OR_HEARD if modality is Modality.VIDEO else (modality,)))
    if not able:
        return NoSpaceFor(f"{said}, nor does a profile that is known: see `quiver models`")
    names = collection.profile.split("+")
    both = "+".join([*names, *able[: able[0] not in names]])
    return NoSpaceFor(
        f"{said}; {', '.join(able)} {'does' if len(able) == 1 else 'do'}: make a collection with --profile {both}, or "
        "reindex this one to it, and ingest again"
    )
