"""One index filled from another: vectors of spaces that did not change are copied, and only what changed is embedded.

What is copied is not even decoded, unless its texts are cut otherwise for the new index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from core.errors import Defect, Refused
from core.points import Column, Points, Stored, point_id
from core.ports import Encoder
from core.records import Claim, Index
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace, Vector, batched
from core.types import Asset, AssetId, Modality, Reading, Segment
from workers.embedding import (
    Known,
    Prepared,
    Work,
    encode,
    encoders_of,
    fitting,
    no_space,
    pieces,
    points_of,
    prepare,
    spoken_by,
)
from workers.reading import complete, tokens_of
from workers.reuse import repainted

PARTS = {Modality.VIDEO: frozenset({Modality.IMAGE, Modality.AUDIO})}  # of what else, of its own kind
HELD = 4096  # points that are held at once, unless one asset has more


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What lies between two indexes of a collection."""

    copied: tuple[EmbeddingSpace, ...]
    embedded: tuple[EmbeddingSpace, ...]
    dropped: tuple[EmbeddingSpace, ...]
    recut: bool  # texts are cut into other windows

    @property
    def contents(self) -> frozenset[Modality]:
        """Segments of these must be made anew; the others are copied."""
        changed = spoken_by(self.embedded)
        texts = {Modality.TEXT} if self.recut and Modality.TEXT in spoken_by(self.copied) else set()
        return changed | texts

    def of(self, modality: Modality, reads: Some[Reading]) -> frozenset[Modality]:
        """What of an asset of that modality must be made anew: nothing, and it is not decoded."""
        own = PARTS.get(modality, frozenset({modality}))
        return self.contents & (own | ({Modality.TEXT} if reads else frozenset()))


def change_of(parts: Parts, old: Index, new: Index) -> Change:
    """Raises UnknownProfile, MissingExtra, BadModel when the new one's encoders cannot be had."""
    there, wanted = ({space.fingerprint for space in index.spaces} for index in (old, new))
    return Change(
        copied=tuple(space for space in new.spaces if space.fingerprint in there),
        embedded=tuple(space for space in new.spaces if space.fingerprint not in there),
        dropped=tuple(space for space in old.spaces if space.fingerprint not in wanted),
        recut=old.profile != new.profile and _cutter(parts, old.profile) != _cutter(parts, new.profile),
    )


def _cutter(parts: Parts, profile: str) -> str:
    """Whose tokens decide where a text is cut: a space, or nobody's."""
    encoders = parts.encoders.of_profile(profile)
    decides = tokens_of(encoders)
    return next((one.space.fingerprint for one in encoders if decides is not None and one.tokens is decides), "")


