"""What a receipt of an erasure says: enough to prove it, and nothing else of what was erased."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from core.erasing import Erasing, Target
from core.runtime.wiring import Parts
from core.types import Tenant
from workers.collections import label_of, mark
from workers.erasure_points import Held
from workers.erasure_traces import Swept

VERSION = 1
ERASED, TRACES = "erased", "no asset was there; what named it was erased"
NOTHING = "nothing was there to erase"
FILES = "deleted; what was written of them may lie in the files of the index until its store rewrites those"


def receipt_of(parts: Parts, erasing: Erasing, held: Sequence[Held], swept: Swept, *, resumed: bool) -> dict[str, Any]:
    """JSON without floats. A name is in it as SHA-256(salt + name): who knows the name can tell that it was meant."""
    salt = secrets.token_hex(16)
    unchecked = [said for each in held for said in _unchecked(each, erasing.tenant)]
    traces = {
        "manifests": swept.manifests,
        "jobs_ended": swept.jobs_ended,
        "refusals": swept.traces.refusals,
        "recorded_queries": swept.traces.queries,
        "verdicts": swept.traces.verdicts,
        "replies": swept.traces.replies,
        "ledger_rows": swept.ledger,
    }
    return {
        "version": VERSION,
        "erasure": str(erasing.id),
        **erasing.asked,
        "whole": erasing.whole,
        "own": label_of(erasing.collection) != erasing.collection,  # by the tenant that made it
        "begun_at": erasing.begun_at.astimezone(UTC).isoformat(),
        "ended_at": datetime.now(UTC).isoformat(),
        "resumed": resumed,
        "salt": salt,
        "assets": [_asset(parts, target, salt) for target in erasing.targets],
        "names": [salted(salt, name) for name in erasing.names],
        "indexes": [_index(each, erasing.tenant) for each in held if each.listed or each.points],
        "traces": traces,
        "outcome": ERASED if erasing.targets else TRACES if any(traces.values()) else NOTHING,
        "verified": not unchecked,
        "unchecked": unchecked,
    }


def salted(salt: str, name: str) -> str:
    """What stands for an external id."""
    return hashlib.sha256(f"{salt}{name}".encode("utf-8", "surrogatepass")).hexdigest()


def _asset(parts: Parts, target: Target, salt: str) -> dict[str, Any]:
    used = parts.catalogue.uses(target.digest)
    return {
        "asset": str(target.asset),
        "generation": target.generation,
        "digest": target.digest,
        "name": salted(salt, target.external_id) if target.external_id else "",
        "bytes": "kept: something else has the same" if used else _bytes(parts, target),
    }


def _bytes(parts: Parts, target: Target) -> str:
    return "still there: somebody sent the same anew" if parts.blobs.has(target.digest) else "erased"


def _name(each: Held, tenant: Tenant) -> str:
    """An index as people may see it."""
    return each.index.id.replace(mark(tenant), "")


def _index(each: Held, tenant: Tenant) -> dict[str, Any]:
    return {
        "index": _name(each, tenant),
        "listed": each.listed,
        "state": str(each.index.state) if each.listed else "unknown",
        "points": len(each.points),
        "looked_for": {"ids": len(each.points), "vectors": len(each.probes)},
        "found": len(each.still),
        "files": FILES if each.points else "",
    }


def _unchecked(each: Held, tenant: Tenant) -> list[str]:
    if not each.points or each.probes:
        return []
    if not each.listed:
        return [f"{_name(each, tenant)}: not searched by vector, for the catalogue no longer knows its spaces"]
    return [f"{_name(each, tenant)}: not searched by vector, for the vectors were gone before they could be taken"]
