"""API keys: made, checked, replaced, taken back, and charged for what they use."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import secrets
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from time import monotonic

from core.desk import ApiKey, Quota, Role
from core.errors import BadQuery, BrokerDown, Forbidden, NoSuchKey, QuotaExceeded, TooLarge, Unauthorized
from core.runtime.settings import Settings
from core.runtime.wiring import Parts
from core.types import KeyId, Tenant

log = logging.getLogger(__name__)
TOKEN = re.compile(r"qv_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")  # id and secret: 32 random bytes in base64
ALPHABET = string.ascii_lowercase + string.digits
NOBODY = "0" * 64  # a hash that no secret is known to have
TENANT = re.compile(r"[A-Za-z0-9._-]{1,127}")
LONGEST_NAME = 100  # characters
LONGEST = timedelta(days=3653)  # of a lifetime or a grace
MOST = 10**15  # of a quota
DAY = timedelta(days=1)
NONE = timedelta(0)
SILENT = 5.0  # seconds for which a meter that does not answer is not asked
SAID_EVERY = 60.0  # seconds between two lines in the log about it


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new key and its secret, the whole token, which is kept nowhere and cannot be shown again."""

    key: ApiKey
    secret: str


def issue(
    parts: Parts,
    tenant: str,
    name: str,
    roles: Iterable[str],
    *,
    quota: Quota,
    lifetime: timedelta | None,
    by: ApiKey | None = None,
    operator: bool = False,
) -> Issued:
    """Make a key of a tenant. `lifetime` None: it does not expire.

    `operator` says that who runs the installation asks, at the command line: only then may the key have the role
    operator, or a larger quota than the key it is made with (`by`) or the settings. What `quota` leaves open is as `by`
    has it, and no key outlives the one that it was made with. Raises BadQuery, Forbidden.
    """
    kept = tenant_named(tenant)
    if not name.isprintable() or not name.strip() or len(name) > LONGEST_NAME:
        raise BadQuery(f"the name of an API key has 1 to {LONGEST_NAME} printable characters")
    chosen = _roles(roles)
    if Role.OPERATOR in chosen and not operator:
        raise Forbidden("a key of the role operator is made on the command line: `quiver keys create --role operator`")
    for field in fields(Quota):
        if (said := getattr(quota, field.name)) is not None and not 0 <= said <= MOST:
            raise BadQuery(f"{field.name} lies between 0, which is without limit, and {MOST:,}")
    if not operator:
        quota = _within(parts.settings, quota, by.quota if by else Quota())
    if lifetime is not None and not NONE < lifetime <= LONGEST:
        raise BadQuery(f"a key lives for more than no time and at most {LONGEST.days} days, or without limit")
    now = datetime.now(UTC)
    ends = [each for each in (now + lifetime if lifetime else None, by.expires_at if by else None) if each]
    made = ApiKey(
        id=_new_id(),
        tenant=kept,
        name=name,
        roles=chosen,
        quota=quota,
        created_at=now,
        expires_at=min(ends, default=None),  # a key outlives none that it was made with
    )
    return _kept(parts, made)


def check(parts: Parts, token: str) -> ApiKey:
    """The key that a token is of.

    Raises Unauthorized, which says the same whatever is wrong with it, and takes as long for an id that there is as for
    one that there is not.
    """
    read = TOKEN.fullmatch(token)
    found = parts.catalogue.key(KeyId(read[1])) if read else None
    said = _hash(read[2] if read else "")
    right = compare_digest(said, found[1] if found else NOBODY)
    if not found or not right:
        raise Unauthorized("the API key is unknown, has expired or was revoked: send `Authorization: Bearer KEY`")
    return found[0]


def rotate(parts: Parts, key_id: str, tenant: Tenant | None, *, grace: timedelta, operator: bool = False) -> Issued:
    """A new key with the same name, roles, quota and end; the old one expires after the grace, if not before.

    Of this tenant, or of any. Raises NoSuchKey for one that has expired too, BadQuery, and Forbidden for a key of the
    role operator unless `operator` says that who runs the installation asks.
    """
    if not NONE <= grace <= LONGEST:
        raise BadQuery(f"the old key lives on for at least no time and at most {LONGEST.days} days")
    found = parts.catalogue.key(_id(key_id))
    if found is None or tenant not in (None, found[0].tenant):
        raise _unknown()
    old = found[0]
    if Role.OPERATOR in old.roles and not operator:
        raise Forbidden("a key of the role operator is rotated on the command line: `quiver keys rotate`")
    now = datetime.now(UTC)
    made = _kept(parts, replace(old, id=_new_id(), created_at=now))
    try:
        parts.catalogue.expire_key(old.id, tenant=old.tenant, at=now + grace)
    except NoSuchKey:  # it was revoked meanwhile: nothing of it lives on
        parts.catalogue.revoke_key(made.key.id, tenant=old.tenant)
        raise
    return made


def revoke(parts: Parts, key_id: str, tenant: Tenant | None) -> None:
    """Refuse a key from now on: of this tenant, or of any. Raises NoSuchKey."""
    parts.catalogue.revoke_key(_id(key_id), tenant=tenant)
    log.info("API key %s is revoked", key_id)


def listing(parts: Parts, tenant: Tenant | None) -> list[ApiKey]:
    """The keys of a tenant, or all, by creation: expired ones too, revoked ones not."""
    return parts.catalogue.keys(tenant)


