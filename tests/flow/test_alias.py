"""On a server an alias leads others to the index that serves: from the first asset on, and after whatever crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from core.records import Index
from core.runtime.wiring import Parts
from core.stores.server import ServerStore
from quiver import Quiver
from tests.flow.reindexed import COLOURS, opened, put, switched
from workers import reindex
from workers.collections import ensure
from workers.patience import void
from workers.reconcile import reconcile

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
ALIAS = "quiver-c"


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


@pytest.fixture
def parts(tmp_path: Path, client: QdrantClient) -> Iterator[Parts]:
    made = opened(tmp_path / "data", ServerStore(client))
    ensure(made, "c", {})
    yield made
    made.close()


def led(client: QdrantClient, parts: Parts) -> int:
    """How many points others find by the alias, which leads to the index that serves."""
    [alias] = client.get_aliases().aliases
    assert (alias.alias_name, alias.collection_name) == (ALIAS, f"quiver-{parts.catalogue.serving('c').id}")
    return client.count(ALIAS).count


def misled(client: QdrantClient, to: str | None = None) -> None:
    gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=ALIAS))
    lead = [
        models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=f"quiver-{one}", alias_name=ALIAS))
        for one in [to]
        if one
    ]
    client.update_collection_aliases([gone, *lead])


def test_an_alias_is_there_from_the_first_asset_on(client: QdrantClient, parts: Parts) -> None:
    put(parts, COLOURS)
    assert led(client, parts) == len(COLOURS)


def test_an_alias_is_there_whoever_makes_the_index_first(client: QdrantClient, parts: Parts, tmp_path: Path) -> None:
    quiver = Quiver(parts)
    quiver.add("c", text="red", id="red")
    assert led(client, parts) == 1
    quiver.export("c", tmp_path / "c.parquet")
    client.delete_collection(f"quiver-{parts.catalogue.serving('c').id}")
    client._client.aliases.clear()  # type: ignore[attr-defined]  # local mode keeps them; a server does not
    quiver.import_(tmp_path / "c.parquet", "c")
    led(client, parts)


def test_an_alias_that_is_gone_or_leads_elsewhere_is_put_right_by_reconciling(
    client: QdrantClient, parts: Parts
) -> None:
    put(parts, COLOURS)
    before = parts.catalogue.serving("c").id
    switched(parts)
    assert led(client, parts) == len(COLOURS)
    for wrong in (before, None):  # as after a crash between the switch and the alias, or a restored snapshot
        misled(client, wrong)
        reconcile(parts, "c", repair=True)
        assert led(client, parts) == len(COLOURS)
    reindex.rollback(parts, "c")
    assert led(client, parts) == len(COLOURS)


def test_an_alias_does_not_stay_behind_when_a_switch_comes_between(
    client: QdrantClient, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(parts, COLOURS)
    switched(parts)
    real, late = parts.store.serve, [lambda: void(reindex.rollback(parts, "c"))]

    def serve(index: Index) -> None:
        if late:
            late.pop()()
        real(index)

    monkeypatch.setattr(parts.store, "serve", serve)
    reconcile(parts, "c")
    assert led(client, parts) == len(COLOURS)
