"""Whose encoders a search asks: those of the index that it reads, whatever the profile was a moment ago."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from core.errors import IndexDrifted, NoSuchCollection
from core.ports import Encoder, EncoderOf
from core.records import Index, IndexState
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace

T = TypeVar("T")


def encoder_of(parts: Parts, collection: str, profile: str) -> EncoderOf:
    """The encoder of a space: of `profile`, or else of whichever index of the collection has the space.

    Between looking the collection up and reading its index another index may have taken the place of the one before:
    then the space says so. ModelMismatch when no encoder makes the space.
    """

    def of(space: EmbeddingSpace) -> Encoder:
        if all(one.space.fingerprint != space.fingerprint for one in parts.encoders.of_profile(profile)):
            for index in parts.catalogue.indexes(collection):
                if index.profile and index.profile != profile and space in index.spaces:
                    return parts.encoders.of_space(index.profile, space)
        return parts.encoders.of_space(profile, space)

    return of


def surely(ask: Callable[[], T]) -> T:
    """Ask; once more when the index was not there: it may have been dropped after another took its place."""
    try:
        return ask()
    except (NoSuchCollection, IndexDrifted):
        return ask()


def serves_yet(parts: Parts, index: Index) -> bool:
    """Whether an index that served when it was read still does: another may have taken its place since, and it may
    have been dropped. Raises CatalogueDown."""
    return index.state is IndexState.SERVING and parts.catalogue.serving(index.collection).id == index.id


def made(parts: Parts, index: Index) -> None:
    """Make an index in the store, unless it is there, and lead others to it if it serves. Raises as the ports."""
    parts.store.create(index)
    if index.state is IndexState.SERVING:
        lead(parts, index.collection)


def lead(parts: Parts, collection: str) -> None:
    """Lead whoever reads the store beside us to the index that serves, also when another took its place meanwhile.
    Harmless twice. Raises NoSuchCollection, StoreDown, CatalogueDown."""
    led = ""
    while led != (serving := parts.catalogue.serving(collection)).id:
        parts.store.serve(serving)
        led = serving.id


def made_sure(parts: Parts, index: Index, write: Callable[[], None]) -> None:
    """Write to an index; where the store has none yet it is made first, but never again when it was dropped since.

    Raises NoSuchCollection for the latter, and what the ports raise.
    """
    try:
        write()
    except NoSuchCollection:
        if not serves_yet(parts, index):
            raise
        made(parts, index)
        write()
