"""The table of what each side took and found."""

from __future__ import annotations

from typing import Any


def beside_table(said: dict[str, Any]) -> str:
    """As Markdown: p50, p99 and recall of each filter."""
    labels = list(next(iter(said["sides"].values()), {}))
    lines = ["| | " + " | ".join(f"{label}: p50, p99, recall@10" for label in labels) + " | written in |"]
    lines.append("|---" * (len(labels) + 2) + "|")
    for name, held in said["sides"].items():
        cells = [f"{one['p50_ms']:.1f} ms, {one['p99_ms']:.1f} ms, {one['recall']:.3f}" for one in held.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {said['write_seconds'][name]:.0f} s |")
    lines += [f"| {name} | not measured: {why} |" + " |" * len(labels) for name, why in said["failed"].items()]
    return "\n".join(lines) + "\n"
