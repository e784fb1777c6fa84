"""Which addresses the settings let be fetched, for whom, and how."""

from __future__ import annotations

from contextlib import AbstractContextManager
from ipaddress import ip_network
from typing import BinaryIO

from core.errors import Misconfigured
from core.runtime.wiring import Parts
from core.types import Tenant
from ingest.register import Fetcher
from ingest.sources.url import FetchPolicy, Network, host_of
from workers.decoding import limits_of


def may_fetch(parts: Parts, tenant: Tenant) -> bool:
    """Whether requests of this tenant may name an address to be fetched."""
    said = _listed(parts.settings.fetch_tenants)
    return "*" in said or tenant in said


def policy_of(parts: Parts) -> FetchPolicy:
    """What the settings let be fetched. Raises Misconfigured."""
    said = parts.settings
    return FetchPolicy(
        hosts=frozenset(_host(each) for each in _listed(said.fetch_hosts)),
        networks=tuple(_network(each) for each in _listed(said.fetch_networks)),
        seconds=said.fetch_seconds,
    )


def fetcher_of(parts: Parts) -> Fetcher:
    """How addresses are fetched. Raises Misconfigured."""
    policy, limits = policy_of(parts), limits_of(parts)

    def fetcher(url: str) -> AbstractContextManager[BinaryIO]:
        from ingest.sources.fetch import fetch  # slow to import, and most never fetch

        return fetch(url, policy=policy, limits=limits)

    return fetcher


def _listed(said: str) -> list[str]:
    return [each.strip() for each in said.split(",") if each.strip()]


def _host(said: str) -> str:
    host = host_of(said)
    if host is None:
        raise Misconfigured(
            f"QUIVER_FETCH_HOSTS: {said!r} is no host: write each as in DNS, like images.example.com, without scheme, "
            "port, path and *"
        )
    return host


def _network(said: str) -> Network:
    try:
        return ip_network(said)
    except ValueError as exc:
        raise Misconfigured(f"QUIVER_FETCH_NETWORKS: {exc}: write each as 10.1.0.0/16 or fd12::/16") from exc
