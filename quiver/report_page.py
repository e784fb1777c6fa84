"""A report of an evaluation as one HTML page: tables, and plots as SVG inside it; nothing is loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape

from retrieval.evaluate import Report, measures_of
from retrieval.measures import Figure

SHOWN = 50  # names of what was left out
WIDTH, BAR, LABEL = 640, 22, 190  # pixels
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c1e21;background:#fff}
h1{font-size:1.35rem}h2{font-size:1.05rem;margin:2rem 0 .6rem}table{border-collapse:collapse;font-size:.85rem}
td,th{padding:.25rem .7rem .25rem 0;text-align:right;border-bottom:1px solid #dde1e6;white-space:nowrap}
td:first-child,th:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere}
div{overflow-x:auto}small,.note{color:#667080}
.warn{border-left:3px solid #c77700;padding-left:.7rem}svg{max-width:100%;height:auto}
svg text{font-size:12px;fill:#1c1e21}
.bar{fill:#4472b8}.mean{stroke:#1c1e21;stroke-width:1.5}.axis{stroke:#aab2bd}
@media(prefers-color-scheme:dark){body{color:#e4e6ea;background:#16181c}td,th{border-color:#333943}
small,.note{color:#98a2b3}svg text{fill:#e4e6ea}.mean{stroke:#e4e6ea}.bar{fill:#6f9be0}}
"""


def report_page(said: Report) -> str:
    """One HTML page."""
    title = f"Evaluation of {said.collection}"
    parts = [_head(said), _left_out(said), _measures(said), _slices(said), _spread(said)]
    parts += [_recall(said), _gaps(said), _comparison(said)]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f"<h1>{escape(title)}</h1>{''.join(parts)}"
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n'


def _head(said: Report) -> str:
    made = "; ".join(f"{space} by {model}" for space, model in said.encoders.items())
    spent = ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in said.seconds.items())
    settings = json.dumps(said.settings, ensure_ascii=False, default=str) if said.settings else "as they are"
    return (
        f"<p>{said.queries:,} queries with {said.judgements:,} judgements; {said.depth} hits of each. "
        f"Brackets and whiskers: 95 % bootstrap intervals over queries, seed {said.seed}.</p>"
        f"<p class=note>Index {escape(said.index or 'of the server')}; settings {escape(settings)}; {escape(made)}. "
        f"Time of a search: {escape(spent)}.</p>"
    )


def _left_out(said: Report) -> str:
    lists: list[tuple[str, Sequence[str]]] = [
        ("lines could not be read", said.refused),
        ("queries were refused and count as not answered", [f"{query}: {why}" for query, why in said.failed]),
        ("judged assets are not there and count as not found", said.unknown),
        ("judged queries were not given", said.unasked),
        (f"queries have no relevant asset and are in no figure; {said.empty} came back empty", said.unjudged),
    ]
    return "".join(
        f'<p class="warn">{len(names):,} {escape(what)}: <small>{escape(", ".join(names[:SHOWN]))}'
        f"{' …' if len(names) > SHOWN else ''}</small></p>"
        for what, names in lists
        if names
    )


def _measures(said: Report) -> str:
    if not said.figures:
        return "<p>Nothing was measured: no query has a relevant asset.</p>"
    rows = [(name, said.figures[name]) for name in measures_of(said)]
    table = _table(["measure", "mean", "95 %"], [[name, f"{f.mean:.3f}", _interval(f)] for name, f in rows])
    return f"<h2>Measures</h2>{_bars(rows)}{table}"


def _slices(said: Report) -> str:
    out = []
    chosen = [name for name in measures_of(said) if name.endswith(f"@{max(said.at)}") or "@" not in name]
    for by in dict.fromkeys(one.by for one in said.slices):
        held = [one for one in said.slices if one.by == by]
        rows = [
            [one.value, f"{one.queries:,}", *(f"{one.figures[m].mean:.3f} {_interval(one.figures[m])}" for m in chosen)]
            for one in held
        ]
        plot = _bars([(f"{one.value} ({one.queries:,})", one.figures[chosen[0]]) for one in held])
        table = _table([by, "queries", *chosen], rows)
        out.append(f"<h2>By {escape(by)}: {chosen[0]}</h2>{plot}{table}")
    return "".join(out)


