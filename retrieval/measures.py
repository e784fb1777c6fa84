"""How good ranked answers are: the field's measures, their intervals, and whether two rankings differ by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import MissingExtra

Qrels = Mapping[str, Mapping[str, int]]  # query to asset to grade; 0: judged and wrong
Run = Mapping[str, Sequence[str]]  # query to assets, best first
Values = dict[str, dict[str, float]]  # measure to query to value

SAMPLES = 1_000  # of a bootstrap
SHUFFLES = 10_000  # of a randomisation test
BLOCK = 1 << 21  # random numbers that are held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean over queries and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What another ranking of the same queries does to a measure. `p`: two-sided, of a paired randomisation test."""

    measure: str
    here: float
    there: float
    difference: float  # there less here
    low: float  # 95 % bootstrap interval of the difference
    high: float
    p: float
    better: int  # queries
    worse: int
    same: int


def names(at: Sequence[int]) -> tuple[str, ...]:
    """What `measured` measures: recall, precision and nDCG at those depths, MRR and MAP, and how much is judged."""
    cut = [f"{name}@{k}" for name in ("nDCG", "R", "P") for k in at]
    return (*cut, "MRR", "MAP", f"Judged@{max(at)}")


def measured(qrels: Qrels, run: Run, at: Sequence[int]) -> Values:
    """Each measure for each query of the judgements, by `ir_measures` (MacAvaney et al. 2022) over trec_eval.

    Who was not answered has 0. An asset is relevant from grade 1 on; nDCG takes the grade as its gain. Raises
    MissingExtra.
    """
    try:
        import ir_measures
        from ir_measures import AP, RR, Judged, P, R, nDCG
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"evaluating needs the package {exc.name}: pip install 'quiver[eval]'") from exc
    wanted = {f"{kind.NAME}@{k}": kind @ k for kind in (nDCG, R, P) for k in at}
    wanted |= {"MRR": RR, "MAP": AP, f"Judged@{max(at)}": Judged @ max(at)}
    out: Values = {name: dict.fromkeys(qrels, 0.0) for name in names(at)}
    if not qrels:
        return out
    said = {str(measure): name for name, measure in wanted.items()}
    grades = {query: dict(held) for query, held in qrels.items() if held}
    # Scores that fall by one: trec_eval orders by them again, and breaks ties by name.
    scored = {query: {asset: float(-rank) for rank, asset in enumerate(run.get(query, ()))} for query in qrels}
    scored = {query: held for query, held in scored.items() if held}
    for one in ir_measures.iter_calc(list(wanted.values()), grades, scored) if grades and scored else ():
        out[said[str(one.measure)]][one.query_id] = float(one.value)
    return out


def figure(values: Sequence[float], *, seed: int, samples: int = SAMPLES) -> Figure:
    """The mean and its percentile bootstrap interval (Efron 1979), the same for the same seed."""
    held = np.asarray(values, np.float64)
    means = _resampled(held, seed, samples)
    low, high = np.percentile(means, [2.5, 97.5])
    return Figure(mean=float(held.mean()), low=float(low), high=float(high))


def difference(measure: str, here: Sequence[float], there: Sequence[float], *, seed: int) -> Difference:
    """Two rankings of the same queries, in order.

    The paired randomisation test, which Smucker, Allan and Carterette (2007) found to be the one to use of retrieval:
    were the two alike, each query's difference could as well have the other sign.
    """
    one, other = np.asarray(here, np.float64), np.asarray(there, np.float64)
    change = other - one
    low, high = np.percentile(_resampled(change, seed, SAMPLES), [2.5, 97.5])
    return Difference(
        measure=measure,
        here=float(one.mean()),
        there=float(other.mean()),
        difference=float(change.mean()),
        low=float(low),
        high=float(high),
        p=_chance(change, seed),
        better=int((change > 0).sum()),
        worse=int((change < 0).sum()),
        same=int((change == 0).sum()),
    )


def _resampled(held: NDArray[np.float64], seed: int, samples: int) -> NDArray[np.float64]:
    rng, step = np.random.default_rng(seed), max(1, BLOCK // len(held))
    return np.concatenate(
        [
            held[rng.integers(0, len(held), (min(step, samples - at), len(held)))].mean(axis=1)
            for at in range(0, samples, step)
        ]
    )


def _chance(change: NDArray[np.float64], seed: int) -> float:
    moved = change[change != 0]  # who did not change stays so under either sign
    if not len(moved):
        return 1.0
    rng, step = np.random.default_rng(seed), max(1, BLOCK // len(moved))
    seen = abs(moved.sum()) - 1e-12
    extreme = 0
    for at in range(0, SHUFFLES, step):
        signs = rng.integers(0, 2, (min(step, SHUFFLES - at), len(moved)), np.int8) * 2 - 1
        extreme += int((np.abs(signs @ moved) >= seen).sum())
    return (extreme + 1) / (SHUFFLES + 1)  # what was seen is one of the ways, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far a space keeps queries and content of two modalities apart (Liang et al. 2022, "Mind the Gap")."""

    pairs: int
    distance: float  # between the centroids of the two; 0 to 2
    paired: float  # mean cosine of a query and what is relevant to it
    unpaired: float  # mean cosine of a query and what is relevant to another


def apart(asked: NDArray[np.float32], content: NDArray[np.float32]) -> Apart:
    """Rows of unit length, f32 (n, dim) each; row i of one belongs to row i of the other."""
    count = len(asked)
    cosines = asked @ content.T
    own = float(np.trace(cosines))
    others = (float(cosines.sum()) - own) / (count * (count - 1)) if count > 1 else 0.0
    far = float(np.linalg.norm(asked.mean(axis=0) - content.mean(axis=0)))
    return Apart(pairs=count, distance=far, paired=own / count, unpaired=others)
