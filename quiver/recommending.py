"""Recommending: what is near what somebody liked and was not seen, for one person or for many."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from core.errors import BadQuery, NoSuchPath, Refused
from core.records import Collection
from core.types import Modality
from quiver.arguments import number_of
from quiver.asking import Asking, fusion_of, modalities_of
from quiver.wishes import (
    ExampleSaid,
    Span,
    Wish,
    freshness_of,
    listed,
    span_of,
    strategy_of,
    when_of,
    wish_of,
)
from retrieval.expression import Where, read_where
from retrieval.history import Example
from retrieval.recommendation import Fallback, Recommendation, RecommendRequest
from retrieval.request import InSpace, Like, Single
from retrieval.seen import MOST_SEEN, seen_keys
from retrieval.shares import Value
from workers.recommending import BadLine, Feeds, Made, recommended, row_of, write_feeds
from workers.staging import stages_of

AT_ONCE = 64  # people in one round trip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feed:
    """What is recommended to one of many, or why nothing is; `number` counts people from 1."""

    number: int
    user: str
    recommendation: Recommendation | None
    fault: Refused | None = None


class Recommending(Asking):
    """Recommendations."""

    def recommend(
        self,
        collection: str,
        positives: Sequence[ExampleSaid] = (),
        negatives: Sequence[ExampleSaid] = (),
        *,
        history: Sequence[ExampleSaid] = (),
        seen: Iterable[str | UUID] | Path = (),
        strategy: str = "average",
        half_life: Span | None = None,
        where: Where = None,
        modality: str | Modality | Iterable[str] | None = None,
        limit: int = 10,
        again: bool = False,
        min_score: float | None = None,
        exact: bool = False,
        fusion: str | None = None,
        weights: Mapping[str, float] | None = None,
        rerank: Sequence[str | Mapping[str, Any]] = (),
        budget: float | None = None,
        freshness: str | Mapping[str, Any] | None = None,
        quota: Mapping[str, int] | None = None,
        shares: Mapping[str, Mapping[Value, float]] | None = None,
        fallback: str = "recent",
        page: str | None = None,
        reasons: bool = True,
    ) -> Recommendation:
        """What is near the positives, away from the negatives, and neither among them nor among what was seen.

        An example is an asset (id or external id), or a mapping of one thing, as in a mixture (`{"text": "at night"}`,
        `{"vector": {…}}`), with perhaps `weight` and `when`. `history` is of examples, too, or of (key, weight, when);
        a negative weight is not liked, 0 only seen. Weights halve in every `half_life` (`7d`). `seen`: up to a million
        ids and external ids, as any iterable, or a file of them as a Path; `again` lets examples be recommended.
        `strategy`: average, best or sum. `freshness`: `FIELD:7d`. `quota`: `{"brand": 2}`, of a value so many on a page
        at most; `shares`: `{"kind": {"film": 0.3}}`, at least this part of it. `fallback` is what is shown when no
        example is known: recent, recent:FIELD, popular:FIELD or none. `page` is the token of the page before, with all
        else unchanged. The others are as in `search`.

        Raises NoSuchCollection, BadFilter, BadQuery, NoSpaceFor, and what a bad file raises.
        """
        wish = Wish(
            positives=positives,
            negatives=negatives,
            history=history,
            seen=seen,
            strategy=strategy,
            half_life=half_life,
            where=where,
            modality=modality,
            limit=limit,
            again=again,
            min_score=min_score,
            exact=exact,
            fusion=fusion,
            weights=weights,
            rerank=rerank,
            budget=budget,
            freshness=freshness,
            quota=quota,
            shares=shares,
            fallback=fallback,
            page=page,
            reasons=reasons,
        )
        kept = self._collection(collection)
        [made] = recommended(self._parts, [self._wished(kept, wish)], profile=kept.profile)
        if isinstance(made, Refused):
            raise made
        return made

    def recommend_many(self, collection: str, users: Iterable[Mapping[str, Any]], **defaults: Any) -> Iterator[Feed]:
        """A feed of each person, in order, while they come: `{"user": id, …}` with what `recommend` takes, by name;
        `defaults` are of all who say nothing else. Some dozens are answered at once, and no more are held.

        What is wrong with one is told in its feed. Raises NoSuchCollection, BadQuery for wrong defaults, StoreDown.
        """
        wish_of(defaults)
        kept = self._collection(collection)
        return self._feeds(kept, ((at, said) for at, said in enumerate(users, start=1)), defaults)

    def _feeds(
        self, kept: Collection, users: Iterable[tuple[int, Mapping[str, Any] | Refused]], defaults: Mapping[str, Any]
    ) -> Iterator[Feed]:
        waiting: list[tuple[int, str, RecommendRequest | Refused]] = []
        held = 0
        for number, said in users:
            waiting.append((number, *self._person(kept, said, defaults)))
            last = waiting[-1][2]
            held += 0 if isinstance(last, Refused) else len(last.seen)
            if len(waiting) >= AT_ONCE or held >= MOST_SEEN:
                yield from self._fed(kept, waiting)
                waiting, held = [], 0
        yield from self._fed(kept, waiting)

    def _person(
        self, kept: Collection, said: Any, defaults: Mapping[str, Any]
    ) -> tuple[str, RecommendRequest | Refused]:
        if isinstance(said, Refused):
            return "", said
        if not isinstance(said, Mapping):
            return "", BadQuery("a person is an object, with the name `user`")
        user = said.get("user")
        if not isinstance(user, (str, int, UUID)) or isinstance(user, bool) or user == "":
            return "", BadQuery("it names no `user`")
        try:
            named = {str(name): value for name, value in said.items() if name != "user"}
            return str(user), self._wished(kept, wish_of({**defaults, **named}))
        except Refused as fault:
            return str(user), fault

    def _fed(self, kept: Collection, waiting: Sequence[tuple[int, str, RecommendRequest | Refused]]) -> Iterator[Feed]:
        asked = [request for _, _, request in waiting if not isinstance(request, Refused)]
        answers = iter(recommended(self._parts, asked, profile=kept.profile))
        for number, user, request in waiting:
            made = request if isinstance(request, Refused) else next(answers)
            fault = made if isinstance(made, Refused) else None
            yield Feed(
                number=number,
                user=user,
                recommendation=None if isinstance(made, Refused) else made,
                fault=fault,
            )

    def recommend_to_file(
        self,
        collection: str,
        users: str | Path,
        target: str | Path,
        *,
        on_progress: Callable[[Feeds], None] | None = None,
        **defaults: Any,
    ) -> Feeds:
        """`recommend_many` from a file of JSON lines to one of feeds, .jsonl or .parquet. Stopped at any moment and run
        again, it goes on; the target appears when all is done. Bad lines are told by number and left out.

        Raises as `recommend_many`, NoSuchPath, MissingExtra, BlobsDown.
        """
        wish_of(defaults)
        source = Path(users)
        if not source.is_file():
            raise NoSuchPath(f"there is no file {source}")
        kept = self._collection(collection)

        def make(lines: Iterator[tuple[int, str]]) -> Iterator[Made]:
            people = ((number, _read(line)) for number, line in lines)
            for feed in self._feeds(kept, people, defaults):
                if feed.recommendation is None:
                    fault = feed.fault or BadQuery()
                    yield feed.number, BadLine(line=feed.number, kind=fault.kind, message=str(fault))
                else:
                    yield feed.number, row_of(feed.user, feed.recommendation)

        asked = [kept.name, str(self._tenant), sorted((name, repr(value)) for name, value in defaults.items())]
        return write_feeds(source, Path(target), asked, make, on_progress)

    def _wished(self, kept: Collection, said: Wish) -> RecommendRequest:
        examples = [self._example(kept, one, 1.0) for one in said.positives]
        examples += [self._example(kept, one, -1.0) for one in said.negatives]
        examples += [self._example(kept, one, 1.0) for one in said.history]
        return RecommendRequest(
            tenant=self._tenant,
            collection=kept.name,
            examples=tuple(examples),
            strategy=strategy_of(said.strategy),
            half_life=span_of(said.half_life),
            modalities=modalities_of(said.modality),
            where=read_where(said.where, kept.fields),
            limit=said.limit,
            seen=seen_keys(listed(said.seen)),
            again=said.again,
            min_score=said.min_score,
            exact=said.exact,
            fusion=fusion_of(said.fusion),
            weights=dict(said.weights or {}),
            stages=stages_of(self._parts, kept, said.rerank),
            budget=said.budget,
            freshness=freshness_of(said.freshness),
            quota=dict(said.quota or {}),
            shares={name: dict(each) for name, each in (said.shares or {}).items()},
            fallback=Fallback.of(said.fallback),
            page=said.page,
            reasons=said.reasons,
        )

    def _example(self, kept: Collection, said: Any, sign: float) -> Example:
        if isinstance(said, (str, UUID)):
            return Example(Like(str(said)), str(said), sign)
        if isinstance(said, Mapping):
            weight = number_of(said.get("weight", 1.0), "a weight")
            when = when_of(said.get("when"))
            thing = {name: value for name, value in said.items() if name not in ("weight", "when")}
            if thing.keys() == {"like"} and isinstance(thing["like"], (str, UUID)):
                return Example(Like(str(thing["like"])), str(thing["like"]), sign * weight, when)
            if thing.keys() == {"video"}:
                raise BadQuery("a film is no example: ingest it and give its id")
            [part] = self._mixed(kept, thing)
            return Example(part.what, _name(part.what, thing), sign * weight, when)
        if isinstance(said, Sequence) and 1 <= len(said) <= 3 and isinstance(said[0], (str, UUID)):
            weight = number_of(said[1], "a weight") if len(said) > 1 else 1.0
            moment = when_of(said[2]) if len(said) > 2 else None
            return Example(Like(str(said[0])), str(said[0]), sign * weight, moment)
        raise BadQuery("an example is an id, (id, weight, when), or a mapping as {'text': …, 'weight': …}")


def _name(what: Single, said: Mapping[str, Any]) -> str:
    if isinstance(what, InSpace):
        return f"a vector of {what.space}"
    words = said.get("text")
    return words if isinstance(words, str) else f"a given {next(iter(said))}"


def _read(line: str) -> Mapping[str, Any] | Refused:
    try:
        said = json.loads(line.encode("utf-8", "surrogateescape").decode("utf-8"))
    except ValueError as exc:
        return BadQuery(f"it is not JSON in UTF-8: {exc}")
    return said if isinstance(said, dict) else BadQuery("a person is an object, with the name `user`")
