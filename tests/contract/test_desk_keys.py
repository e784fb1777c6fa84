"""API keys: the promises of `Desk` on them, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.catalogue.sql import SqlCatalogue
from core.desk import ApiKey, Quota, Role
from core.errors import Conflict, NoSuchKey
from core.types import KeyId
from tests.contract.catalogues import ME, OTHER

NOW = datetime.now(UTC)
SOON, PAST = NOW + timedelta(hours=1), NOW - timedelta(hours=1)


def key(name: str = "k", **said: object) -> ApiKey:
    made = ApiKey(
        id=KeyId(name.ljust(12, "0")),
        tenant=ME,
        name=name,
        roles=frozenset({Role.WRITER, Role.MODERATOR}),
        quota=Quota(queries_per_second=0.5, assets_per_day=0, bytes_per_day=1 << 40),
        created_at=NOW,
        expires_at=SOON,
    )
    return replace(made, **said)  # type: ignore[arg-type]  # the caller names fields


def test_a_key_is_kept_whole_beside_the_hash_of_its_secret(catalogue: SqlCatalogue) -> None:
    bare = key("bare", quota=Quota(), roles=frozenset({Role.OPERATOR}), expires_at=None)
    catalogue.create_key(key(), "hash")
    catalogue.create_key(bare, "another")
    assert catalogue.key(key().id) == (key(), "hash")
    assert catalogue.key(bare.id) == (bare, "another")


def test_an_id_is_given_once(catalogue: SqlCatalogue) -> None:
    catalogue.create_key(key(), "hash")
    with pytest.raises(Conflict):
        catalogue.create_key(key(tenant=OTHER), "stolen")
    assert catalogue.key(key().id) == (key(), "hash")


def test_an_unknown_or_expired_key_is_none(catalogue: SqlCatalogue) -> None:
    catalogue.create_key(key(expires_at=PAST), "hash")
    assert catalogue.key(key().id) is None
    assert catalogue.key(KeyId("nobody")) is None
    assert catalogue.keys(ME) == [key(expires_at=PAST)], "it is still listed"


def test_a_revoked_key_is_refused_at_once_and_listed_no_more(catalogue: SqlCatalogue) -> None:
    catalogue.create_key(key(), "hash")
    catalogue.revoke_key(key().id, tenant=ME)
    assert catalogue.key(key().id) is None
    assert catalogue.keys(None) == []
    with pytest.raises(NoSuchKey):
        catalogue.revoke_key(key().id, tenant=ME)


def test_keys_are_listed_by_creation_and_tenant(catalogue: SqlCatalogue) -> None:
    made = [
        key("c", created_at=NOW),
        key("b", created_at=NOW + timedelta(seconds=1), tenant=OTHER),
        key("a", created_at=NOW + timedelta(seconds=2)),
    ]
    for each in reversed(made):
        catalogue.create_key(each, "hash")
    assert [each.name for each in catalogue.keys(None)] == ["c", "b", "a"]
    assert [each.name for each in catalogue.keys(ME)] == ["c", "a"]
    assert [each.name for each in catalogue.keys(OTHER)] == ["b"]


@pytest.mark.parametrize("at", [PAST, SOON + timedelta(days=1), SOON])
def test_a_key_expires_when_it_is_told_to_unless_it_does_before(at: datetime, catalogue: SqlCatalogue) -> None:
    catalogue.create_key(key(), "hash")
    elsewhere = at.astimezone(timezone(timedelta(hours=5)))
    assert catalogue.expire_key(key().id, tenant=ME, at=elsewhere).expires_at == min(at, SOON)
    assert (catalogue.key(key().id) is None) == (at == PAST)
    endless = key("endless", expires_at=None)
    catalogue.create_key(endless, "hash")
    assert catalogue.expire_key(endless.id, tenant=None, at=at).expires_at == at


def test_nobody_touches_the_key_of_another_tenant(catalogue: SqlCatalogue) -> None:
    catalogue.create_key(key(), "hash")
    with pytest.raises(NoSuchKey):
        catalogue.revoke_key(key().id, tenant=OTHER)
    with pytest.raises(NoSuchKey):
        catalogue.expire_key(key().id, tenant=OTHER, at=PAST)
    assert catalogue.key(key().id) == (key(), "hash")
    catalogue.revoke_key(key().id, tenant=None)  # but for the operator
    assert catalogue.key(key().id) is None
