"""JSON of the server as the words that the facade answers with."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.desk import Job, Refusal
from core.fields import FieldType
from core.records import Failure, Outcome, State
from core.types import Asset, AssetId, Digest, JobId, Modality, Reading, Span, Tenant
from quiver.reports import Added, AssetState, AssetView, CollectionStatus, JobStatus, ModelView
from retrieval.regions import Explained, Region
from retrieval.request import Answer, Effect, Hit, Match
from workers.reconcile import Drift, Finding, Kind

Json = Mapping[str, Any]
UNTOLD = Tenant("")  # the server knows it from the key, and does not tell it


def collection(said: Json) -> CollectionStatus:
    """A collection."""
    return CollectionStatus(
        name=said["name"],
        profile=said["profile"],
        fields={name: FieldType(kind) for name, kind in said["fields"].items()},
        reads=frozenset(map(Reading, said["reads"])),
        encoders=said["encoders"],
        counts=_counts(said["counts"]),
    )


def _counts(said: Json) -> dict[State, int]:
    return {state: said.get(state, 0) for state in State}


def _moment(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


def _asset(said: Json) -> Asset:
    return Asset(
        id=AssetId(UUID(said["id"])),
        tenant=UNTOLD,
        collection=said["collection"],
        external_id=said["external_id"],
        modality=Modality(said["modality"]),
        media_type=said["media_type"],
        digest=Digest(said["digest"]),
        size=said["size"],
        metadata=said["metadata"],
        generation=said["generation"],
        created_at=datetime.fromisoformat(said["created_at"]),
    )


def model(said: Json) -> ModelView:
    """A profile."""
    return ModelView(
        name=said["id"],
        model=said["model"],
        embeds=frozenset(map(Modality, said["embeds"])),
        about=said["about"],
        here=said["here"],
        megabytes=said["megabytes"],
    )


def asset(said: Json) -> AssetState:
    """An asset and its state."""
    return AssetState(asset=_asset(said), state=State(said["state"]))


def view(said: Json) -> AssetView:
    """An asset with its failure."""
    failed = said["failure"]
    return AssetView(
        asset=_asset(said),
        state=State(said["state"]),
        failure=failure(failed, said["collection"]) if failed else None,
        path=None,
    )


def failure(said: Json, label: str) -> Failure:
    """Why an asset has no points."""
    return Failure(
        asset_id=AssetId(UUID(said["asset"])),
        external_id=said["external_id"],
        collection=label,
        tenant=UNTOLD,
        kind=said["kind"],
        message=said["message"],
        attempts=said["attempts"],
        at=datetime.fromisoformat(said["at"]),
        retry_at=_moment(said["retry_at"]),
    )


def added(said: Json) -> Added:
    """An asset that was taken in."""
    return Added(id=AssetId(UUID(said["id"])), external_id=said["external_id"], outcome=Outcome(said["outcome"]))


def job(said: Json) -> JobStatus:
    """A bulk job. What the server keeps to itself, the manifest's digest, is empty."""
    return JobStatus(
        job=Job(
            id=JobId(UUID(said["id"])),
            tenant=UNTOLD,
            collection=said["collection"],
            digest=Digest(""),
            lines=said["lines"],
            fetches=False,
            created_at=datetime.fromisoformat(said["created_at"]),
            finished_at=_moment(said["finished_at"]),
            error=said["error"],
        ),
        counts=_counts(said["counts"]),
        refused=said["refused"],
        refusals=tuple(refusal(one) for one in said["refusals"]),
        oldest=timedelta(seconds=said["oldest_seconds"]),
    )


def refusal(said: Json) -> Refusal:
    """A refused line."""
    return Refusal(line=said["line"] or 0, name=said["name"], kind=said["kind"], message=said["message"])


def answer(said: Json) -> Answer:
    """Hits."""
    return Answer(
        hits=tuple(_hit(one) for one in said["hits"]),
        encoders=said["encoders"],
        seconds=said["seconds"],
        partial=tuple(said["partial"]),
        query=UUID(said["query"]) if said["query"] else None,
        notes=tuple(said["notes"]),
    )


def _hit(said: Json) -> Hit:
    return Hit(
        asset=AssetId(UUID(said["asset"])),
        external_id=said["external_id"],
        modality=Modality(said["modality"]),
        media_type=said["media_type"],
        digest=Digest(said["digest"]),
        metadata=said["metadata"],
        score=said["score"],
        matches=tuple(map(_match, said["matches"])),
        relevance=said["relevance"],
        effects=tuple(Effect(**one) for one in said["effects"]),
    )


def _match(said: Json) -> Match:
    return Match(
        space=said["space"],
        content=Modality(said["content"]),
        score=said["score"],
        probability=said["probability"],
        rank=said["rank"],
        ordinal=said["ordinal"],
        source=None if said["source"] is None else Reading(said["source"]),
        span=Span(**said["span"]) if said["span"] else None,
        text=said["text"],
    )


def explained(said: Json) -> Explained:
    """Why a query finds an asset."""
    region = said["region"]
    return Explained(
        asset=UUID(said["asset"]),
        external_id=said["external_id"],
        modality=Modality(said["modality"]),
        matches=tuple(map(_match, said["matches"])),
        region=None
        if region is None
        else Region(
            **{
                **region,
                "drops": tuple(map(tuple, region["drops"])),
                "box": None if region["box"] is None else tuple(region["box"]),
            }
        ),
        picture=None if said["picture"] is None else base64.b64decode(said["picture"]),
    )


def drift(said: Json) -> Drift:
    """What a reconciliation found."""
    made = Drift(points=said["points"], receipts=said["receipts"], repaired=said["repaired"])
    made.counts.update({Kind(kind): count for kind, count in said["counts"].items()})
    for one in said["findings"]:
        kinds = tuple(Kind(kind) for kind in one["kinds"])
        made.findings.append(Finding("", AssetId(UUID(one["asset"])), one["external_id"], kinds))
    return made
