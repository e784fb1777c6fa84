"""Where an import lands: the collection, made where there is none, and whose vectors its spaces take."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import ModelMismatch, NoSuchCollection
from core.records import Collection
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace
from core.types import Tenant
from workers.collections import ensure, find
from workers.table import Heading


def spaces_at(parts: Parts, owner: Tenant | None, label: str, profile: str | None) -> tuple[EmbeddingSpace, ...]:
    """The spaces of a collection, or those that one of that profile would have. Raises UnknownProfile."""
    try:
        return parts.catalogue.serving(find(parts, owner, label).name).spaces
    except NoSuchCollection:
        return tuple(encoder.space for encoder in parts.encoders.of_profile(profile or parts.settings.profile))


def land(
    parts: Parts, owner: Tenant | None, label: str, heading: Heading
) -> tuple[Collection, Mapping[str, EmbeddingSpace]]:
    """The collection for a table, and its spaces by the name of their vectors. Nothing is made when they do not fit.

    A collection that is there keeps its fields and what it reads. Raises ModelMismatch when a space of it has no
    vectors in the table, UnknownProfile, BadQuery for a bad name.
    """
    spaces = spaces_at(parts, owner, label, heading.profile)
    held = {space.vector_name for space in heading.spaces}
    if lacking := [space for space in spaces if space.vector_name not in held]:
        theirs = {space.name: space for space in heading.spaces}
        said = ", ".join(_compared(space, theirs.get(space.name)) for space in lacking)
        raise ModelMismatch(
            f"the vectors are of other models than those of collection {label!r}: {said}. Import them into another "
            f"collection, which is then made with profile {heading.profile!r}; or `quiver reindex` {label!r} to that "
            "profile first; or ingest the things themselves"
        )
    try:
        made = find(parts, owner, label)
    except NoSuchCollection:
        made = ensure(parts, label, heading.fields, heading.profile, reads=heading.reads, owner=owner)
    return made, {space.vector_name: space for space in spaces}


def _compared(ours: EmbeddingSpace, theirs: EmbeddingSpace | None) -> str:
    has = "nothing" if theirs is None else f"{theirs.model}@{theirs.revision} ({theirs.fingerprint})"
    return f"space {ours.name!r} is {ours.model}@{ours.revision} ({ours.fingerprint}), the file has {has}"
