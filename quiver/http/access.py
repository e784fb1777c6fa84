"""Who asks: the tenant comes from the credential and from nowhere else."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from core.desk import ApiKey, Role
from core.errors import BadQuery, Forbidden, Misconfigured, MissingExtra, Unauthorized
from core.runtime.wiring import Parts
from core.types import Reading, Tenant
from quiver.facade import Quiver
from workers.collections import mark
from workers.fetching import may_fetch
from workers.keys import charge, check
from workers.staging import read_stage

PROXIED = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")  # headers that proxies add
bearer = HTTPBearer(auto_error=False, description="An API key: `quiver keys create`")
header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, for clients that cannot send a bearer")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and the facade that sees what it may see."""

    quiver: Quiver
    parts: Parts
    tenant: Tenant
    key: ApiKey | None  # None: the operator, on this machine, while there is no key yet

    def allows(self, role: Role) -> bool:
        """Whether it may do what that role may."""
        return self.key is None or self.key.allows(role)

    def charge(self, *, queries: int = 0, assets: int = 0, size: int = 0) -> None:
        """Count what it uses. Raises QuotaExceeded."""
        if self.key is not None:
            charge(self.parts, self.key, queries=queries, assets=assets, bytes=size)

    def profiles(self) -> set[str]:
        """The profiles that a request may name."""
        settings = self.parts.settings
        return {settings.profile, *(name.strip() for name in settings.profiles.split(",") if name.strip())}

    def profile(self, said: str | None) -> str | None:
        """A profile that a request names. Only those that the settings allow: a profile may name a folder or a model to
        be downloaded. Raises Forbidden."""
        allowed, wanted = self.profiles(), (said or "").partition("#")[0]
        if said is not None and wanted not in {*allowed, *map(self.parts.encoders.absolute, allowed)}:
            raise Forbidden(f"profile {said!r} may not be named here; may be: {', '.join(sorted(allowed))}")
        return said

    def ranks(self, said: Iterable[str | Mapping[str, Any]]) -> None:
        """Refuse stages that name a model other than the settings allow, as `profile` does, or one that this
        installation lacks. Raises Forbidden, BadQuery."""
        settings = self.parts.settings
        others = (name.strip() for name in settings.cross_encoders.split(","))
        allowed = {settings.cross_encoder, *(name for name in others if name)}
        for spec in said:
            name, options = read_stage(spec)
            model = options.get("model")
            if model is not None and model not in allowed:
                raise Forbidden(f"model {model!r} may not be named here; may be: {', '.join(sorted(allowed))}")
            if name == "cross-encoder":
                try:
                    self.parts.cross_encoder(model)
                except Misconfigured as fault:
                    raise BadQuery(f"{name}: this server cannot do that yet; its operator is told: {fault}") from fault

    def reads(self, said: Iterable[Reading] | None) -> Iterable[Reading] | None:
        """What a request has a collection read. Raises BadQuery for what this installation has no model for: the
        operator can mend that, and whoever asks is to be told so."""
        try:
            self.parts.readers.of(said or ())
        except Misconfigured as fault:
            raise BadQuery(f"reads: this server cannot do that yet; its operator is told: {fault}") from fault
        return said


@contextmanager
def able() -> Iterator[None]:
    """What takes a package that is not installed is refused: the operator can mend that, and whoever asks is to be told
    so. Raises BadQuery."""
    try:
        yield
    except MissingExtra as fault:
        raise BadQuery(f"this server cannot do that yet; its operator is told: {fault}") from fault


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def identify(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    header: Annotated[str | None, Depends(header)],
) -> Caller:
    """The caller. Raises Unauthorized, Forbidden."""
    parts: Parts = request.app.state.parts
    woken: Callable[[], None] | None = request.app.state.woken
    token = bearer.credentials if bearer else header
    if not token:
        _keyless(request, parts)
        tenant = Tenant(parts.settings.tenant)
        return Caller(Quiver(parts, woken=woken), parts, tenant, None)
    key = check(parts, token)
    request.state.mark, request.state.key = mark(key.tenant), f"key {key.id} of {key.tenant}"
    quiver = Quiver(
        parts,
        tenant=key.tenant,
        owner=key.tenant,
        fetches=may_fetch(parts, key.tenant),
        operates=key.allows(Role.OPERATOR),
        woken=woken,
    )
    return Caller(quiver, parts, key.tenant, key)


def vouched(request: Request) -> None:
    """Nothing, when the request has a credential that is good. Raises Unauthorized, Forbidden."""
    parts: Parts = request.app.state.parts
    scheme, _, credentials = (request.headers.get("authorization") or "").partition(" ")
    token = credentials if scheme.lower() == "bearer" else request.headers.get("x-api-key")
    if token:
        check(parts, token)
    else:
        _keyless(request, parts)


def _keyless(request: Request, parts: Parts) -> None:
    """Without a key only a person on this machine is served, and only until the first key is made."""
    if not request.app.state.keyless or parts.catalogue.keyed():
        raise Unauthorized
    # A page of the web that is open in a browser here can send requests here: by a name that it had resolve to this
    # machine, or as a form. Neither is this person.
    host = _name(request.headers.get("host", ""))
    if proxied := [name for name in PROXIED if name in request.headers]:
        raise Forbidden(f"a proxy passed this on ({proxied[0]}): who comes that way needs an API key")
    if not is_loopback(host):
        raise Forbidden(
            f"without an API key only localhost is served, not {host!r}: make a key with `quiver keys create`"
        )
    origin = request.headers.get("origin", "")
    foreign = origin not in ("", "null") and not is_loopback(_name(origin.partition("://")[2]))
    if foreign or origin == "null" or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Forbidden("a page of another site may not ask without an API key")


def _name(said: str) -> str:
    """The host of HOST or HOST:PORT, an IPv6 address without its brackets."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](:\d+)?", said)
    return bracketed[1] if bracketed else said.rpartition(":")[0] or said


def having(role: Role) -> Any:
    """A parameter of an endpoint: the caller, who has that role. Raises Unauthorized, Forbidden."""

    def dependency(caller: Annotated[Caller, Depends(identify)]) -> Caller:
        if not caller.allows(role):
            raise Forbidden(f"this needs the role {role}: ask an administrator for a key that has it")
        return caller

    return Depends(dependency)


Reader = Annotated[Caller, having(Role.READER)]
Writer = Annotated[Caller, having(Role.WRITER)]
Admin = Annotated[Caller, having(Role.ADMIN)]
