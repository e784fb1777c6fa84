"""Means with bootstrap intervals, and the page they are written on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
SEED = 11

Interval = tuple[float, float, float]  # mean, and the 2.5th and 97.5th percentile of resampled means


class Row(NamedTuple):
    """A line of a table."""

    name: str
    values: Mapping[str, Interval]


def bootstrap(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval over resampled queries (Efron's percentile method)."""
    held = np.asarray(values, np.float64)
    drawn = np.random.default_rng(SEED).integers(0, len(held), (RESAMPLES, len(held)))
    low, high = np.percentile(held[drawn].mean(axis=1), [2.5, 97.5])
    return float(held.mean()), float(low), float(high)


def interval(values: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Each measure with its interval."""
    return {name: bootstrap(held) for name, held in values.items()}


def table(rows: Sequence[Row]) -> str:
    """As Markdown, hundredths, the interval in brackets."""
    names = list(rows[0].values)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        cells = [f"{mean:.3f} [{low:.2f}, {high:.2f}]" for mean, low, high in (row.values[name] for name in names)]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


HEAD = """# Search quality

Written by `make eval` (`python -m benchmarks.quality`); do not edit. It ingests {photos} real photos through
`quiver.Quiver` and searches them by words, in the profile `packaged`, with no metadata unless it is said: no caption,
file name or folder is seen by the search.

- **Photos.** Cut-outs from Debian's `tuxpaint-stamps-default` and natural photos from `gcompris-qt-data`, downloaded
  when the program runs and never committed. Drawings are left out by their folder and their number of colours.
- **Categories.** `benchmarks/queries/categories.tsv`: written by hand in English and Chinese before these encoders were
  run on them, in a tuning part ({tuning}) and a test part. No photo is relevant in both.
- **Chosen on the tuning part**: squashing pictures and one view of each, both temperatures, the 30 likeliest classes,
  probabilities instead of their roots, which words the concept lexicon keeps, equal fusion weights, how labels are
  said, dropping articles and how far queries are expanded (these three and the 30 on the captions of tuning photos
  too). The image means are of the {tuned} tuning photos. The tables are of test queries among all photos, the tuning
  ones as distractors.
- **Not chosen here**: that pictures are placed by labels with definitions, and the sparse channel, come from earlier
  trials on the same photos with other queries for many of the same categories. So the test is one of constants; for
  the design it is a little kind.
- **Captions.** Right are all photos that bear the caption; "held out" leaves out those of tuning photos. Many Chinese
  ones are wrong in the source ("A bear." is 梨, a pear). File names stand in for English ones in the second set.
- **Like this photo.** Right are the others of its folder (cut-outs) or of its folder and name (natural photos).
- **Relevance** ([docs/calibration.md](calibration.md)) is fitted to the collection, without judgements unless it is
  said: then to those of the tuning queries. "Where it is not there": the same query with all that is right left out of
  the search. Photos of the same class are all that is right for a photo: others that are like it count as wrong.
- **Together**: the English captions are added as texts, and right are the photos of a category and their captions. "As
  one index" orders texts and photos by the cosine in the space that holds both.
- **Step by step.** The test categories to photos, photos to captions, photos to others of their class. A cross-encoder
  needs something to read: for this table each photo has its English caption as metadata, which no space embeds; where
  captions are "found too", the collection reads them (`--read caption`). The packaged cross-encoder reads English and
  leaves queries in other scripts in their order, and a query that is a photo has no words.
- **Text to audio is not measured**: no encoder that comes in a package embeds both words and sounds. A CLAP of the hub
  does (`quiver evaluate` measures it on your own sounds).
- What is done unasked is named **Quiver**. Other ways of fusion, and every reranker, are off unless they are asked for.
- Brackets hold 95 % bootstrap intervals over queries. RRF is k = 60, weights 1. Measures by `ir_measures`; `Success@k`:
  any right one in the first k; `R@10`: share of the right ones, under 1 where more than ten are right. Ties are broken
  by ids, which are random: figures move by up to 0.005 between runs.

Encoders: {encoders}.
"""

TAIL = """
## What is not found

Test categories with nDCG@10 under 0.1.

{weak}

Nouns in or near the thousand classes of ImageNet are found, others hardly; people, actions, counts and relations are
not understood. It is concept search, not the quality of CLIP.
"""


def page(
    tables: Sequence[tuple[str, Sequence[Row]]],
    *,
    counts: Mapping[str, int],
    encoders: Mapping[str, str],
    weak: Mapping[str, Sequence[str]],
    relevance: str,
    steps: str,
) -> str:
    """The whole page. `counts` are of photos, tuned photos and tuning queries; `weak` are queries by language;
    `relevance` and `steps` are the parts on these."""
    said = "; ".join(f"`{space}` {model}" for space, model in encoders.items())
    missed = "\n".join(f"- {name}: {', '.join(queries) or 'none'}." for name, queries in weak.items())
    parts = [HEAD.format(**counts, encoders=said), steps]
    parts += [f"\n## {name}\n\n{table(rows)}\n" for name, rows in tables]
    return "".join(parts) + relevance + TAIL.format(weak=missed)
