"""Stages of a search by name: this project's and those of plug-ins (entry-point group quiver.rerankers)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from core.errors import BadModel, BadQuery, Fault, MissingExtra
from core.records import Collection
from core.runtime.wiring import Parts
from retrieval.rerank.cross import Cross, cross
from retrieval.rerank.decay import boost, clock, recency
from retrieval.rerank.diversity import mmr
from retrieval.rerank.late import late
from retrieval.rerank.options import Options
from retrieval.rerank.rescoring import exact
from retrieval.stages import Reranker

GROUP = "quiver.rerankers"
MOST = 16  # stages of one search
Factory = Callable[[Parts, Collection, Mapping[str, Any]], Reranker]  # Raises BadQuery for what it does not know


def _cross(parts: Parts, kept: Collection, said: Mapping[str, Any]) -> Cross:
    """`model`, and what `retrieval.rerank.cross.cross` takes. Raises BadQuery, MissingExtra, BadModel."""
    options = Options("cross-encoder", said)
    model = options.text("model")
    return cross(lambda: parts.cross_encoder(model), kept.fields, options)


BUILT_IN: dict[str, Factory] = {
    "cross-encoder": _cross,
    "boost": lambda _, kept, said: boost(kept.fields, said, now=clock),
    "exact": lambda _, __, said: exact(said),
    "late": lambda parts, kept, said: late(lambda space: parts.encoders.of_space(kept.profile, space), said),
    "mmr": lambda parts, kept, said: mmr([e.space for e in parts.encoders.of_profile(kept.profile)], said),
    "recency": lambda _, kept, said: recency(kept.fields, said, now=clock),
}


def stages_of(parts: Parts, collection: Collection, specs: Sequence[str | Mapping[str, Any]]) -> tuple[Reranker, ...]:
    """`name`, `name:key=value,key=value` or `{"stage": name, key: value}`, in the order in which they run.

    Raises BadQuery, MissingExtra, and what a stage raises.
    """
    if len(specs) > MOST:
        raise BadQuery(f"{len(specs)} stages: give {MOST} at most")
    return tuple(_stage(parts, collection, spec) for spec in specs)


def stage_names() -> list[str]:
    """The stages that can be named."""
    return sorted({*BUILT_IN, *(found.name for found in entry_points(group=GROUP))})


def _stage(parts: Parts, collection: Collection, spec: str | Mapping[str, Any]) -> Reranker:
    name, options = read_stage(spec)
    if name in BUILT_IN:
        return BUILT_IN[name](parts, collection, options)
    for found in entry_points(group=GROUP, name=name):
        with _translated(name, found):
            return _checked(cast(Factory, found.load())(parts, collection, options))
    raise BadQuery(f"there is no stage {name!r}; there is: {', '.join(stage_names()) or 'none'}")


@contextmanager
def _translated(name: str, entry: EntryPoint) -> Iterator[None]:
    """The seam of every plug-in, which is anybody's code; what its stage does later has one in `retrieval.stages`."""
    try:
        yield
    except Fault:
        raise
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"stage {name!r} needs the package {exc.name}: pip install {exc.name}") from exc
    except Exception as exc:
        raise BadModel(
            f"stage {name!r}: its plug-in {entry.value} cannot be used ({type(exc).__name__}: {exc}): mend or update "
            "the package that brings it, or leave the stage out"
        ) from exc


def _checked(made: Reranker) -> Reranker:
    """Raises TypeError for what is no stage."""
    name, depth = getattr(made, "name", None), getattr(made, "depth", None)
    if not isinstance(name, str) or not isinstance(depth, int) or depth < 0 or not callable(made.rerank):
        raise TypeError(f"it makes {type(made).__name__}, which has no name, depth from 0 on, and rerank")
    return made


def read_stage(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of a stage and its options. Raises BadQuery."""
    if not isinstance(spec, str):
        options = dict(spec)
        name = options.pop("stage", None)
        if not isinstance(name, str):
            raise BadQuery(f"{dict(spec)!r} names no stage: write {{'stage': NAME, …}}")
        return name, options
    name, colon, rest = spec.partition(":")
    options = {}
    for pair in rest.split(",") if colon else ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadQuery(f"{spec!r}: write a stage as NAME or NAME:key=value,key=value")
        options[key.strip()] = value.strip()
    return name.strip(), options
