"""Contact sheets: the hits of searches as one HTML file with its pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape

from core.types import Modality
from retrieval.request import Answer, Hit

Shows = Callable[[Hit], bytes | None]

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c1e21;background:#fff}
h1{font-size:1.35rem}h2{font-size:1.05rem;margin:2rem 0 .6rem}
.hits{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:.8rem}
figure{margin:0;border:1px solid #dde1e6;border-radius:8px;overflow:hidden;display:flex;flex-direction:column}
img,blockquote{width:100%;height:150px;object-fit:cover;margin:0;box-sizing:border-box;background:#f3f4f6}
blockquote{padding:.7rem;overflow:hidden;font-size:.9rem}
figcaption{padding:.45rem .6rem;font-size:.8rem;overflow-wrap:anywhere}
small{color:#667080}
@media(prefers-color-scheme:dark){body{color:#e4e6ea;background:#16181c}figure{border-color:#333943}
img,blockquote{background:#22262d}small{color:#98a2b3}}
"""


def contact_sheet(title: str, searches: Sequence[tuple[str, Answer]], picture: Shows) -> str:
    """One HTML page. `picture` gives a JPEG of a hit that is an image or a film; texts are quoted."""
    parts = [_section(question, answer, picture) for question, answer in searches]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f"<h1>{escape(title)}</h1>{''.join(parts)}"
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n'


def _section(question: str, answer: Answer, picture: Shows) -> str:
    said = "; ".join(f"{space} by {model}" for space, model in answer.encoders.items())
    figures = "".join(_figure(rank, hit, picture) for rank, hit in enumerate(answer.hits, start=1))
    nothing = "<p>Nothing was found.</p>"
    return f'<h2>{escape(question)}</h2><div class="hits">{figures or nothing}</div><small>{escape(said)}</small>'


def _figure(rank: int, hit: Hit, picture: Shows) -> str:
    name = escape(hit.external_id)
    seen = picture(hit) if hit.modality in {Modality.IMAGE, Modality.VIDEO} else None
    if seen is not None:
        shown = f'<img alt="{name}" src="data:image/jpeg;base64,{base64.b64encode(seen).decode()}">'
    else:
        shown = f"<blockquote>{escape(hit.text or '')}</blockquote>"
    said = " · ".join(filter(None, [moment(hit), f"score {hit.score:.4f}"]))
    return f"<figure>{shown}<figcaption>{rank}. {name}<br><small>{said}</small></figcaption></figure>"


def moment(hit: Hit) -> str:
    """When the best match is, as 1:02:03–1:02:08; empty for what has no time."""
    timed = [match for match in hit.matches if match.span is not None and match.span.unit == "second"]
    span = min(timed, key=lambda match: match.rank).span if timed else None
    return f"{_clock(span.start)}–{_clock(span.end)}" if span is not None else ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