def _spread(said: Report) -> str:
    """How many queries have what nDCG."""
    name = f"nDCG@{max(said.at)}"
    values = [held[name] for held in said.per_query.values() if name in held]
    if not values:
        return ""
    counts = [0] * 10
    for value in values:
        counts[min(9, int(value * 10))] += 1
    most, width, height = max(counts), WIDTH // 10, 120
    bars = "".join(
        f'<rect class="bar" x="{at * width + 2}" y="{130 - height * count / most:.1f}" width="{width - 4}" '
        f'height="{height * count / most:.1f}"><title>{count} queries</title></rect>'
        f'<text x="{at * width + 2}" y="146">{at / 10:.1f}</text>'
        for at, count in enumerate(counts)
    )
    return f"<h2>Queries by {name}</h2>{_svg(150, bars, f'Queries by {name}')}"


def _recall(said: Report) -> str:
    if not said.recall:
        return ""
    rows = [
        [
            one.where or "no filter",
            "" if one.selectivity is None else f"{one.selectivity:.2%}",
            f"{one.queries:,}",
            f"{one.recall.mean:.4f}",
            _interval(one.recall),
            f"{one.worst:.2f}",
        ]
        for one in said.recall
    ]
    head = ["filter", "leaves", "queries", f"recall@{said.recall[0].at}", "95 %", "worst"]
    return f"<h2>Search through the graph against exact search</h2>{_table(head, rows)}"


def _gaps(said: Report) -> str:
    if not said.gaps:
        return ""
    rows = [
        [
            f"{one.space}: {one.asked} → {one.content}",
            f"{one.apart.pairs:,}",
            f"{one.apart.distance:.3f}",
            f"{one.apart.paired:.3f}",
            f"{one.apart.unpaired:.3f}",
        ]
        for one in said.gaps
    ]
    head = ["space", "pairs", "distance of centroids", "cosine in pairs", "cosine out of pairs"]
    note = "<p class=note>After Liang et al. 2022, “Mind the Gap”.</p>"
    return f"<h2>Modality gap</h2>{_table(head, rows)}{note}"


def _comparison(said: Report) -> str:
    if said.comparison is None:
        return ""
    other = said.comparison
    what = f"{other.collection}, index {other.index or 'of the server'}"
    settings = json.dumps(other.settings, ensure_ascii=False, default=str) if other.settings else "as they are"
    rows = [
        [
            one.measure,
            f"{one.here:.3f}",
            f"{one.there:.3f}",
            f"{one.difference:+.3f}",
            f"[{one.low:+.3f}, {one.high:+.3f}]",
            f"{one.p:.4f}",
            f"{one.better} / {one.worse} / {one.same}",
        ]
        for one in other.differences
    ]
    head = ["measure", "here", "there", "difference", "95 %", "p", "better / worse / same"]
    note = (
        "<p class=note>p: two-sided paired randomisation test (Smucker, Allan and Carterette 2007), not corrected for "
        "several measures: decide on one beforehand.</p>"
    )
    failed = f'<p class="warn">{len(other.failed)} queries were refused there.</p>' if other.failed else ""
    return f"<h2>Against {escape(what)}; settings {escape(settings)}</h2>{failed}{_table(head, rows)}{note}"


def _bars(rows: Sequence[tuple[str, Figure]]) -> str:
    """Means from 0 to 1, with whiskers."""
    scale = WIDTH - LABEL - 60
    out = [f'<line class="axis" x1="{LABEL}" y1="0" x2="{LABEL}" y2="{BAR * len(rows)}"/>']
    for at, (name, one) in enumerate(rows):
        y = at * BAR
        short = name if len(name) <= 28 else name[:27] + "…"
        low, high = LABEL + scale * one.low, LABEL + scale * one.high
        out.append(
            f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(short)}<title>{escape(name)}</title></text>'
            f'<rect class="bar" x="{LABEL}" y="{y + 4}" width="{scale * one.mean:.1f}" height="{BAR - 8}"/>'
            f'<line class="mean" x1="{low:.1f}" y1="{y + BAR / 2}" x2="{high:.1f}" y2="{y + BAR / 2}"/>'
            f'<text x="{high + 8:.1f}" y="{y + 15}">{one.mean:.3f}</text>'
        )
    return _svg(BAR * len(rows) + 4, "".join(out), "Means and intervals")


def _svg(height: int, inside: str, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" aria-label="{escape(label)}">{inside}</svg>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    said = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div><table><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>{said}</table></div>"


def _interval(one: Figure) -> str:
    return f"[{one.low:.3f}, {one.high:.3f}]"
