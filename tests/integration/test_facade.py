"""`from quiver import Quiver`: what a program sees, on the real engine and a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import PIL.Image
import pytest

import quiver as package
from core.encoders import registry
from core.encoders.registry import Encoders
from core.errors import BadQuery, Conflict, NoSuchAsset, StoreDown
from core.filters import Range
from core.points import Scope
from core.ports import Embeds
from core.records import State
from core.runtime.settings import load_settings
from core.runtime.wiring import Parts
from core.types import Modality, Tenant
from ingest.sources.manifest import Inline
from quiver import Quiver
from quiver.reports import IngestReport, Progress
from tests.doubles import Flaky, toy, toy_parts
from tests.flow.promises import ME, check
from tests.integration.test_cli import Toy
from workers.collections import ensure
from workers.intake import register

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three pictures and three texts."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        (folder / f"{name}.txt").write_text(f"{name} thing")
        PIL.Image.new("RGB", (20, 16), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def quiver(data: Path) -> Iterator[Quiver]:
    with Quiver(toy_parts(data)) as opened:
        yield opened


def names(quiver: Quiver, text: str | None = None, **more: object) -> list[str]:
    return [hit.external_id for hit in quiver.search("c", text, **more).hits]  # type: ignore[arg-type]  # as a test says


def counted(report: IngestReport) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.unchanged, report.indexed


def test_the_package_says_what_it_exports() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    assert {"Quiver", "Answer", "Hit", "Fault", "Refused", "Unavailable", "Misconfigured"} <= set(package.__all__)


def test_open_ingest_search_close(data: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "families", lambda: {"toy": Toy()})
    with Quiver.open(data, profile="toy", lanes=1) as quiver:
        report = quiver.ingest(files, collection="c")
        assert report.ok
        assert counted(report) == (6, 0, 0, 6)
        assert names(quiver, "red")[0].startswith("red.")
    quiver.close()
    with Quiver.open(str(data), lanes=1) as again:  # what the collection was made with is remembered
        assert set(names(again, "red")[:2]) == {"red.png", "red.txt"}


def test_opening_makes_nothing_until_something_is_needed(data: Path) -> None:
    with Quiver(toy_parts(data)):
        pass
    assert not data.exists()


def test_ingesting_twice_is_ingesting_once(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    before = quiver.search("c", "red")
    again = quiver.ingest(files, collection="c")
    assert counted(again) == (0, 0, 6, 0)
    assert quiver.search("c", "red").hits == before.hits


def test_a_replaced_file_is_found_as_it_is_now(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    (files / "red.txt").write_text("blue blue blue")
    assert counted(quiver.ingest(files, collection="c")) == (0, 1, 5, 1)
    assert set(names(quiver, "blue", modality="text")[:2]) == {"red.txt", "blue.txt"}
    assert quiver.show("c", "red.txt").asset.generation == 2
    assert quiver.content("c", "red.txt") == b"blue blue blue"
    assert names(quiver, "red", modality="text", limit=1) != ["red.txt"]


def test_removed_is_found_no_more_and_may_come_back(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    asset = quiver.show("c", "red.txt").asset
    done = quiver.remove("c", asset.id, "red.png", "nobody")
    assert (done.removed, done.unknown) == (2, ("nobody",))
    assert not {"red.txt", "red.png"} & set(names(quiver, "red"))
    with pytest.raises(NoSuchAsset):
        quiver.show("c", "red.txt")
    with pytest.raises(NoSuchAsset):
        quiver.content("c", asset.id)
    assert quiver.remove("c", "red.txt").unknown == ("red.txt",)
    assert counted(quiver.ingest(files, collection="c")) == (2, 0, 4, 2)
    assert set(names(quiver, "red")[:2]) == {"red.txt", "red.png"}


def test_what_was_put_in_comes_out_byte_for_byte(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    for path in files.iterdir():
        assert quiver.content("c", path.name) == path.read_bytes()
        view = quiver.show("c", path.name)
        assert view.state is State.INDEXED
        assert view.failure is None
        assert view.path is not None
        assert view.path.read_bytes() == path.read_bytes()
        assert quiver.show("c", str(view.asset.id)) == view


def test_a_picture_may_be_a_path_or_bytes(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    path = files / "green.png"
    for image in (path, str(path), path.read_bytes()):
        assert set(names(quiver, image=image)[:2]) == {"green.png", "green.txt"}
    with pytest.raises(BadQuery, match="the query image: it is text/plain"):
        quiver.search("c", image=b"just words")


def test_likeness_goes_by_id_and_by_name_and_never_finds_itself(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    asset = quiver.show("c", "red.png").asset.id
    by_name, by_id = names(quiver, like="red.png"), names(quiver, like=asset)
    assert by_name == by_id
    assert "red.png" not in by_name
    assert "red.txt" in by_name[:2]


def test_modalities_are_named_singly_or_together(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    for modality, count in (("image", 3), (Modality.TEXT, 3), (["image", "text"], 6), (None, 6)):
        assert len(names(quiver, "red", modality=modality)) == count
    with pytest.raises(BadQuery, match="no modality"):
        quiver.search("c", "red", modality=[])


def test_declared_fields_filter_by_expression_or_by_filter(quiver: Quiver, tmp_path: Path) -> None:
    lines = [{"text": f"red {n}", "id": f"t{n}", "metadata": {"n": n, "tags": ["a", "b"][: n % 3]}} for n in range(9)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    report = quiver.ingest(tmp_path / "m.jsonl", collection="c", fields={"n": "integer", "tags": "keyword"})
    assert report.ok, report
    expected = {"t3", "t4", "t5"}
    assert set(names(quiver, "red", where="n >= 3 and n < 6")) == expected
    assert set(names(quiver, "red", where=Range("n", gte=3, lt=6))) == expected
    assert set(names(quiver, "red", where="not exists(tags)")) == {"t0", "t3", "t6"}
    assert set(names(quiver, "red", where='tags in ["b"] and n != 2')) == {"t5", "t8"}
    assert set(names(quiver, "red", where="n >= 3 and n < 6", exact=True)) == expected


def test_fields_and_profile_of_a_collection_are_what_it_was_made_with(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c", fields=["kind=keyword"])
    assert quiver.ingest(files, collection="c").ok
    assert quiver.ingest(files, collection="c", fields={"kind": "keyword"}).ok
    with pytest.raises(Conflict):
        quiver.ingest(files, collection="c", fields=["kind=integer"])
    (status,) = quiver.status("c")
    assert (status.name, status.profile, dict(status.fields)) == ("c", "toy", {"kind": "keyword"})
    assert status.encoders == {"colour": "toy", "words": "toy"}


def test_collections_do_not_see_each_other(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files / "red.txt", collection="c")
    quiver.ingest(files / "blue.txt", collection="d")
    assert names(quiver, "blue") == ["red.txt"]
    assert [status.name for status in quiver.status()] == ["c", "d"]
    quiver.remove("c", "red.txt")
    assert [hit.external_id for hit in quiver.search("d", "red").hits] == ["blue.txt"]


def test_tenants_do_not_see_each_other(data: Path, files: Path) -> None:
    with Quiver(toy_parts(data, tenant="ann")) as ann:
        ann.ingest(files / "red.txt", files / "red.png", collection="c")
        mine = ann.show("c", "red.txt").asset.id
    with Quiver(toy_parts(data, tenant="bob")) as bob:
        assert names(bob, "red") == []
        bob.ingest(files / "blue.txt", collection="c")
        assert names(bob, "red") == ["blue.txt"]
        for key in ("red.txt", mine):
            with pytest.raises(NoSuchAsset):
                bob.show("c", key)
            with pytest.raises(NoSuchAsset):
                bob.content("c", key)
            with pytest.raises(NoSuchAsset):
                bob.search("c", like=key)
            assert bob.remove("c", key).removed == 0
        assert bob.status("c")[0].counts[State.INDEXED] == 1
    with Quiver(toy_parts(data, tenant="ann")) as ann:
        assert set(names(ann, "red")) == {"red.txt", "red.png"}


def test_progress_ends_where_the_report_does(quiver: Quiver, files: Path) -> None:
    (files / "bad.jpg").write_text("no picture")
    (files / "poison.txt").write_text("poison")
    said: list[Progress] = []
    report = quiver.ingest(files, collection="c", on_progress=said.append)
    assert not report.ok
    last = max(said, key=lambda now: now.indexed + now.failed + now.registered)
    assert (last.total, last.registered, last.to_index, last.indexed, last.failed) == (8, 8, 7, 6, 2)
    assert all(now.indexed <= now.to_index and now.registered <= (now.total or now.registered) for now in said)
    assert [problem.name for problem in report.refused] == ["bad.jpg"]
    assert [failure.external_id for failure in report.failures] == ["poison.txt"]


def test_an_unchanged_bad_file_is_reported_every_time(quiver: Quiver, files: Path) -> None:
    (files / "poison.txt").write_text("poison")
    for _ in range(3):
        report = quiver.ingest(files, collection="c")
        assert [failure.external_id for failure in report.failures] == ["poison.txt"]
    view = quiver.show("c", "poison.txt")
    assert view.state is State.FAILED
    assert view.failure == quiver.failures("c")[0]
    (files / "poison.txt").write_text("red")
    assert quiver.ingest(files, collection="c").ok
    assert quiver.failures("c") == []


def test_a_later_run_makes_good_what_an_outage_cut_short(data: Path, files: Path) -> None:
    parts = toy_parts(data)

    def down(name: str) -> None:
        if name == "upsert":
            raise StoreDown("gone away")

    real = parts.store
    parts.__dict__["store"] = Flaky(real, down)
    quiver = Quiver(parts)
    with pytest.raises(StoreDown, match="gone away"):
        quiver.ingest(files, collection="c")
    parts.__dict__["store"] = real
    assert quiver.sweep().indexed == 6
    check(parts)
    assert len(names(quiver, "red")) == 6
    quiver.close()


def test_an_ingest_takes_up_what_an_earlier_one_registered_only(data: Path, files: Path) -> None:
    parts = toy_parts(data)
    register(parts, ME, ensure(parts, "c"), [Inline("earlier", "red")], lambda *_: None)
    with Quiver(parts) as quiver:
        assert quiver.show("c", "earlier").state is State.PENDING
        assert counted(quiver.ingest(files, collection="c")) == (6, 0, 0, 7)
        assert "earlier" in names(quiver, "red")


def test_ids_are_stable_and_points_are_counted_once(data: Path, files: Path) -> None:
    with Quiver(toy_parts(data)) as quiver:
        quiver.ingest(files, collection="c")
        before = {name: quiver.show("c", name).asset.id for name in ("red.txt", "red.png")}
        assert all(isinstance(asset_id, UUID) for asset_id in before.values())
    parts = toy_parts(data)
    with Quiver(parts) as quiver:
        quiver.ingest(files, collection="c")
        assert {name: quiver.show("c", name).asset.id for name in before} == before
        assert parts.store.count(parts.catalogue.serving("c"), Scope(tenant=Tenant("default"))) == 6


def test_a_contact_sheet_holds_every_search(quiver: Quiver, files: Path) -> None:
    quiver.ingest(files, collection="c")
    searches = [(text, quiver.search("c", text, modality="image")) for text in ("red", "blue")]
    page = quiver.contact_sheet("c", searches)
    assert page.count("<h2>") == 2
    assert page.count("data:image/jpeg;base64,") == 6


def test_closing_twice_is_harmless_and_another_may_open(data: Path, files: Path) -> None:
    first = Quiver(toy_parts(data))
    first.ingest(files, collection="c")
    first.close()
    first.close()
    with Quiver(toy_parts(data)) as second:
        assert len(names(second, "red")) == 6


def test_a_profile_of_a_folder_means_the_same_from_everywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def family(argument: str) -> Sequence[Embeds]:
        asked.append(argument)
        return toy()

    def opened(**settings: str) -> Quiver:
        return Quiver(
            Parts(load_settings(data=data, decode="inline", **settings), Encoders({"hf": family, "toy": toy}))
        )

    model = tmp_path / "models/one"
    model.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with opened(profile="hf:models/one") as quiver:
        assert quiver.create("c", profile="hf:models/one").profile == f"hf:{model}"
        assert quiver.create("d").profile == f"hf:{model}", "the default is a profile like others"
        quiver.create("e", profile="toy")
        assert quiver.reindex_plan("e", profile="hf:models/one").profile == f"hf:{model}"
        quiver.add("c", text="red", id="r")
    monkeypatch.chdir("/")
    with opened(profile="toy") as quiver:
        assert names(quiver, "red") == ["r"]
        assert quiver.create("c", profile=f"hf:{model}").profile == f"hf:{model}"
    assert set(asked) == {str(model)}
