"""The command line on collections, assets, bulk jobs and models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.httpd import png
from tests.integration.test_cli import Run, call, use_toy


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    use_toy(monkeypatch, tmp_path / "data")
    return lambda *args: call(monkeypatch, capsys, *args)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))):
        (folder / f"{name}.png").write_bytes(png(colour))
    return folder


def test_a_collection_is_made_by_itself(run: Run) -> None:
    assert "fields price=float" in run("create", "c", "-f", "price=float").out
    assert run("create", "c", "-f", "price=float", "--json").json["fields"] == {"price": "float"}
    assert run("create", "c", "-f", "price=integer").status == 2
    assert run("create", "Bad Name").status == 2


def test_where_the_time_goes_is_shown(run: Run, photos: Path) -> None:
    run("create", "c", "--read", "ocr")
    assert "nothing was indexed" in run("stats", "c").out
    run("ingest", photos, "-c", "c")
    assert "encode" in run("stats", "c").out
    assert set(run("stats", "c", "--json").json) >= {"fetch", "decode", "encode", "upsert", "commit"}
    assert run("stats", "nowhere").status == 2


def test_assets_are_listed_page_by_page_and_fetched(run: Run, photos: Path, tmp_path: Path) -> None:
    run("ingest", photos, "-c", "c")
    said = run("ls", "-c", "c", "-n", 2)
    assert [name in said.out for name in ("blue.png", "green.png", "red.png")] == [True, True, False]
    assert "--after 'green.png'" in said.out
    [last] = run("ls", "-c", "c", "--after", "green.png", "--json").json
    assert (last["asset"]["external_id"], last["state"]) == ("red.png", "indexed")
    assert run("get", "red.png", "-c", "c", "-o", tmp_path / "out.png").status == 0
    assert (tmp_path / "out.png").read_bytes() == png((255, 0, 0))
    assert run("get", "red.png", "-c", "c", "--thumbnail", "-o", tmp_path / "small.jpg").status == 0
    assert (tmp_path / "small.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert run("get", "red.png", "-c", "c", "-o", tmp_path).status == 4
    assert run("get", "nobody", "-c", "c").status == 2
    assert run("ls", "-c", "nobody").status == 2


def test_a_manifest_is_handed_over_once_and_looked_at(run: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(
        "\n".join([json.dumps({"text": "red", "id": "r"}), "{", json.dumps({"text": "blue", "id": "b"})])
    )
    sent = run("jobs", "send", manifest, "-c", "c", "--key", "monday", "--json")
    assert sent.status == 1, "a line was refused"
    assert (sent.json["job"]["lines"], sent.json["refused"], sent.json["counts"]["indexed"]) == (3, 1, 2)
    again = run("jobs", "send", manifest, "-c", "c", "--key", "monday", "--json")
    assert again.json["job"]["id"] == sent.json["job"]["id"]
    assert [each["job"]["id"] for each in run("jobs", "list", "-c", "c", "--json").json] == [sent.json["job"]["id"]]
    shown = run("jobs", "show", sent.json["job"]["id"])
    assert "done" in shown.out
    assert "BadManifest" in shown.out
    assert run("jobs", "show", "monday").status == 2
    assert run("jobs", "send", tmp_path / "nothing", "-c", "c").status == 2


def test_vectors_and_orders_are_printed(run: Run, photos: Path) -> None:
    made = run("embed", "red", "--image", photos / "red.png", "--json").json
    assert made["model"] == "toy#colour"
    assert len(made["vectors"]) == 2
    assert "4 dimensions" in run("embed", "red").out
    ranked = run("rerank", "green", "red", "--image", photos / "green.png", "--json").json
    assert [one["index"] for one in ranked["order"]] == [1, 0]
    said = run("rerank", "green", "red", "green").out.splitlines()
    assert said[1].split() == ["1.0000", "green"]
    assert run("embed").status == 2
    assert run("embed", "a", "--model", "nothing").status == 3