@dataclass(slots=True, kw_only=True)
class Copying:
    """Fills `work.index` from `old`."""

    work: Work
    old: Index
    change: Change
    dry: bool = False  # nothing is written

    def write(self, claims: Sequence[Claim]) -> dict[Claim, int]:
        """Write these assets; how many points each has now. Those that failed are told of. Raises Unavailable, and
        NoSuchCollection when the index is there no more."""
        counts: dict[Claim, int] = {}
        wanted = fitting(self.work, claims)
        for some in self._portions(wanted):
            source = self._source(some)
            counts |= self._copy([claim for claim in some if not self._anew(claim, source)], source)
            counts |= self._embed([claim for claim in some if self._anew(claim, source)], source)
        return counts

    def _anew(self, claim: Claim, source: dict[AssetId, list[Stored]]) -> bool:
        return claim.asset.id not in source or bool(self.change.of(claim.asset.modality, self.work.index.reads))

    def _portions(self, claims: Sequence[Claim]) -> Iterator[list[Claim]]:
        said = self.work.parts.catalogue.standings(self.old, [claim.asset.id for claim in claims])
        points = {one.asset.id: one.points for one in said}
        run: list[Claim] = []
        held = 0
        for claim in claims:
            count = points.get(claim.asset.id, 0)
            if run and held + count > HELD:
                yield run
                run, held = [], 0
            run.append(claim)
            held += count
        if run:
            yield run

    def _source(self, claims: Sequence[Claim]) -> dict[AssetId, list[Stored]]:
        """The points that the old index has of these very generations, where it has all of them."""
        parts = self.work.parts
        signed = {
            one.asset.id: (one.generation, one.points)
            for one in parts.catalogue.standings(self.old, [claim.asset.id for claim in claims])
        }
        wanted = [claim.asset.id for claim in claims if signed.get(claim.asset.id, (None, 0))[0] is not None]
        found: defaultdict[AssetId, list[Stored]] = defaultdict(list)
        for point in parts.store.of_assets(self.old, wanted) if wanted else ():
            found[AssetId(UUID(point.payload["asset"]))].append(point)
        return {
            claim.asset.id: points
            for claim in claims
            for points in [found.get(claim.asset.id, [])]
            if signed.get(claim.asset.id) == (claim.asset.generation, len(points))
            and all(_of(claim.asset, point) for point in points)
        }

    def _copy(self, claims: Sequence[Claim], source: dict[AssetId, list[Stored]]) -> dict[Claim, int]:
        return self._counted({claim: self._carried(claim, source, frozenset()) for claim in claims})

    def _embed(self, claims: Sequence[Claim], source: dict[AssetId, list[Stored]]) -> dict[Claim, int]:
        counts: dict[Claim, int] = {}
        for whole in (False, True):  # what the old index does not have is made whole
            some = [claim for claim in claims if (claim.asset.id not in source) == whole]
            if not some:
                continue
            needed = spoken_by(self.work.index.spaces) if whole else self.change.contents
            reads = self.work.index.reads if whole or Modality.TEXT in needed else frozenset[Reading]()
            work = self.work.reading(reads, self._known(some, source))
            long: list[Claim] = []
            for made in map(partial(self._write, work, source, needed), prepare(work, some, long)):
                counts |= made
            for claim in long:
                counts |= self._write_long(work, claim, source, needed)
        return counts

    def _write(
        self, work: Work, source: dict[AssetId, list[Stored]], needed: frozenset[Modality], prepared: Prepared
    ) -> dict[Claim, int]:
        made, points = encode(work, [(claim, _among(needed, segments)) for claim, segments in prepared])
        self._upsert(points)
        fresh: defaultdict[str, int] = defaultdict(int)
        for said in points.payloads:
            fresh[said["asset"]] += 1
        carried = {claim: self._carried(claim, source, needed) for claim, _ in made}
        return self._counted(carried, {claim: fresh[str(claim.asset.id)] for claim, _ in made})

    def _known(self, claims: Sequence[Claim], source: dict[AssetId, list[Stored]]) -> Known:
        known = Known()
        for claim in claims:
            known.learn(self.old.spaces, source.get(claim.asset.id, ()))
        return known

    def _write_long(
        self, work: Work, claim: Claim, source: dict[AssetId, list[Stored]], needed: frozenset[Modality]
    ) -> dict[Claim, int]:
        """An asset of many pieces: each is written before the next is decoded, and the lease renewed."""
        parts, made = work.parts, 0
        try:
            encoders: Sequence[Encoder] = encoders_of(parts, work.collection, work.index)
            with pieces(work, claim, fresh=True) as some:
                course = work.course(claim.asset)
                for decoded in some:
                    segments = _among(needed, complete(course, decoded).segments)
                    with work.tally.timed("encode"):
                        points = points_of(work.index, encoders, [(claim, segments)], work.known)
                    self._upsert(points)
                    made += len(points)
                    if not parts.catalogue.renew([claim], parts.settings.lease):
                        return {}  # it changed: whoever comes for it writes over this
        except (Refused, Defect) as fault:
            parts.store.forget(work.index, {claim.asset.id: None})
            work.failed(claim, fault)
            return {}
        return self._counted({claim: self._carried(claim, source, needed)}, {claim: made})

    def _carried(self, claim: Claim, source: dict[AssetId, list[Stored]], without: Some[Modality]) -> Points:
        """Points of the old index as those of the new: the same vectors, and what its fields say."""
        index, spoken = self.work.index, spoken_by(self.work.index.spaces)
        kept = [
            point
            for point in source.get(claim.asset.id, ())
            if (content := Modality(point.payload["content"])) in spoken and content not in without
        ]
        names = {space.fingerprint: space.vector_name for space in self.old.spaces}
        columns: dict[EmbeddingSpace, Column] = {}
        for space in self.change.copied:
            name = names[space.fingerprint]
            rows = [row for row, point in enumerate(kept) if name in point.vectors]
            if rows:
                columns[space] = Column(rows, batched([kept[row].vectors[name] for row in rows]))
        return Points(
            ids=[_id(claim.asset, point) for point in kept],
            payloads=[repainted(index, claim.asset, point) for point in kept],
            columns=columns,
        )

    def _counted(self, carried: dict[Claim, Points], fresh: dict[Claim, int] | None = None) -> dict[Claim, int]:
        """Write what was carried over; points of each, with what was made fresh. None at all is a failure."""
        self._upsert(joined(list(carried.values())))
        counts = {claim: len(points) + (fresh or {}).get(claim, 0) for claim, points in carried.items()}
        for claim, count in counts.items():
            if not count:
                self.work.failed(claim, no_space(self.work.index, claim.asset))
        return {claim: count for claim, count in counts.items() if count}

    def _upsert(self, points: Points) -> None:
        if len(points) and not self.dry:
            with self.work.tally.timed("upsert"):
                self.work.parts.store.upsert(self.work.index, points)


def _of(asset: Asset, point: Stored) -> bool:
    said = point.payload
    return (said["generation"], said["digest"], said["tenant"]) == (asset.generation, asset.digest, asset.tenant)


def _id(asset: Asset, point: Stored) -> UUID:
    source = point.payload.get("source")
    return point_id(asset, point.payload["ordinal"], None if source is None else Reading(source))


def _among(contents: Some[Modality], segments: Sequence[Segment]) -> list[Segment]:
    return [segment for segment in segments if segment.content.modality in contents]


def joined(some: Sequence[Points]) -> Points:
    """Several batches of points as one."""
    rows: defaultdict[EmbeddingSpace, list[int]] = defaultdict(list)
    vectors: defaultdict[EmbeddingSpace, list[Vector]] = defaultdict(list)
    base = 0
    for points in some:
        for space, column in points.columns.items():
            rows[space] += [base + row for row in column.rows]
            vectors[space] += list(column.vectors)
        base += len(points)
    return Points(
        ids=[each for points in some for each in points.ids],
        payloads=[each for points in some for each in points.payloads],
        columns={space: Column(rows[space], batched(vectors[space])) for space in rows},
    )
