"""Why a query finds an asset: its nearest segments, and of a picture the region, by covering a part at a time."""

from __future__ import annotations

from dataclasses import replace

from core.errors import BadQuery, NoSuchCollection
from core.ports import Encoder
from core.records import Collection
from core.runtime.wiring import Parts
from core.spaces import EmbeddingSpace
from core.types import Asset, Modality
from ingest.decode.overlay import overlay
from retrieval.asked import embedding, vectors_of
from retrieval.hits import match_of
from retrieval.lists import wanted
from retrieval.regions import LEAST_GRID, MOST_GRID, Explained, occlusion
from retrieval.request import SearchRequest
from retrieval.rerank.rescoring import nearest_segment
from workers.decoding import picture

LEAST = 320  # pixels of the longer side, for who looks at it


def explain(
    parts: Parts, kept: Collection, asset: Asset, request: SearchRequest, *, space: str | None, grid: int
) -> Explained:
    """`grid`: cells that a picture is divided into, each way. `space`: the one whose score is looked at; the first that
    compares the query with pictures when none is named. Raises BadQuery, NoSpaceFor, and what a bad file raises."""
    if not LEAST_GRID <= grid <= MOST_GRID:
        raise BadQuery(f"a grid of {grid} cells each way: give {LEAST_GRID} to {MOST_GRID}")
    index = parts.catalogue.serving(kept.name)

    def encoder_of(which: EmbeddingSpace) -> Encoder:
        return parts.encoders.of_space(kept.profile, which)

    vectors, _ = vectors_of(request, index, parts.catalogue, parts.store, embedding([request.query], encoder_of))
    every = wanted(request, index, vectors)
    lists = [(each, content) for each, content in every if space in (None, each.space.name)]
    if not lists:
        known = ", ".join(dict.fromkeys(each.space.name for each, _ in every))
        raise BadQuery(f"no space {space!r} compares the query with {asset.external_id!r}; there is: {known}")
    try:
        points = parts.store.of_assets(index, [asset.id])
    except NoSuchCollection:  # nothing is indexed yet
        points = []
    newest = [point for point in points if point.payload["generation"] == asset.generation]
    found = [
        match_of(each.space, content, point, 1, None)
        for each, content in lists
        if (point := nearest_segment(each, content, newest)) is not None
    ]
    made = Explained(asset=asset.id, external_id=asset.external_id, modality=asset.modality, matches=tuple(found))
    seen = [each for each, content in lists if content is Modality.IMAGE and not each.space.sparse]
    if asset.modality is not Modality.IMAGE or not seen:
        return made
    encoder = encoder_of(seen[0].space)
    with parts.blobs.open(asset.digest) as source:
        image = picture(parts, source, media_type=asset.media_type, side=max(encoder.wants.pixels, LEAST))
    region = occlusion(encoder, seen[0].vector, image, grid)
    heat = region.drops if region.box else ()  # else the largest of nothings would be the reddest
    return replace(made, region=region, picture=overlay(image, heat, region.box))
