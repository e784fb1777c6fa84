"""`docs/benchmarks.md`, from what the benchmarks wrote beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.beside.table import beside_table
from benchmarks.gpu import section as gpu
from benchmarks.peers.figures import ingest_rows, install_rows, search_rows
from retrieval.selectivity import SCANNED
from retrieval.walks import FIRST

HERE = Path("docs/benchmarks")
PAGE = Path("docs/benchmarks.md")
HEAD = """# Benchmarks

Written by `make bench`, `make bench-long` and `make bench-peers`; do not edit. Each table names the program that
repeats it alone. Ratios are taken in one run, in alternating rounds, as medians: they compare across machines, the
absolute figures do not.
"""


def read(name: str) -> dict[str, Any] | None:
    """What a benchmark wrote, if it was run."""
    path = HERE / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def table(rows: dict[str, object]) -> str:
    """Two columns."""
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def pipeline(said: dict[str, Any]) -> str:
    """The pipeline over its roofline."""
    median = said["median"]
    return f"""
## The pipeline over its roofline

`python -m benchmarks.pipeline`: {said["photos"]} photos (640x480, 1920x1080 and 4000x3000 JPEGs) into Quiver, profile
`packaged`, SQLite and Qdrant Edge, {said["cores"]} cores, {len(said["rounds"])} rounds. The roofline is what decoding
and encoding alone would allow, n / (decode + encode core seconds an image); the pipeline also sniffs, stores,
registers, writes points durably and signs.

""" + table(
        {
            "decode alone": f"{median['decode_per_s']:.1f} images/s",
            "encode alone, three spaces": f"{median['encode_per_s']:.1f} images/s",
            "roofline of both": f"{median['roofline_per_s']:.1f} images/s",
            "**pipeline**": f"**{median['pipeline_per_s']:.1f} images/s, {median['share']:.2f} of the roofline**",
            "cores that others used meanwhile": f"{median['cores_of_others']:.2f}",
        }
    )


def search(said: dict[str, Any]) -> str:
    """A search beside the bare engine call, and where its time goes."""
    p50 = said["p50_ms"]
    rows: dict[str, object] = {name: f"{value:.2f} ms" for name, value in p50.items()}
    return (
        f"""
## A search at {said["points"]:,} points on Qdrant Edge

`python -m benchmarks.search`: 512 dimensions, top 10, p50. The query path is all but the encoder: catalogue, filter,
store, fusion, hits; it asks the store for 50 so that there is something to fuse. Over the bare engine call of as many
hits it takes {said["path_over_bare_same_hits"]:.2f} times as long, the store alone {said["store_over_bare"]:.2f} times.

"""
        + table(rows | {"recall@10 against exact": f"{said['recall_at_10']:.3f}"})
        + _split(said.get("split", {}))
    )


def _split(said: dict[str, Any]) -> str:
    if not said:
        return ""
    head = "| | " + " | ".join(f"{name}: p50 | p99" for name in said) + " |\n" + "|---" * (1 + 2 * len(said)) + "|\n"
    lines = [
        f"| {part} | "
        + " | ".join(f"{each[part]['p50_ms']:.2f} ms | {each[part]['p99_ms']:.2f} ms" for each in said.values())
        + " |\n"
        for part in next(iter(said.values()))
    ]
    return f"""
`Quiver.search` by words over the same points, each part for itself. The packaged text encoder reads each query;
the cross-encoder reads 50 hits. The rest is what is said, the catalogue, the lists and the metrics.

{head}{"".join(lines)}"""


def worker(said: dict[str, Any]) -> str:
    """A Celery worker beside the encoder alone."""
    return f"""
## A Celery worker

`python -m benchmarks.worker`: {said["assets"]:,} small images through a real broker and a real worker.

