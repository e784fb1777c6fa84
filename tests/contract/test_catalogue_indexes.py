"""Several indexes of one collection: what each lacks, whose turn that is, and how one takes another's place."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from core.catalogue.sql import SqlCatalogue
from core.errors import Conflict, NoSuchCollection
from core.fields import FieldType
from core.indexes import Share
from core.records import Claim, IndexState, Quantization, State, Storage
from core.types import AssetId, Modality
from tests.contract.catalogues import LEASE, ME, OTHER, add, draft, index_all, index_named

S = IndexState
NEW = replace(index_named("c-2", S.BUILDING), profile="q", fields={"year": FieldType.INTEGER})


def written(catalogue: SqlCatalogue, index: str, *, worker: str = "w") -> list[Claim]:
    """What an index lacks, written to it and signed for."""
    claims = catalogue.claim("c", worker=worker, lease=LEASE, limit=100, index=index)
    [mine] = [tended.index for tended in catalogue.tended("c") if tended.index.id == index]
    assert catalogue.sign(mine, dict.fromkeys(claims, 1)) == {}
    catalogue.finish(claims)
    return claims


def test_an_index_has_the_profile_of_its_collection_unless_it_says_another(catalogue: SqlCatalogue) -> None:
    assert catalogue.serving("c").profile == "p"
    assert catalogue.create_index(NEW).profile == "q"


def test_how_an_index_is_kept_is_kept(catalogue: SqlCatalogue) -> None:
    storage = Storage(quantization=Quantization.SCALAR, m=32, on_disk=True)
    assert catalogue.create_index(replace(NEW, storage=storage)).storage == storage
    catalogue.revise("c-2", {"paused": True})
    assert catalogue.tended("c", [S.BUILDING])[0].index.storage == storage
    assert catalogue.serving("c").storage == Storage()


def test_of_two_who_change_a_plan_that_both_have_read_one_does(catalogue: SqlCatalogue) -> None:
    catalogue.create_index(NEW)
    assert catalogue.revise("c-2", {"turn": [1.5, 2]}, given={"turn": None}).plan["turn"] == [1.5, 2]
    with pytest.raises(Conflict):
        catalogue.revise("c-2", {"turn": [1.6, 2]}, given={"turn": None})
    assert catalogue.revise("c-2", {"turn": [3.0, 1]}, given={"turn": [1.5, 2]}).plan["turn"] == [3.0, 1]


def test_a_collection_prepares_one_index_at_a_time(catalogue: SqlCatalogue) -> None:
    catalogue.create_index(replace(NEW, state=S.PLANNED), {"rate": 3})
    for state in (S.PLANNED, S.BUILDING, S.VERIFYING):
        with pytest.raises(Conflict):
            catalogue.create_index(index_named("c-3", state))
    [tended] = catalogue.tended("c", [S.PLANNED])
    assert (tended.index, tended.plan["rate"]) == (replace(NEW, state=S.PLANNED), 3)
    assert [index.id for index in catalogue.indexes("c")] == ["c-1"], "what is planned is not written to"
    catalogue.advance("c-2", of=[S.PLANNED], to=S.FAILED, note="no")
    catalogue.create_index(index_named("c-3", S.PLANNED))
    assert [t.index.state for t in catalogue.tended("c")] == [S.SERVING, S.FAILED, S.PLANNED]


def test_of_two_who_change_a_state_one_does(catalogue: SqlCatalogue) -> None:
    catalogue.create_index(NEW)
    done: Counter[str] = Counter()
    start = threading.Barrier(4)

    def change() -> None:
        start.wait()
        try:
            catalogue.advance("c-2", of=[S.BUILDING], to=S.VERIFYING, note="built")
            done["did"] += 1
        except Conflict as fault:
            done[str(fault)] += 1

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == {"did": 1, "index 'c-2' is verifying, not building": 3}
    [tended] = catalogue.tended("c", [S.VERIFYING])
    assert tended.note == "built"
    assert tended.changed_at > tended.created_at
    with pytest.raises(NoSuchCollection):
        catalogue.advance("none", of=[S.BUILDING], to=S.FAILED)


def test_changes_of_a_plan_do_not_lose_each_other(catalogue: SqlCatalogue) -> None:
    catalogue.create_index(NEW, {"paused": False})
    threads = [threading.Thread(target=catalogue.revise, args=("c-2", {f"k{i}": i})) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [tended] = catalogue.tended("c", [S.BUILDING])
    assert {**tended.plan, "storage": None} == {"paused": False, "storage": None, **{f"k{i}": i for i in range(8)}}


def test_what_is_found_now_comes_before_what_an_index_lacks(catalogue: SqlCatalogue) -> None:
    [old] = add(catalogue, draft("old"))
    index_all(catalogue)
    catalogue.create_index(NEW)
    [new] = add(catalogue, draft("new"))
    assert catalogue.missing("c", limit=9) == [new]
    assert catalogue.missing("c", limit=9, index="c-2") == [old]
    assert catalogue.oldest_waiting("c") > timedelta(0)
    assert {claim.asset.id for claim in written(catalogue, "c-2")} == {old}
    assert catalogue.missing("c", limit=9, index="c-2") == []
    claims = catalogue.claim("c", worker="w", lease=LEASE, limit=9)
    assert catalogue.sign(catalogue.serving("c"), dict.fromkeys(claims, 1)) == {}
    catalogue.finish(claims)
    assert catalogue.oldest_waiting("c") == timedelta(0), "nobody waits for an index that is being built"
    assert catalogue.counts(ME, "c")[State.INDEXED] == 2
    assert catalogue.missing("c", limit=9, index="c-2") == [new]


def test_what_failed_where_it_is_asked_is_offered_to_the_new_index(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    [claim] = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    catalogue.fail(claim, kind="NoSpaceFor", message="none", retry_in=None)
    catalogue.create_index(NEW)
    assert catalogue.missing("c", limit=9, index="c-2") == [asset_id]
    assert written(catalogue, "c-2")
    assert catalogue.state(catalogue.asset(ME, "c", "a")) is State.FAILED
    assert catalogue.having("c-2", [asset_id]) == {asset_id}


def test_a_lease_for_a_new_index_keeps_no_live_write_waiting(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    index_all(catalogue)
    new = catalogue.create_index(NEW)
    held = catalogue.claim("c", worker="builder", lease=LEASE, limit=1, index="c-2")
    assert [claim.index for claim in held] == ["c-2"]
    assert catalogue.claim("c", worker="other", lease=LEASE, limit=1, index="c-2") == []
    add(catalogue, draft(content="y"))
    assert catalogue.state(catalogue.asset(ME, "c", "a")) is State.PENDING
    live = catalogue.claim("c", worker="live", lease=LEASE, limit=1)
    assert catalogue.state(catalogue.asset(ME, "c", "a")) is State.WORKING
    assert catalogue.sign_all([(new, dict.fromkeys(live, 1)), (catalogue.serving("c"), dict.fromkeys(live, 1))]) == [
        {},
        {},
    ]
    catalogue.finish(live)
    assert catalogue.sign(new, dict.fromkeys(held, 1)) == {asset_id: 2}, "an older generation came after the newer"


def test_a_removed_asset_waits_for_who_writes_it_to_any_index(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    index_all(catalogue)
    catalogue.create_index(NEW)
    held = catalogue.claim("c", worker="builder", lease=LEASE, limit=1, index="c-2")
    catalogue.remove(ME, "c", [asset_id])
    assert catalogue.removed(limit=9) == []
    catalogue.finish(held)
    assert [gone.id for gone in catalogue.removed(limit=9)] == [asset_id]


def test_what_a_worker_died_over_is_offered_again_though_it_has_a_receipt(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    index_all(catalogue)
    new = catalogue.create_index(NEW)
    catalogue.claim("c", worker="dies", lease=timedelta(0), limit=1, index="c-2")
    add(catalogue, draft(content="y"))
    live = catalogue.claim("c", worker="live", lease=LEASE, limit=1)
    for index in (catalogue.serving("c"), new):
        catalogue.sign(index, dict.fromkeys(live, 1))
    catalogue.finish(live)
    # Who died may have written points of the older generation after those of the newer: nobody knows.
    assert catalogue.missing("c", limit=9, index="c-2") == [asset_id]
    with pytest.raises(Conflict, match="being written by a worker"):
        catalogue.exchange("c-2", of=[S.BUILDING], leaving=S.SOAKING)
    assert len(written(catalogue, "c-2")) == 1
    assert catalogue.missing("c", limit=9, index="c-2") == []


def test_a_failure_of_a_new_index_is_no_failure_of_the_asset(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    index_all(catalogue)
    new = catalogue.create_index(NEW)
    [claim] = catalogue.claim("c", worker="w", lease=LEASE, limit=1, index="c-2")
    catalogue.fail(claim, kind="EncoderBroke", message="it choked", retry_in=None)
    assert catalogue.missing("c", limit=9, index="c-2") == []
    assert catalogue.state(catalogue.asset(ME, "c", "a")) is State.INDEXED
    assert catalogue.failures(ME, "c") == []
    [failure] = catalogue.failures(ME, "c", index="c-2")
    assert (failure.kind, failure.attempts) == ("EncoderBroke", 1)
    said = catalogue.coverage(new)
    assert (said.present, said.held, said.failed, said.failures) == (1, 0, 1, {"EncoderBroke": 1})
    assert catalogue.uncovered("c-1", "c-2", limit=9) == (1, [("a", "EncoderBroke: it choked")])
    assert catalogue.pardon("c-2") == 1
    [again] = catalogue.claim("c", worker="w", lease=LEASE, limit=1, index="c-2")
    assert again.attempt == 1


def test_a_live_write_that_one_index_refuses_goes_on_in_the_others(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    new = catalogue.create_index(NEW)
    live = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    catalogue.fail(live[0], kind="EncoderBroke", message="it choked", retry_in=None, index=new)
    assert catalogue.sign(catalogue.serving("c"), dict.fromkeys(live, 1)) == {}
    catalogue.finish(live)
    assert catalogue.state(catalogue.asset(ME, "c", "a")) is State.INDEXED
    assert catalogue.claim("c", worker="w", lease=LEASE, limit=1) == []
    assert catalogue.missing("c", limit=9, index="c-2") == []


def test_a_file_that_cannot_be_read_fails_for_all_indexes_at_once_and_is_forgiven_for_all(
    catalogue: SqlCatalogue,
) -> None:
    [asset_id] = add(catalogue)
    catalogue.create_index(NEW)
    [live] = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    catalogue.fail(live, kind="CorruptMedia", message="bad", retry_in=None)
    assert catalogue.missing("c", limit=9, index="c-2") == []
    assert [len(catalogue.failures(ME, "c", index=index)) for index in ("c-1", "c-2")] == [1, 1]
    assert catalogue.forgive(ME, "c", [asset_id, asset_id]) == 1
    assert catalogue.missing("c", limit=9) == [asset_id]


def test_what_kills_its_workers_in_a_new_index_is_set_aside_for_that_index_alone(catalogue: SqlCatalogue) -> None:
    add(catalogue)
    index_all(catalogue)
    catalogue.create_index(NEW)
    for _ in range(2):  # max_attempts of this catalogue
        assert len(catalogue.claim("c", worker="w", lease=timedelta(0), limit=1, index="c-2")) == 1
    assert catalogue.claim("c", worker="w", lease=timedelta(0), limit=1, index="c-2") == []
    [failure] = catalogue.failures(ME, "c", index="c-2")
    assert failure.kind == "WorkerLost"
    assert catalogue.state(catalogue.asset(ME, "c", "a")) is State.INDEXED


def test_a_switch_is_refused_while_something_would_be_lost_and_says_what(catalogue: SqlCatalogue) -> None:
    add(catalogue, *(draft(f"a{i}") for i in range(9)))
    index_all(catalogue)
    catalogue.create_index(NEW)
    with pytest.raises(Conflict, match=r"9 assets .*: a0 \(not written yet\); .*a4 \(not written yet\); \.\.\."):
        catalogue.exchange("c-2", of=[S.BUILDING], leaving=S.SOAKING)
    assert catalogue.serving("c").id == "c-1"
    written(catalogue, "c-2")
    with pytest.raises(Conflict, match="is building, not verifying"):
        catalogue.exchange("c-2", of=[S.VERIFYING], leaving=S.SOAKING)
    now, before = catalogue.exchange("c-2", of=[S.BUILDING], leaving=S.SOAKING, note="better")
    assert (now.index.state, before.index.state, now.note) == (S.SERVING, S.SOAKING, "better")
    assert catalogue.serving("c").id == "c-2"
    kept = catalogue.collection("c")
    assert (kept.profile, kept.fields) == ("q", {"year": FieldType.INTEGER})
    assert catalogue.counts(ME, "c")[State.INDEXED] == 9
    with pytest.raises(Conflict):
        catalogue.exchange("c-2", of=[S.BUILDING], leaving=S.SOAKING)


def test_what_soaks_is_still_written_to_and_one_can_go_back(catalogue: SqlCatalogue) -> None:
    add(catalogue, draft("a"))
    index_all(catalogue)
    catalogue.create_index(NEW)
    written(catalogue, "c-2")
    catalogue.exchange("c-2", of=[S.BUILDING], leaving=S.SOAKING)
    [b] = add(catalogue, draft("b"))
    live = catalogue.claim("c", worker="w", lease=LEASE, limit=9)
    assert catalogue.sign(catalogue.serving("c"), dict.fromkeys(live, 1)) == {}
    catalogue.finish(live)
    assert catalogue.oldest_waiting("c") == timedelta(0)
    assert catalogue.missing("c", limit=9) == [b], "the one that soaks lacks it"
    with pytest.raises(Conflict, match="1 assets that are found now would be found no more: b"):
        catalogue.exchange("c-1", of=[S.SOAKING], leaving=S.ROLLED_BACK)
    index_all(catalogue)
    catalogue.exchange("c-1", of=[S.SOAKING], leaving=S.ROLLED_BACK)
    assert (catalogue.serving("c").id, catalogue.collection("c").profile) == ("c-1", "p")
    assert [index.id for index in catalogue.indexes("c")] == ["c-1"], "what was rolled back is not written to"


def test_a_switch_can_be_forced_and_what_is_lost_is_then_missing(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    index_all(catalogue)
    catalogue.create_index(NEW)
    catalogue.exchange("c-2", of=[S.BUILDING], leaving=S.SOAKING, forced=True, note="forced: it must be")
    assert catalogue.missing("c", limit=9) == [asset_id]
    assert catalogue.state(catalogue.asset(ME, "c", "a")) is State.PENDING


def test_nobody_signs_for_an_index_that_is_not_written_to(catalogue: SqlCatalogue) -> None:
    [asset_id] = add(catalogue)
    new = catalogue.create_index(NEW)
    claims = catalogue.claim("c", worker="w", lease=LEASE, limit=1)
    catalogue.advance("c-2", of=[S.BUILDING], to=S.FAILED)
    assert catalogue.sign(new, dict.fromkeys(claims, 1)) == {asset_id: 1}
    assert catalogue.claim("c", worker="w", lease=LEASE, limit=1, index="c-2") == []


def test_who_has_what_is_counted_by_tenant_and_modality(catalogue: SqlCatalogue) -> None:
    ids: list[AssetId] = add(catalogue, draft("a"), draft("b"))
    ids += add(catalogue, draft("a"), tenant=OTHER)
    claims = catalogue.claim("c", worker="w", lease=LEASE, limit=9)
    catalogue.sign(catalogue.serving("c"), {claim: 2 + (claim.asset.tenant == OTHER) for claim in claims})
    catalogue.finish(claims)
    text = Modality.TEXT
    assert catalogue.census("c-1") == [
        Share(tenant=ME, modality=text, assets=2, points=4),
        Share(tenant=OTHER, modality=text, assets=1, points=3),
    ]
    assert catalogue.having("c-1", ids) == set(ids)
    assert catalogue.clear_index("c-1") == 3
    assert catalogue.census("c-1") == []
