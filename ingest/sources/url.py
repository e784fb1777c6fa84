"""Addresses on the web as a source: what they are called, and which machines may be asked."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from core.types import Metadata

LONGEST = 1_000  # characters of an id made of an address; the catalogue takes 1,023
Network = IPv4Network | IPv6Network

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|[0-9a-f]{0,4}:[0-9a-f:.]{1,41}")
_CREDENTIALS = re.compile(r"^([^/?#]*//)[^/?#]*@")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how a network without IPv4 writes an IPv4 address
_UNICAST = IPv6Network("2000::/3")  # all that is public in IPv6; what lies outside is special, or not given out
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214: before an IPv4 address, in the lower half
_NOT_PUBLIC: tuple[Network, ...] = (  # and yet `is_global`, at least in some release of Python
    IPv4Network("192.0.0.0/24"),  # protocol assignments; a cloud's metadata are at 192.0.0.192
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("168.63.129.16/32"),  # a cloud's virtual host: secrets of the machine for all that asks from inside
    IPv6Network("2001::/32"),  # Teredo: tunnels to IPv4
    IPv6Network("3fff::/20"),  # documentation
)


@dataclass(frozen=True, slots=True)
class Remote:
    """Something to be fetched and ingested."""

    external_id: str
    url: str
    metadata: Metadata = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of its path, as a hint of what it is; the query does not count. May be empty."""
        try:
            return PurePosixPath(unquote(urlsplit(self.url).path)).name
        except ValueError:  # not readable as an address: fetching it says so
            return ""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched, and how long that may take."""

    hosts: frozenset[str] = frozenset()  # as in DNS, in small letters; empty: any
    networks: tuple[Network, ...] = ()  # allowed although they are not public
    seconds: float = 30.0  # from the first look-up to the last byte, redirects and second tries included

    def allows(self, address: str) -> bool:
        """Whether this IP address may be connected to: it is public, or of one of the networks."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address):
            if ip.scope_id is not None:
                return False
            ip = ip.ipv4_mapped or ip  # the system connects to such a one over IPv4
        return any(ip in network for network in self.networks) or _public(ip)


def host_of(said: str) -> str | None:
    """A host as in DNS or an IP address, in small letters and without the dot at its end; None when it is no such."""
    host = said.lower().removesuffix(".")
    return host if _HOST.fullmatch(host) else None


def url_id(url: str) -> str:
    """The external id of an address that was given none: itself without fragment and credentials, in Unicode NFC.

    Of one that is too long, its beginning and a digest of the whole.
    """
    bare = _CREDENTIALS.sub(r"\1", url.partition("#")[0].strip())
    name = unicodedata.normalize("NFC", bare or url)
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{name[: LONGEST - 17]}~{digest}"


def _public(ip: IPv4Address | IPv6Address) -> bool:
    if any(ip in network for network in _NOT_PUBLIC) or ip.is_multicast:
        return False
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_reserved
    if ip in _NAT64:
        return _public(_last(ip))
    if ip not in _UNICAST or not ip.is_global:
        return False
    if ip.sixtofour is not None:
        return _public(ip.sixtofour)
    return (int(ip) >> 32) & 0xFFFF_FFFF not in _ISATAP or _public(_last(ip))


def _last(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFF_FFFF)
