"""Recommendations of a server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core import errors
from core.errors import BadQuery, Refused
from core.filters import Filter
from quiver.recommending import Feed
from quiver.remote import reading
from quiver.remote.asking import Asking, place_of
from quiver.remote.questions import FILES, stream_of, vector_said
from quiver.wishes import NAMES, ExampleSaid, listed, wish_of
from retrieval.filter_json import write
from retrieval.recommendation import Because, Recommendation, Recommended
from retrieval.seen import seen_keys

AT_ONCE = 64  # people in one request
EXAMPLES = ("positives", "negatives", "history")


class Recommending(Asking):
    """Recommendations."""

    def recommend(
        self,
        collection: str,
        positives: Sequence[ExampleSaid] = (),
        negatives: Sequence[ExampleSaid] = (),
        **more: Any,
    ) -> Recommendation:
        """As `Quiver.recommend`; what was seen goes along in the request, of which a server takes 16 MiB."""
        said = {"positives": positives, "negatives": negatives, **more}
        if unknown := sorted(said.keys() - NAMES):
            raise TypeError(f"recommend() got an unexpected keyword argument {unknown[0]!r}")
        wish_of(said)  # of the right types, before anything of it is sent
        return _recommendation(self._wire.post(place_of(collection, "recommend"), _body(said)))

    def recommend_many(self, collection: str, users: Iterable[Mapping[str, Any]], **defaults: Any) -> Iterator[Feed]:
        """As `Quiver.recommend_many`."""
        wish_of(defaults)
        self.status(collection)  # one that is not there is told at once
        return self._feeds(collection, users, _body(defaults))

    def _feeds(
        self, collection: str, users: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any]
    ) -> Iterator[Feed]:
        waiting: list[tuple[int, Mapping[str, Any] | Refused, str]] = []
        for number, said in enumerate(users, start=1):
            waiting.append((number, *_person(said)))
            if len(waiting) >= AT_ONCE:
                yield from self._fed(collection, waiting, defaults)
                waiting = []
        yield from self._fed(collection, waiting, defaults)

    def _fed(
        self,
        collection: str,
        waiting: Sequence[tuple[int, Mapping[str, Any] | Refused, str]],
        defaults: Mapping[str, Any],
    ) -> Iterator[Feed]:
        asked = [said for _, said, _ in waiting if not isinstance(said, Refused)]
        answers: Iterator[dict[str, Any]] = iter(())
        if asked:
            body = {"users": asked, "defaults": defaults}
            answer = self._wire.ask("POST", place_of(collection, "recommend/batch"), json=body)
            answers = (json.loads(line) for line in answer.text.splitlines() if line)
        for number, said, user in waiting:
            if isinstance(said, Refused):
                yield Feed(number=number, user=user, recommendation=None, fault=said)
                continue
            made = next(answers)
            problem = made.get("problem")
            fault = _fault(problem) if problem else None
            if fault is not None and "number" not in made:
                raise fault
            got = None if problem else _recommendation(made["recommendation"])
            yield Feed(
                number=number, user=user, recommendation=got, fault=fault if isinstance(fault, Refused) else None
            )


def _person(said: Mapping[str, Any]) -> tuple[Mapping[str, Any] | Refused, str]:
    user = str(said.get("user", ""))
    named = {name: value for name, value in said.items() if name != "user"}
    try:
        wish_of(named)
        if not user:
            raise BadQuery("it names no `user`")  # told as any other fault of this person
        return {"user": user, **_body(named)}, user
    except Refused as fault:
        return fault, user


def _body(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the server's `RecommendQuery` reads."""
    body = {name: value for name, value in said.items() if value is not None}
    for name in EXAMPLES:
        if name in body:
            body[name] = [_example(one) for one in body[name]]
    if "seen" in body:
        body["seen"] = sorted(seen_keys(listed(body["seen"])))
    if isinstance(body.get("where"), Filter):
        body["where"] = write(body["where"])
    if "modality" in body:
        one = body["modality"]
        body["modality"] = [str(one)] if isinstance(one, str) else [str(each) for each in one]
    for name in ("half_life", "freshness"):
        if name in body:
            body[name] = _span(body[name]) if name == "half_life" else _freshness(body[name])
    body["rerank"] = [spec if isinstance(spec, str) else dict(spec) for spec in body.get("rerank", ())]
    return body


def _span(said: Any) -> Any:
    if isinstance(said, timedelta):
        return f"{said.total_seconds()}s"
    return said if isinstance(said, str) else f"{said}s"


def _freshness(said: Any) -> Any:
    if isinstance(said, str):
        name, _, span = said.partition(":")
        return {"field": name, "half_life": span}
    return {**said, "half_life": _span(said["half_life"])}


def _example(said: Any) -> Any:
    if isinstance(said, (str, UUID)):
        return str(said)
    if not isinstance(said, Mapping):
        names = ("like", "weight", "when")
        said = dict(zip(names, said, strict=False))
    made = dict(said)
    for name in FILES:
        if made.get(name) is not None:
            with stream_of(made[name]) as (source, _):
                made[name] = base64.b64encode(source.read()).decode()
    if made.get("like") is not None:
        made["like"] = str(made["like"])
    if made.get("vector") is not None:
        made["vector"] = vector_said(made["vector"])
    if isinstance(made.get("when"), datetime):
        made["when"] = made["when"].isoformat()
    return made


def _recommendation(said: Mapping[str, Any]) -> Recommendation:
    untold: dict[str, Any] = {"encoders": {}, "seconds": {}, "partial": [], "query": None, "notes": []}
    hits = reading.answer({"hits": [one["hit"] for one in said["items"]], **untold}).hits
    return Recommendation(
        items=tuple(
            Recommended(
                hit=hit,
                because=Because(**one["because"]) if one["because"] else None,
                freshness=one["freshness"],
                fallback=one["fallback"],
            )
            for hit, one in zip(hits, said["items"], strict=True)
        ),
        unknown=tuple(said["unknown"]),
        pending=tuple(said["pending"]),
        fallback=said["fallback"],
        page=said["page"],
        partial=tuple(said["partial"]),
        encoders=said["encoders"],
        seconds=said["seconds"],
        notes=tuple(said["notes"]),
    )


def _fault(said: Mapping[str, str]) -> errors.Fault:
    kind = getattr(errors, said["kind"], errors.Fault)
    made: errors.Fault = kind(said["detail"])
    return made