def tenant_named(said: str) -> Tenant:
    """A name that a tenant may have. Raises BadQuery."""
    if not TENANT.fullmatch(said):
        raise BadQuery("a tenant's name has 1 to 127 letters of a to z, digits and . _ -")
    return Tenant(said)


def charge(parts: Parts, key: ApiKey, *, queries: int = 0, assets: int = 0, bytes: int = 0) -> None:
    """Count what a key uses: all that is said, or nothing when one quota has not as much left.

    A key's quotas are its own or else those of the settings. Of queries twice the rate may come at once; what a day
    allows may come at once and is there again bit by bit. Raises QuotaExceeded, whose `retry_after` is enough, and
    TooLarge when it is more than there ever is. A meter that does not answer takes nothing down: nothing is counted
    then, which is logged once a minute, and it is asked again after five seconds.
    """
    wanted = {"queries_per_second": queries, "assets_per_day": assets, "bytes_per_day": bytes}
    allowances = list(_allowances(parts.settings, key.quota))
    spent: list[tuple[_Allowance, int]] = []
    for allowance in allowances:
        if (amount := wanted[allowance.name]) > allowance.most:
            raise TooLarge(
                f"{amount:,} at once are more than the quota of {allowance} of API key {key.name!r} ever allows: "
                "send less at once, or have the quota raised"
            )
    for allowance in allowances:
        if (amount := wanted[allowance.name]) <= 0:
            continue
        if wait := _spend(parts, key, allowance, amount):
            for taken, much in spent:
                _spend(parts, key, taken, -much)
            fault = QuotaExceeded(
                f"the quota of {allowance} of API key {key.name!r} is used up: send it again in "
                f"{math.ceil(wait.total_seconds()):,} s, or have the quota raised"
            )
            fault.retry_after = wait.total_seconds()
            raise fault
        spent.append((allowance, amount))


@dataclass(frozen=True, slots=True)
class _Allowance:
    name: str  # of the quota
    limit: float  # as it was said
    most: float
    per: timedelta

    def __str__(self) -> str:
        return f"{self.limit:,g} {self.name.replace('_', ' ').replace(' per ', ' a ')}"


def _allowances(settings: Settings, quota: Quota) -> Iterator[_Allowance]:
    """Those that are limited."""
    for field in fields(Quota):
        if not (limit := _limit(settings, quota, field.name)):
            continue
        if field.name == "queries_per_second":
            most = max(1.0, 2 * limit)
            yield _Allowance(field.name, limit, most, timedelta(seconds=min(most / limit, LONGEST.total_seconds())))
        else:
            yield _Allowance(field.name, limit, limit, DAY)


def _limit(settings: Settings, quota: Quota, name: str) -> float:
    own: float | None = getattr(quota, name)
    return float(getattr(settings, f"key_{name}") if own is None else own)


def _within(settings: Settings, quota: Quota, ceiling: Quota) -> Quota:
    """What is asked for, and else what the ceiling says. Raises Forbidden when it is more."""
    for field in fields(Quota):
        said, most = getattr(quota, field.name), _limit(settings, ceiling, field.name)
        if said is None:
            quota = replace(quota, **{field.name: getattr(ceiling, field.name)})
        elif most and (not said or said > most):
            raise Forbidden(f"{field.name} may be {most:,g} at most, and not without limit: ask the operator for more")
    return quota


class _Outage:
    """Of a meter: until when it is left alone, and when that was last logged, on the monotonic clock."""

    def __init__(self) -> None:
        self.until = self.said = -math.inf

    def close(self) -> None:
        """It holds nothing."""


def _spend(parts: Parts, key: ApiKey, allowance: _Allowance, amount: int) -> timedelta:
    outage = parts.also(_Outage, _Outage)
    if monotonic() < outage.until:
        return NONE
    try:
        return parts.meter.spend(f"{key.id}:{allowance.name}", amount, most=allowance.most, per=allowance.per)
    except BrokerDown as fault:
        now = monotonic()
        outage.until = now + SILENT
        if now - outage.said >= SAID_EVERY:
            outage.said = now
            log.warning("quotas of API keys are not kept until it answers: %s", fault)
        return NONE


def _kept(parts: Parts, key: ApiKey) -> Issued:
    secret = secrets.token_urlsafe(32)
    parts.catalogue.create_key(key, _hash(secret))
    log.info("API key %s of %s is made: %s, expires %s", key.id, key.tenant, sorted(key.roles), key.expires_at)
    return Issued(key=key, secret=f"qv_{key.id}_{secret}")


def _new_id() -> KeyId:
    return KeyId("".join(secrets.choice(ALPHABET) for _ in range(12)))


def _hash(secret: str) -> str:
    # It has 256 random bits: nothing is gained by a slow hash, and a request would pay for it.
    return hashlib.sha256(secret.encode()).hexdigest()


def _roles(said: Iterable[str]) -> frozenset[Role]:
    try:
        roles = frozenset(Role(role) for role in said)
    except ValueError as exc:
        raise BadQuery(f"{exc}: a role is one of {', '.join(Role)}") from exc
    if not roles:
        raise BadQuery(f"a key has at least one role of {', '.join(Role)}")
    return roles


def _id(said: str) -> KeyId:
    if not re.fullmatch(r"[a-z0-9]{12}", said):  # perhaps the whole token: it is not said again
        raise _unknown()
    return KeyId(said)


def _unknown() -> NoSuchKey:
    return NoSuchKey("there is no valid API key of that id: it is the 12 characters that `quiver keys list` shows")
