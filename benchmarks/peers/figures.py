"""What the rounds of all sides come to."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OURS = "Quiver"


def rates(rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """By side: photos a second and cores that others used, medians over rounds, and the median over rounds of how many
    times as fast ours was in the same round."""
    ours = rounds.get(OURS, ())
    out = {}
    for name, took in rounds.items():
        out[name] = {
            "per_s": statistics.median(one["per_s"] for one in took),
            "cores_of_others": statistics.median(one["cores_of_others"] for one in took),
        }
        both = [our["per_s"] / one["per_s"] for our, one in zip(ours, took, strict=False)]
        if both:
            out[name]["ours_is_times"] = statistics.median(both)
    return out


def latencies(rounds: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, dict[str, float]]:
    """By side: p50 and p99 of all searches, in milliseconds, and how many times ours the p50 is."""
    out = {}
    for name, took in rounds.items():
        p50, p99 = np.percentile([1000 * seconds for one in took for seconds in one], [50, 99])
        out[name] = {"p50_ms": float(p50), "p99_ms": float(p99)}
    if OURS in out:
        for said in out.values():
            said["times_ours"] = said["p50_ms"] / out[OURS]["p50_ms"]
    return out


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two vectors."""
    a, b = np.asarray(one), np.asarray(other)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def ingest_rows(said: Mapping[str, Any]) -> str:
    """Every side that was asked for as a row of a table, also one that could not be installed or failed."""
    lines = ["| | photos/s | ours is | cores of others | cosine to ours |", "|---|---|---|---|---|"]
    for name, side in said["sides"].items():
        if (figures := said["ingest"].get(name)) is None or name in said["failed"]:
            lines.append(f"| {name} | not measured: {_cell(said['failed'].get(name, 'no round'))} | | | |")
            continue
        times = f"{figures['ours_is_times']:.2f} x" if "ours_is_times" in figures else ""
        alike = f"{side['cosine']:.4f}" if "cosine" in side else ""
        lines.append(f"| {name} | {figures['per_s']:.1f} | {times} | {figures['cores_of_others']:.2f} | {alike} |")
    return "\n".join(lines) + "\n"


def search_rows(said: Mapping[str, Any]) -> str:
    """Those that were searched, and those that failed at it."""
    lines = ["| | p50 | p99 | p50 over ours |", "|---|---|---|---|"]
    for name in said["searched"]:
        if (figures := said["search"].get(name)) is None or name in said["unsearched"]:
            lines.append(f"| {name} | not measured: {_cell(said['unsearched'].get(name, 'no round'))} | | |")
            continue
        times = f"{figures['times_ours']:.1f} x" if "times_ours" in figures else ""
        lines.append(f"| {name} | {figures['p50_ms']:.1f} ms | {figures['p99_ms']:.1f} ms | {times} |")
    return "\n".join(lines) + "\n"


def install_rows(said: Mapping[str, Any]) -> str:
    """Which versions, and what their environments took."""
    lines = ["| | versions | environment |", "|---|---|---|"]
    for name, side in said["sides"].items():
        versions = ", ".join(f"{package} {number}" for package, number in side.get("versions", {}).items())
        took = f"{side['bytes'] / 2**30:.1f} GiB, {side['install_seconds']:.0f} s" if "bytes" in side else ""
        lines.append(f"| {name} | {versions} | {took} |")
    return "\n".join(lines) + "\n"


def _cell(reason: str) -> str:
    """A line that does not end the cell it stands in."""
    return reason.replace("|", "/").replace("\n", " ")
