"""Out and in again: collections as tables, and the whole installation as a backup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import BinaryIO

from core.errors import BadQuery, Forbidden
from core.runtime.wiring import open_payloads
from core.types import Modality
from ingest.files import opened
from ingest.sources.points import columns_of
from quiver.upkeep import Upkeep
from retrieval.expression import Where, read_where
from workers import foreign
from workers.backup import BackedUp, Progress, back_up
from workers.carried import Carried
from workers.collections import ensure
from workers.export import Exported, check_target, export, writing_to
from workers.importing import Imported, take_in
from workers.landing import land, spaces_at
from workers.restore import Restored, Verified, restore, verify
from workers.table_reader import Reader


class Archive(Upkeep):
    """What leaves, and what comes back."""

    def export(
        self,
        collection: str,
        target: str | Path | BinaryIO,
        *,
        where: Where = None,
        blobs: str | Path | None = None,
        on_progress: Callable[[Exported], None] | None = None,
    ) -> Exported:
        """Write the indexed assets of this tenant with their vectors into a Parquet file, one row a segment. `target`:
        its path, or open, where it can be cut and sought in.

        `where` chooses among them, as in a search. `blobs`: a folder, or a file that ends with .tar, for the bytes.
        Raises NoSuchCollection, BadFilter, MissingExtra, BlobsDown when it cannot be written, and then the file is as
        it was.
        """
        kept = self._collection(collection)
        if isinstance(target, (str, Path)):
            check_target(Path(target))
        with writing_to(target) as sink:
            return export(
                self._parts,
                kept,
                self._tenant,
                sink,
                where=read_where(where, kept.fields),
                blobs=Path(blobs) if blobs is not None else None,
                on_progress=on_progress,
            )

    def import_(
        self,
        source: str | Path | BinaryIO,
        collection: str,
        *,
        blobs: str | Path | None = None,
        profile: str | None = None,
        vectors: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        modality: str | Modality | None = None,
        source_key: str | None = None,
        on_progress: Callable[[Imported], None] | None = None,
    ) -> Imported:
        """Take in what `export` wrote (its path, or open), or another Qdrant collection, with the vectors that are
        there: nothing is embedded. Makes the collection if there is none. Twice is once.

        `blobs`: what `export` wrote besides. Of `qdrant://HOST:PORT/COLLECTION` say in `vectors` which of its vectors
        is of which space, as `{"clip": "image"}`, by which you declare that the space's model made them; `columns` as
        for `ingest` (text, id); `modality` when its points are not of texts; `profile` of a collection that is made.
        Assets without bytes are found, but cannot be shown or embedded by another model. Those of a tenant have the
        bytes that come along, or that others of its assets have; the operator's whatever is here.

        What is wrong with a row is in the report's `refused`. Raises ModelMismatch, BadQuery, NoSuchPath,
        NoSuchCollection, BadManifest when the file is no export, CorruptMedia where it is damaged: what came before is
        kept, and running it again goes on.
        """
        if isinstance(source, str) and foreign.is_foreign(source):
            wanted = None if modality is None else _modality(modality)
            if blobs is not None:
                raise BadQuery("blobs come with an export, not from a Qdrant server: leave them out")
            return self._import_foreign(
                source, collection, profile, vectors or {}, columns or {}, wanted, source_key, on_progress
            )
        if vectors or columns or modality or profile:
            raise BadQuery(
                "an export says by itself what it holds: vectors, columns, modality and profile are left out"
            )
        carrying = closing(Carried(Path(blobs))) if blobs is not None else nullcontext()
        opening = opened(Path(source)) if isinstance(source, (str, Path)) else nullcontext(source)
        with opening as file, carrying as carried:
            table = Reader(file)
            made, spaces = land(self._parts, self._owner, collection, table.heading)
            done = Imported(
                total=table.rows,
                ignored=tuple(one.vector_name for one in table.heading.spaces if one.vector_name not in spaces),
            )
            return take_in(
                self._parts,
                made,
                self._tenant,
                table,
                spaces,
                done=done,
                bytes_from=carried,
                trusted=self._operates,
                on_progress=on_progress,
            )

    def backup(
        self, place: str | Path, *, vectors: bool = True, on_progress: Callable[[Progress], None] | None = None
    ) -> BackedUp:
        """Back up everything, of every tenant, while it is used: into a folder, where bytes that it has are not copied
        again, or a file that ends with .tar. Without `vectors` all is embedded again after a restore.

        Raises BlobsDown when it cannot be written, and then what was there is still whole; Conflict when the folder
        holds something else; Forbidden for a tenant.
        """
        self._operator()
        return back_up(self._parts, Path(place), vectors=vectors, on_progress=on_progress)

    def verify(self, place: str | Path, *, on_progress: Callable[[Progress], None] | None = None) -> Verified:
        """Read a whole backup and compare it with its digests: see the answer's `problems`. Raises NoSuchPath,
        CorruptMedia when it is none."""
        self._operator()
        return verify(Path(place), on_progress=on_progress)

    def restore(
        self, place: str | Path, *, force: bool = False, on_progress: Callable[[Progress], None] | None = None
    ) -> Restored:
        """Bring a backup into the catalogue, the store and the data folder that are set, of whatever kind they are, and
        index what it has no points of, unless workers do. Nothing else may run meanwhile.

        Raises Conflict when there is a collection already, unless all is to be replaced by `force`; CorruptMedia when
        the backup is damaged: then nothing of it can be found. Killed, it goes on when it is called again.
        """
        self._operator()
        done = restore(self._parts, Path(place), force=force, on_progress=on_progress)
        self._attend()
        return done

    def _operator(self) -> None:
        if self._owner is not None:
            raise Forbidden("backups are of all tenants: the operator makes them, on the machine")

    def _import_foreign(
        self,
        source: str,
        collection: str,
        profile: str | None,
        vectors: Mapping[str, str],
        columns: Mapping[str, str],
        modality: Modality | None,
        source_key: str | None,
        on_progress: Callable[[Imported], None] | None,
    ) -> Imported:
        if not vectors:
            raise BadQuery(
                "say which vector is of which space, as --vector NAME=SPACE; a vector without a name: =SPACE"
            )
        url, name = foreign.address_of(source)
        named = columns_of(columns)
        spaces = foreign.mapped(spaces_at(self._parts, self._owner, collection, profile), vectors)
        points = open_payloads(source_key, url, name)
        foreign.check_dims(spaces, points.dims())
        made = ensure(self._parts, collection, None, profile, owner=self._owner)
        held = self._parts.catalogue.serving(made.name).spaces
        done = Imported(total=len(points), lacking=tuple(one.name for one in held if one not in spaces.values()))
        rows = foreign.rows_of(points, list(spaces), named, modality)
        return take_in(self._parts, made, self._tenant, rows, spaces, done=done, bare=False, on_progress=on_progress)


def _modality(said: str | Modality) -> Modality:
    if said not in (Modality.TEXT, Modality.IMAGE, Modality.AUDIO):
        raise BadQuery(f"modality {str(said)!r}: points are of text, image or audio")
    return Modality(said)
