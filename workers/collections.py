"""Collections and their first index."""

from __future__ import annotations

import hashlib
import json
import re

from core.errors import BadQuery, NoSuchCollection
from core.fields import Fields
from core.ports import Encoder
from core.records import Collection, Index, IndexState
from core.runtime.wiring import Parts

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def ensure(parts: Parts, name: str, fields: Fields | None = None, profile: str | None = None) -> Collection:
    """The collection of that name, made with a serving index if there is none.

    Raises Conflict when it exists with other fields or another profile, UnknownProfile, BadQuery for a bad name.
    """
    if not NAME.fullmatch(name):
        raise BadQuery(f"{name!r} cannot name a collection: small letters, digits, - and _, at most 63")
    try:
        there = parts.catalogue.collection(name)
    except NoSuchCollection:
        there = None
    wanted = Collection(
        name=name,
        fields=fields if fields is not None else there.fields if there else {},
        profile=profile or (there.profile if there else parts.settings.profile),
    )
    encoders = parts.encoders.of_profile(wanted.profile)  # before anything is written: the profile may be unknown
    made = parts.catalogue.create_collection(wanted)
    if not parts.catalogue.indexes(name):
        parts.catalogue.create_index(first_index(made, encoders))
    return made


def first_index(collection: Collection, encoders: tuple[Encoder, ...]) -> Index:
    """Its id follows from what it holds, so that making it twice makes it once."""
    spaces = tuple(encoder.space for encoder in encoders)
    said = json.dumps([[s.vector_name for s in spaces], sorted(collection.fields.items())])
    return Index(
        id=f"{collection.name}-{hashlib.sha256(said.encode()).hexdigest()[:8]}",
        collection=collection.name,
        state=IndexState.SERVING,
        spaces=spaces,
        fields=collection.fields,
    )