""" + table(said["table"])


def http(said: dict[str, Any]) -> str:
    """The API under load, and while its worker is killed."""
    steady, killed = said["steady"], said["killed"]
    rows: dict[str, object] = {
        "a search while nothing else is asked, p50": f"{said['alone_ms']:.0f} ms",
        "**requests together**": f"**{steady['per_s']:.0f}/s**",
    }
    for kind, one in sorted(steady["requests"].items()):
        rows[f"{kind}, p50 and p99"] = f"{one['per_s']:.1f}/s, {one['p50_ms']:.0f} ms, {one['p99_ms']:.0f} ms"
    rows["errors"] = f"{steady['errors']} of {sum(one['requests'] for one in steady['requests'].values()):,}"
    rows["longest that an asset waited to be indexed"] = f"{steady['lag']['most_s']:.1f} s"
    for name, at in steady["rss_mib"].items():
        held = f"{at['start']:.0f}, {at['middle']:.0f}, {at['end']:.0f} MiB"
        rows[f"{name}: memory at start, middle and end; cores"] = f"{held}; {steady['cores'][name]:.2f}"
    rows["cores that others used meanwhile"] = f"{steady['cores_of_others']:.2f}"
    rows["**worker killed twice: errors**"] = f"**{killed['errors']}**"
    rows["worker killed twice: requests together"] = f"{killed['per_s']:.0f}/s"
    rows["worker killed twice: longest that an asset waited"] = f"{killed['lag']['most_s']:.0f} s"
    rows["worker killed twice: until all was indexed, after the end"] = f"{killed['lag']['after_s']:.0f} s"
    rows["assets accepted in both; lost, doubled"] = f"{steady['accepted'] + killed['accepted']:,}; {_lost(said)}"
    return f"""
## The HTTP API under load

`python -m benchmarks.http`: `quiver up` with one worker and one process of the API, profile `packaged`, {said["cores"]}
cores, {said["texts"]:,} texts and {said["photos"]} photos of 320x240. {said["clients"]} clients on the same machine ask
again as soon as they were answered, for {steady["seconds"]} s: 80 % searches, a third of them filtered, 15 % texts,
3 % pictures, 2 % status; so the latencies are those of a machine with nothing left to give. Then the same for
{killed["seconds"]} s while the worker is killed twice; what it held is found by the sweep of the clock.

""" + table(rows)


def texts(said: dict[str, Any]) -> str:
    """Batches by length."""
    median, cosine = said["median"], said["least_cosine"]
    rows: dict[str, object] = {}
    for name, tokens in said["padded"].items():
        times = f", {median[f'{name}, times']:.2f} times as many" if f"{name}, times" in median else ""
        rows[name] = f"{median[name]:.1f} texts/s{times}; {tokens:,} tokens with padding"
    return f"""
## Texts in batches of like lengths

`python -m benchmarks.texts`: {said["texts"]} texts of log-normal lengths, {said["tokens"]:,} tokens, through
all-MiniLM-L6-v2 ({said["how"]}) on one thread, {len(said["rounds"])} rounds. By length: shortest first, as many as keep
a batch within 2,048 tokens; of 32, as a lane is given texts, or of all. The rows are the same, cosine {cosine:.5f} at
least.

""" + table(rows | {"cores that others used meanwhile": f"{median['cores_of_others']:.2f}"})


def fidelity(said: dict[str, Any]) -> str:
    """Fast paths beside the reference."""
    head = (
        "| model | computed | least cosine | mean | without the common mean | nearest 10 kept |\n" + "|---" * 6 + "|\n"
    )
    lines = [
        f"| {row['model']} | {row['way']} | {row['cos_min']:.5f} | {row['cos_mean']:.5f} "
        f"| {row['cos_without_mean']:.5f} | {row['kept']:.3f} |\n"
        for row in said["rows"]
    ]
    return f"""
## Fast paths beside the reference

`python -m benchmarks.fidelity`: rows of each way to compute a model beside those of transformers, or of the network as
published, in float32 on pictures that Pillow decoded whole and resized. {said["photos"]} photos, {said["texts"]}
sentences.

{head}{"".join(lines)}"""


def filtered(said: dict[str, Any]) -> str:
    """What filters cost."""
    head = (
        "| vectors | filter | points left | **recall@10** | p50 | how | walk of 128: recall@10 | p50 | scan: p50 |\n"
        + "|---" * 9
        + "|\n"
    )
    lines = [
        f"| {name}, {data['points']:,} | {what} | {row['points']:,} | **{row['recall']:.3f}** | {row['p50_ms']:.2f} ms "
        f"| {row['how']} | {row['walk_recall']:.3f} | {row['walk_p50_ms']:.2f} ms | {row['scan_p50_ms']:.2f} ms |\n"
        for name, data in said["data"].items()
        for what, row in data["filters"].items()
    ]
    return f"""
