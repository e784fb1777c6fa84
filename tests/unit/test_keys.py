"""API keys over a real catalogue: what may be made, what is let in, what is refused."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.desk import Quota, Role
from core.errors import BadQuery, Forbidden, NoSuchKey, Unauthorized
from core.runtime.wiring import Parts
from core.types import Tenant
from tests.doubles import Flaky, toy_parts
from workers import keys
from workers.keys import Issued, check, issue, listing, revoke, rotate

ME, OTHER = Tenant("me"), Tenant("other")
DAY = timedelta(days=1)
ours = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = toy_parts(tmp_path)
    yield made
    made.close()


def made(parts: Parts, name: str = "web", *, tenant: str = ME, **more: Any) -> Issued:
    said: dict[str, Any] = {"roles": ["reader"], "quota": Quota(), "lifetime": None, **more}
    return issue(parts, tenant, name, said.pop("roles"), **said)


# Making


def test_a_key_is_what_was_asked_for_and_its_token_lets_in(parts):
    quota = Quota(queries_per_second=2.5, assets_per_day=10, bytes_per_day=0)
    before = datetime.now(UTC)
    new = made(parts, "Búho 1", roles=["writer", "moderator"], quota=quota, lifetime=DAY)
    assert re.fullmatch(r"qv_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", new.secret)
    assert new.secret.split("_")[1] == new.key.id
    assert (new.key.tenant, new.key.name, new.key.quota) == (ME, "Búho 1", quota)
    assert new.key.roles == {Role.WRITER, Role.MODERATOR}
    assert new.key.expires_at is not None
    assert before + DAY <= new.key.expires_at <= datetime.now(UTC) + DAY
    assert check(parts, new.secret) == new.key
    assert listing(parts, ME) == [new.key]


def test_the_secret_is_kept_nowhere(parts, tmp_path):
    new = made(parts)
    secret = new.secret.rpartition(f"{new.key.id}_")[2]
    found = parts.catalogue.key(new.key.id)
    assert found is not None
    assert re.fullmatch("[0-9a-f]{64}", found[1])
    assert secret not in repr(found)
    parts.close()
    held = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert new.key.id.encode() in held
    assert secret.encode() not in held


def test_no_two_keys_have_an_id_or_a_secret_in_common(parts):
    tokens = [made(parts).secret for _ in range(20)]
    assert len({token[3:15] for token in tokens}) == len({token[16:] for token in tokens}) == 20


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\x1b[2J", "a\u200bb", "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(parts, name):
    with pytest.raises(BadQuery, match="1 to 100 printable"):
        made(parts, name)


@pytest.mark.parametrize("tenant", ["", "a/b", "a b", "é", "a" * 128, "a\n"])
def test_a_tenant_that_no_name_can_be_is_refused(parts, tenant):
    with pytest.raises(BadQuery, match="tenant"):
        made(parts, tenant=tenant)


@pytest.mark.parametrize("tenant", ["a", "A.b_c-9", "a" * 127])
def test_a_tenant_may_have_letters_digits_and_three_marks(parts, tenant):
    assert made(parts, "x" * 100, tenant=tenant).key.tenant == tenant


@pytest.mark.parametrize(
    "said",
    [
        {"roles": []},
        {"roles": ["king"]},
        {"lifetime": timedelta(0)},
        {"lifetime": timedelta(seconds=-1)},
        {"lifetime": timedelta.max},
        {"quota": Quota(assets_per_day=-1)},
        {"quota": Quota(queries_per_second=float("nan"))},
        {"quota": Quota(queries_per_second=float("inf"))},
        {"quota": Quota(bytes_per_day=2**63)},
    ],
    ids=str,
)
def test_a_role_a_lifetime_or_a_quota_that_is_none_is_refused(parts, said):
    with pytest.raises(BadQuery):
        made(parts, **said)
    assert listing(parts, None) == []


def test_only_the_operator_makes_and_rotates_keys_of_that_role(parts):
    for roles in (["operator"], ["admin", "operator"]):
        with pytest.raises(Forbidden, match="command line"):
            made(parts, roles=roles)
        new = made(parts, roles=roles, operator=True)
        with pytest.raises(Forbidden, match="command line"):
            rotate(parts, new.key.id, ME, grace=DAY)
        assert check(parts, new.secret) == new.key
        again = rotate(parts, new.key.id, ME, grace=DAY, operator=True)
        assert again.key.roles == set(roles)


def test_an_administrator_gives_no_larger_quota_than_it_has(tmp_path):
    parts = toy_parts(tmp_path, key_assets_per_day=100)
    for assets in (101, 0):
        with pytest.raises(Forbidden, match="assets_per_day may be 100"):
            made(parts, quota=Quota(assets_per_day=assets))
    assert made(parts, quota=Quota(assets_per_day=100)).key.quota.assets_per_day == 100
    assert made(parts, quota=Quota(assets_per_day=0), operator=True).key.quota.assets_per_day == 0
    assert made(parts).key.quota == Quota(), "which follows the settings"
    admin = made(parts, roles=["admin"], quota=Quota(queries_per_second=5, assets_per_day=0), operator=True).key
    for queries in (5.1, 0):
        with pytest.raises(Forbidden, match="queries_per_second may be 5"):
            made(parts, quota=Quota(queries_per_second=queries), by=admin)
    assert made(parts, by=admin).key.quota == admin.quota
    assert made(parts, quota=Quota(assets_per_day=1000), by=admin).key.quota.assets_per_day == 1000
    parts.close()


# Checking


def refusal(parts: Parts, token: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        check(parts, token)
    return str(caught.value)


def test_whatever_is_wrong_with_a_token_the_refusal_says_the_same(parts):
    good, gone, old = made(parts), made(parts), made(parts, lifetime=DAY)
    revoke(parts, gone.key.id, None)
    parts.catalogue.expire_key(old.key.id, tenant=None, at=datetime.now(UTC) - DAY)
    flipped = good.secret[:-2] + ("A" if good.secret[-2] != "A" else "B") + good.secret[-1]
    wrong = [
        "",
        "Bearer",
        "qv_",
        good.secret[:-1],
        good.secret + "A",
        good.secret.upper(),
        good.secret + "\n",
        flipped,
        f"qv_{good.key.id}_{old.secret[16:]}",
        f"qv_{'0' * 12}_{good.secret[16:]}",
        f"qv_{good.key.id}_{'0' * 43}",
        f"qv_{good.key.id}_" + "\u0660" * 43,
        "\udcff",
        gone.secret,
        old.secret,
    ]
    said = {refusal(parts, token) for token in wrong}
    assert len(said) == 1
    assert "Authorization" in said.pop()
    assert check(parts, good.secret) == good.key


@ours
@given(token=st.one_of(st.text(), st.from_regex(keys.TOKEN, fullmatch=True)))
def test_no_made_up_token_is_let_in(parts, token):
    assert refusal(parts, token)


def test_a_hash_is_computed_and_compared_whether_or_not_there_is_such_a_key(parts, monkeypatch):
    new = made(parts)
    hashed: list[str] = []
    compared: list[tuple[str, str]] = []
    real = keys._hash

    def hashing(secret: str) -> str:
        hashed.append(secret)
        return real(secret)

    def comparing(one: str, other: str) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(keys, "_hash", hashing)
    monkeypatch.setattr(keys, "compare_digest", comparing)
    assert check(parts, new.secret) == new.key
    refusal(parts, f"qv_{'0' * 12}_{new.secret[16:]}")
    refusal(parts, f"qv_{new.key.id}_{'0' * 43}")
    assert hashed == [new.secret[16:], new.secret[16:], "0" * 43]
    assert [len(a) == len(b) == 64 for a, b in compared] == [True] * 3


def test_a_key_that_nobody_has_the_secret_of_cannot_be_hit_by_the_hash_that_stands_for_none(parts):
    assert keys._hash("") != keys.NOBODY
    refusal(parts, "")


# Rotating and revoking


def test_a_rotated_key_has_the_same_rights_and_the_old_one_ends_after_the_grace(parts):
    old = made(parts, "web", roles=["writer"], quota=Quota(assets_per_day=5), lifetime=timedelta(days=30))
    before = datetime.now(UTC)
    new = rotate(parts, old.key.id, ME, grace=DAY)
    assert new.key.id != old.key.id
    assert new.secret[16:] != old.secret[16:]
    same = ("tenant", "name", "roles", "quota", "expires_at")
    assert [getattr(new.key, name) for name in same] == [getattr(old.key, name) for name in same]
    assert new.key.created_at >= before
    assert check(parts, new.secret) == new.key
    lives = check(parts, old.secret).expires_at
    assert lives is not None
    assert before + DAY <= lives <= datetime.now(UTC) + DAY


def test_a_grace_of_nothing_ends_the_old_key_at_once_and_none_prolongs_it(parts):
    old = made(parts, lifetime=timedelta(hours=1))
    rotate(parts, old.key.id, ME, grace=DAY)
    assert check(parts, old.secret).expires_at == old.key.expires_at
    rotate(parts, old.key.id, None, grace=timedelta(0))
    refusal(parts, old.secret)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta.max])
def test_a_grace_that_is_none_is_refused(parts, grace):
    old = made(parts)
    with pytest.raises(BadQuery):
        rotate(parts, old.key.id, ME, grace=grace)
    assert listing(parts, None) == [old.key]


def test_a_revoked_key_is_refused_at_once_and_listed_no_more(parts):
    gone, stays = made(parts), made(parts, "other")
    assert check(parts, gone.secret) == gone.key
    revoke(parts, gone.key.id, ME)
    refusal(parts, gone.secret)
    assert listing(parts, ME) == [stays.key]
    with pytest.raises(NoSuchKey):
        revoke(parts, gone.key.id, ME)


def test_another_tenant_sees_and_touches_no_key(parts):
    mine = made(parts)
    assert listing(parts, OTHER) == []
    with pytest.raises(NoSuchKey):
        revoke(parts, mine.key.id, OTHER)
    with pytest.raises(NoSuchKey):
        rotate(parts, mine.key.id, OTHER, grace=DAY)
    assert check(parts, mine.secret) == mine.key
    assert listing(parts, None) == listing(parts, ME) == [mine.key]


def test_a_key_that_has_expired_is_listed_and_not_rotated(parts):
    old = made(parts, lifetime=DAY)
    parts.catalogue.expire_key(old.key.id, tenant=None, at=datetime.now(UTC) - DAY)
    with pytest.raises(NoSuchKey):
        rotate(parts, old.key.id, ME, grace=DAY)
    assert [key.id for key in listing(parts, ME)] == [old.key.id]


def test_a_token_given_where_an_id_is_wanted_is_not_said_again(parts):
    new = made(parts)
    for act in (lambda: revoke(parts, new.secret, None), lambda: rotate(parts, new.secret, None, grace=DAY)):
        with pytest.raises(NoSuchKey) as caught:
            act()
        assert new.secret[16:] not in str(caught.value)
    assert check(parts, new.secret) == new.key


def test_a_key_revoked_while_it_is_rotated_leaves_no_key(parts):
    old = made(parts)
    real = parts.catalogue
    parts.__dict__["catalogue"] = Flaky(
        real, lambda name: real.revoke_key(old.key.id, tenant=None) if name == "expire_key" else None
    )
    with pytest.raises(NoSuchKey):
        rotate(parts, old.key.id, ME, grace=DAY)
    assert listing(parts, None) == []
