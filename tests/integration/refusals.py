"""Commands that are refused, the same in Python, and what is said of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import (
    BadField,
    BadFilter,
    BadQuery,
    Conflict,
    CorruptMedia,
    Fault,
    NoSuchAsset,
    NoSuchCollection,
    NoSuchPath,
    TooLarge,
    UnknownProfile,
    UnsupportedMedia,
)
from quiver import Quiver


@dataclass(frozen=True)
class Refusal:
    """A command that is refused, the same in Python, and how."""

    args: tuple[str, ...]
    ask: Callable[[Quiver, Path], Any]
    fault: type[Fault]
    status: int
    words: tuple[str, ...]


REFUSALS = {
    "missing path": Refusal(
        ("ingest", "{files}/nowhere"),
        lambda q, files: q.ingest(files / "nowhere", collection="default"),
        NoSuchPath,
        2,
        ("nowhere", "no such file or folder"),
    ),
    "a missing path beside a good one": Refusal(
        ("ingest", "{files}/red.txt", "{files}/nowhere"),
        lambda q, files: q.ingest(files / "red.txt", files / "nowhere", collection="default"),
        NoSuchPath,
        2,
        ("nowhere",),
    ),
    "undeclared field": Refusal(
        ("search", "red", "-w", "colour = red"),
        lambda q, _: q.search("default", "red", where="colour = red"),
        BadFilter,
        2,
        ("'colour' is not a declared field", "kind (keyword)", "price (float)"),
    ),
    "wrong type": Refusal(
        ("search", "red", "-w", 'price < "cheap"'),
        lambda q, _: q.search("default", "red", where='price < "cheap"'),
        BadFilter,
        2,
        ("'price' is declared float",),
    ),
    "unreadable filter": Refusal(
        ("search", "red", "-w", "price <"),
        lambda q, _: q.search("default", "red", where="price <"),
        BadFilter,
        2,
        ("cannot read the filter here", "^", "for example"),
    ),
    "unknown collection": Refusal(
        ("search", "red", "-c", "nowhere"),
        lambda q, _: q.search("nowhere", "red"),
        NoSuchCollection,
        2,
        ("nowhere", "default"),
    ),
    "status of an unknown collection": Refusal(
        ("status", "nowhere"), lambda q, _: q.status("nowhere"), NoSuchCollection, 2, ("nowhere",)
    ),
    "removing from an unknown collection": Refusal(
        ("rm", "red.txt", "-c", "nowhere"),
        lambda q, _: q.remove("nowhere", "red.txt"),
        NoSuchCollection,
        2,
        ("nowhere",),
    ),
    "unknown asset": Refusal(("show", "nobody"), lambda q, _: q.show("default", "nobody"), NoSuchAsset, 2, ("nobody",)),
    "like an unknown asset": Refusal(
        ("search", "--like", "nobody"), lambda q, _: q.search("default", like="nobody"), NoSuchAsset, 2, ("nobody",)
    ),
    "no query": Refusal(
        ("search",), lambda q, _: q.search("default"), BadQuery, 2, ("a text, an image, a sound, a film, an asset",)
    ),
    "only what is not wanted": Refusal(
        ("search", "--less", "red"), lambda q, _: q.search("default", less=["red"]), BadQuery, 2, ("positive weight",)
    ),
    "a vector of no space": Refusal(
        ("search", "--vector", '{{"space": "nowhere", "values": [1]}}'),
        lambda q, _: q.search("default", vector=("nowhere", [1.0])),
        BadQuery,
        2,
        ("no space 'nowhere'",),
    ),
    "a vector that is no number": Refusal(
        ("search", "--vector", '{{"space": "colour", "values": [NaN, 0, 0, 0]}}'),
        lambda q, _: q.search("default", vector=("colour", [float("nan"), 0.0, 0.0, 0.0])),
        BadQuery,
        2,
        ("not finite",),
    ),
    "a vector of another dimension": Refusal(
        ("search", "--vector", '{{"space": "colour", "values": [1]}}'),
        lambda q, _: q.search("default", vector=("colour", [1.0])),
        BadQuery,
        2,
        ("a vector of 'colour' has 4 values, this one 1",),
    ),
    "a vector of several rows": Refusal(
        ("search", "--vector", '{{"space": "colour", "values": [[1, 0, 0, 0]]}}'),
        lambda q, _: q.search("default", vector=("colour", [[1.0, 0.0, 0.0, 0.0]])),  # type: ignore[arg-type]  # what is refused
        BadQuery,
        2,
        ("this one 1 x 4",),
    ),
    "a dense vector of a sparse space": Refusal(
        ("search", "--vector", '{{"space": "words", "values": [1]}}'),
        lambda q, _: q.search("default", vector=("words", [1.0])),
        BadQuery,
        2,
        ("'words' is sparse", "`indices`"),
    ),
    "a sparse vector of a dense space": Refusal(
        ("search", "--vector", '{{"space": "colour", "values": [1], "indices": [0]}}'),
        lambda q, _: q.search("default", vector={"space": "colour", "values": [1.0], "indices": [0]}),
        BadQuery,
        2,
        ("'colour' is dense",),
    ),
    "recommending by a vector of another dimension": Refusal(
        ("recommend", "--example", '{{"vector": {{"space": "colour", "values": [1]}}}}'),
        lambda q, _: q.recommend("default", [{"vector": {"space": "colour", "values": [1.0]}}]),
        BadQuery,
        2,
        ("has 4 values",),
    ),
    "recommending a million": Refusal(
        ("recommend", "-n", "1000000"),
        lambda q, _: q.recommend("default", limit=1_000_000),
        BadQuery,
        2,
        ("1 to 1000",),
    ),
    "recommending by a field that is not declared": Refusal(
        ("recommend", "--where", "colour = red"),
        lambda q, _: q.recommend("default", where="colour = red"),
        BadFilter,
        2,
        ("not a declared field",),
    ),
    "a file of what was seen that is not there": Refusal(
        ("recommend", "--seen", "{files}/nowhere.txt"),
        lambda q, files: q.recommend("default", seen=files / "nowhere.txt"),
        NoSuchPath,
        2,
        ("nowhere.txt",),
    ),
    "a vector that is no JSON": Refusal(
        ("search", "--vector", "{{"), lambda q, _: q.search("default", vector={}), BadQuery, 2, ("vector",)
    ),
    "a part of a mixture that is a number": Refusal(
        ("search", "--mix", "5"),
        lambda q, _: q.search("default", mix=json.loads("[5]")),
        BadQuery,
        2,
        ("mix is [5]", "list of parts"),
    ),
    "a part of a mixture that is a list": Refusal(
        ("search", "--mix", '["x"]'),
        lambda q, _: q.search("default", mix=json.loads('[["x"]]')),
        BadQuery,
        2,
        ("mix is [['x']]", "list of parts"),
    ),
    "a stage that there is not": Refusal(
        ("search", "red", "--rerank", "magic"),
        lambda q, _: q.search("default", "red", rerank=["magic"]),
        BadQuery,
        2,
        ("no stage 'magic'",),
    ),
    "a field that is not declared to group by": Refusal(
        ("search", "red", "--group-by", "nope"),
        lambda q, _: q.search("default", "red", group_by="nope"),
        BadQuery,
        2,
        ("not a declared field",),
    ),
    "a least relevance of more than 1": Refusal(
        ("search", "red", "--min-score", "2"),
        lambda q, _: q.search("default", "red", min_score=2.0),
        BadQuery,
        2,
        ("from 0 to 1",),
    ),
    "empty query": Refusal(("search", "  "), lambda q, _: q.search("default", "  "), BadQuery, 2, ("empty",)),
    "limit 0": Refusal(
        ("search", "red", "-n", "0"), lambda q, _: q.search("default", "red", limit=0), BadQuery, 2, ("1 to 1000",)
    ),
    "limit 1001": Refusal(
        ("search", "red", "-n", "1001"),
        lambda q, _: q.search("default", "red", limit=1001),
        BadQuery,
        2,
        ("1 to 1000",),
    ),
    "unknown modality": Refusal(
        ("search", "red", "-m", "smell"),
        lambda q, _: q.search("default", "red", modality="smell"),
        BadQuery,
        2,
        ("smell", "text, image"),
    ),
    "a query picture that is not there": Refusal(
        ("search", "--image", "{files}/nowhere.png"),
        lambda q, files: q.search("default", image=files / "nowhere.png"),
        NoSuchPath,
        2,
        ("nowhere.png",),
    ),
    "a query picture that is a text": Refusal(
        ("search", "--image", "{files}/red.txt"),
        lambda q, files: q.search("default", image=files / "red.txt"),
        BadQuery,
        2,
        ("red.txt: it is text/plain",),
    ),
    "a query picture that is a folder": Refusal(
        ("search", "--image", "{files}"),
        lambda q, files: q.search("default", image=files),
        UnsupportedMedia,
        2,
        ("folder",),
    ),
    "a query picture that is cut": Refusal(
        ("search", "--image", "{bad}/cut.jpg"),
        lambda q, files: q.search("default", image=files.parent / "bad" / "cut.jpg"),
        CorruptMedia,
        2,
        ("cut.jpg",),
    ),
    "a query picture that is huge": Refusal(
        ("search", "--image", "{bad}/huge.png"),
        lambda q, files: q.search("default", image=files.parent / "bad" / "huge.png"),
        TooLarge,
        2,
        ("huge.png", "QUIVER_MAX_PIXELS"),
    ),
    "unknown profile": Refusal(
        ("ingest", "{files}", "-c", "other", "--profile", "nobody"),
        lambda q, files: q.ingest(files, collection="other", profile="nobody"),
        UnknownProfile,
        3,
        ("there is no profile 'nobody'", "toy"),
    ),
    "bad field declaration": Refusal(
        ("ingest", "{files}", "-f", "price=money"),
        lambda q, files: q.ingest(files, collection="default", fields=["price=money"]),
        BadField,
        2,
        ("price=money", "keyword, integer"),
    ),
    "bad field name": Refusal(
        ("ingest", "{files}", "-f", "the price=float"),
        lambda q, files: q.ingest(files, collection="default", fields={"the price": "float"}),
        BadField,
        2,
        ("name=type",),
    ),
    "other fields than the collection's": Refusal(
        ("ingest", "{files}", "-f", "price=integer"),
        lambda q, files: q.ingest(files, collection="default", fields=["price=integer"]),
        Conflict,
        2,
        ("default", "price"),
    ),
    "bad collection name": Refusal(
        ("ingest", "{files}", "-c", "My Photos"),
        lambda q, files: q.ingest(files, collection="My Photos"),
        BadQuery,
        2,
        ("My Photos", "small letters"),
    ),
}