## Filters

`python -m benchmarks.filtered`: vectors of 512 dimensions in 2,000 clusters and evenly on the sphere, {said["queries"]}
held-out queries each, on Qdrant Edge. Recall is against a scan under the same filter. A walk of 128 is what the engine
does by itself, which scans where a filter leaves fewer than about 5,000. Whether to walk, how far, or to scan is
decided from an estimate and from queries that were answered both ways; deciding takes {said["deciding_p50_ms"]} ms at
p50 without a filter. Others used {said["cores_of_others"]:.2f} of {said["cores"]} cores meanwhile.

{head}{"".join(lines)}"""


def growth(said: dict[str, Any]) -> str:
    """Searching as an index grows."""
    head = (
        "| points | loaded in | of it the graph | opened in | **p50** | **p99** | **recall@10** | scan: p50 "
        "| memory | of it its own | disk |\n" + "|---" * 11 + "|\n"
    )
    lines = [
        f"| {row['points']:,} | {row['loaded_s']:.0f} s | {row['graph_s']:.0f} s | {row['opened_s']:.1f} s "
        f"| **{row['p50_ms']:.2f} ms** | **{row['p99_ms']:.2f} ms** | **{row['recall']:.3f}** "
        f"| {row['exact_p50_ms']:.1f} ms | {row['rss_mib']:,} MiB | {row['own_mib']:,} MiB "
        f"| {row['disk_mib']:,} MiB |\n"
        for row in said["sizes"]
    ]
    scanned = SCANNED // said["dim"]
    return f"""
## Growth on Qdrant Edge

`python -m benchmarks.growth`: vectors of {said["dim"]} dimensions in 2,000 clusters, {said["searches"]:,} held-out
queries, top 10, on {said["cores"]} cores. A search is the whole of `Quiver.search` by a vector: catalogue, store,
fusion, hits. Recall is against `exact=True`, on {said["compared"]} of them. Points are written in batches of 1,000 as
indexing writes them, into what was there; then the graph is built, and a fresh process opens the folder. Seconds are of
all points so far. Memory is of that process after its searches, of which files of the index that are read through the
page cache are not its own; Python and the libraries are {said["empty_mib"]} MiB of it. Up to {scanned:,} points of
this size are scanned, more are walked; up to ten times as many some searches are answered both ways, which p99 shows.
Others used {said["cores_of_others"]:.2f} cores meanwhile.

{head}{"".join(lines)}"""


def recommend(said: dict[str, Any]) -> str:
    """Feeds for many people."""
    head = f"""
## Feeds

`python -m benchmarks.recommend`: pages of 20 for {said["people"]} people out of {said["things"]:,} things on Qdrant
Edge, from 20 examples each and without the {said["seen"]:,} that each has seen. Every page was full, with nothing seen.

"""
    return head + table({name: f"{said[name]:.1f} people/s" for name in ("average", "best", "sum") if name in said})


def reindex(said: dict[str, Any]) -> str:
    """A reindexing beside the encoder alone."""
    p99 = said["search_p99_ms"]
    return f"""
## Reindexing while it is searched

`python -m benchmarks.reindex`: {said["texts"]:,} texts in the profile `packaged`, to which all-MiniLM-L6-v2 is added:
vectors of the spaces that stay are copied, those of the new one computed, {said["cores"]} cores, while a thread
searches all the time. The encoder alone has nothing beside it. Then an index of the same spaces is built anew.

""" + table(
        {
            "encoder alone": f"{said['encoder_alone_per_s']:.0f} texts/s",
            "**reindexing**": f"**{said['reindex_per_s']:.0f} texts/s, {said['share_of_encoder']:.2f} of it**",
            "copying alone": f"{said['copied_points_per_s']:.0f} points/s",
            "a search at p99, idle and during the build": f"{p99['idle']:.0f} ms, {p99['during the build']:.0f} ms",
            "searches during the build; empty": f"{said['searches']['during the build']}; {said['searches']['empty']}",
            "cores that others used meanwhile": f"{said['cores_of_others']:.2f}",
        }
    )


def beside(said: dict[str, Any]) -> str:
    """Searching by vectors and filters beside other stores."""
    return f"""
## Vectors and filters beside other embedded stores

`python -m benchmarks.beside`: {said["points"]:,} vectors of 512 dimensions, {said["searches"]} held-out queries, top
10; the filter is `price < x` and leaves so many of the points. Quiver's is its whole path: catalogue, filter
expression, store, fusion, hits. Each is used as its documentation shows, in an environment of its own, in turns. Recall
is against an exact scan. Others used {said["cores_of_others"]:.2f} cores meanwhile. Quiver answers its first
{FIRST} unfiltered queries both ways, by a scan and by walks, to learn how far a walk must reach: p99 there is of those.

{beside_table(said)}"""


def peers(said: dict[str, Any]) -> str:
    """Quiver beside others."""
    searched = f"""
### A text to its ten hits among {said["points"]:,}

512 dimensions, around what 2,000 texts embed to by the model. Quiver searches a graph on Qdrant Edge and reads the
catalogue; its p99 is of the first queries, which are answered both ways to learn how far a walk must reach.
sentence-transformers encodes, and qdrant-client's local mode compares with every point, which is what it does at any
size. No text is asked twice. Others used {said["cores_of_others_in_search"]:.2f} cores meanwhile.

{search_rows(said)}"""
    return f"""
## Beside others

`python -m benchmarks.peers`: {said["files"]} photos (640x480, 1920x1080 and 4000x3000 JPEGs), a ViT-B/32 of CLIP with
random weights, {said["cores"]} cores, {said["rounds"]} rounds in which each has its turn, after some photos that do
not count. All load the same folder and read the same files, which are in memory; each is used as its documentation
shows, on the precision it chooses by itself unless said.
sentence-transformers and infinity write into qdrant-client's local mode in memory, txtai into its own index,
clip-retrieval only files of vectors; Quiver stores, registers and writes durably. "Ours is" compares within rounds. The
cosine is of one photo's vectors: that all run these weights; random ones tell little of pictures apart.

{ingest_rows(said)}{searched if said["searched"] else ""}{_elsewhere()}
### What was installed

Each in an environment of its own, of exactly the versions in `benchmarks/peers/locks/`.

{install_rows(said)}"""


def _elsewhere() -> str:
    """The same program on a processor that gains less by bfloat16 than the one of the tables."""
    if (said := read("peers-epyc")) is None:
        return ""
    taken, found = said["ingest"], said["search"]
    return f"""
### On another processor

How much faster depends on what bfloat16 gains: on two cores of an AMD EPYC, where its products are 2.2 times as fast
as those in float32 (198 beside 91 GFLOP/s of one core), Quiver takes {taken["Quiver"]["per_s"]:.1f} photos a second,
{taken["sentence-transformers"]["ours_is_times"]:.1f} times as many as sentence-transformers and
{taken["sentence-transformers bf16"]["ours_is_times"]:.1f} times as many as that in bfloat16; a text is answered in
{found["Quiver"]["p50_ms"]:.1f} ms, {found["sentence-transformers"]["times_ours"]:.1f} times as fast.
"""


def _lost(said: dict[str, Any]) -> str:
    return "none" if all(said[name]["lost"]["ok"] for name in ("steady", "killed")) else "**some**"


def main() -> None:
    """Write the page."""
    parts = [HEAD]
    for name, write in (
        ("pipeline", pipeline),
        ("texts", texts),
        ("fidelity", fidelity),
        ("gpu", gpu),
        ("search", search),
        ("filtered", filtered),
        ("beside", beside),
        ("growth", growth),
        ("recommend", recommend),
        ("reindex", reindex),
        ("worker", worker),
        ("http", http),
        ("peers", peers),
    ):
        if (said := read(name)) is not None:
            parts.append(write(said))
    PAGE.write_text("".join(parts), encoding="utf-8")
    print(f"{PAGE} written")


if __name__ == "__main__":
    main()
