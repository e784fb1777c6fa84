"""Addresses as a source: what they are called, and that none leads where strangers must not go."""

from __future__ import annotations

import socket
import unicodedata
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ForbiddenAddress, Misconfigured, RemoteFailed
from core.types import Tenant
from ingest.limits import Limits
from ingest.sources import fetch as fetching
from ingest.sources.fetch import fetch
from ingest.sources.url import LONGEST, FetchPolicy, Remote, host_of, url_id
from tests.doubles import toy_parts
from workers.fetching import may_fetch, policy_of

# Names


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/a.jpg", "https://example.com/a.jpg"),
        ("https://example.com/a?b=c@d#part", "https://example.com/a?b=c@d"),
        ("https://me:secret@example.com/a", "https://example.com/a"),
        ("https://me:s@cret@example.com/a@b", "https://example.com/a@b"),
        ("https://example.com/cafe\u0301", "https://example.com/caf\u00e9"),
        ("#", "#"),
    ],
)
def test_an_address_is_called_by_itself_without_fragment_and_credentials(url, name):
    assert url_id(url) == name


def test_long_addresses_have_ids_that_fit_and_differ():
    long = "https://example.com/" + "a" * 5000
    ids = {url_id(long + end) for end in ("", "b", "c", "c#d")}
    assert len(ids) == 3
    assert all(len(one) == LONGEST and one.startswith("https://example.com/aaa") for one in ids)
    exact = long[:LONGEST]
    assert url_id(exact) == exact


@given(st.text(max_size=2000))
def test_any_address_has_an_id_in_nfc(url):
    if url:
        assert url_id(url)
    assert len(url_id(url)) <= LONGEST
    assert unicodedata.is_normalized("NFC", url_id(url))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://e.com/a/b%20c.jpg?x=y.png#z.gif", "b c.jpg"),
        ("https://e.com/", ""),
        ("https://e.com/?a.jpg", ""),
        ("http://[", ""),
    ],
)
def test_the_path_hints_at_what_it_is(url, name):
    assert Remote("x", url).name == name


# Addresses


def each(said: str) -> list[str]:
    return said.split()


FORBIDDEN = each("""
127.0.0.1 127.1.2.3 0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 168.63.129.16
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:7f00:1
64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 64:ff9b::a00:1
2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 2001:0:808:808::1 2001:0:7f00:1:: 2001:db8::1 2001:10::1 3fff::1
2607:f8b0::5efe:7f00:1 2607:f8b0::200:5efe:a00:1
100::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 2606:4700::1111%eth0 fec0::1 ff02::1 ff0e::1 4000::1
localhost 2130706433 127.1 0x7f000001 0177.0.0.1 1.2.3.4.5
""")
PUBLIC = each("""
8.8.8.8 1.1.1.1 93.184.216.34 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 168.63.129.17
2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1 2607:f8b0::5efe:808:808
""")
NETWORKS = tuple(ip_network(said) for said in ("10.1.0.0/16", "fd12::/16", "127.0.0.1/32"))


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_public_may_not_be_connected_to(address):
    assert not FetchPolicy().allows(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_may(address):
    assert FetchPolicy().allows(address)


def test_networks_of_the_operator_are_allowed_and_nothing_beside_them():
    policy = FetchPolicy(networks=NETWORKS)
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "127.0.0.1", "8.8.8.8"):
        assert policy.allows(address), address
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd13::1", "127.0.0.2", "64:ff9b::10.1.2.3", "::1", "fd12::1%eth0"):
        assert not policy.allows(address), address


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**80 - 1))
def test_no_spelling_in_ipv6_opens_an_ipv4_address(number, rest):
    inner = IPv4Address(number)
    spelt = [
        IPv6Address(number),
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64_FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80 | rest),
        IPv6Address(0x2001 << 112 | number << 64 | rest & (2**64 - 1)),
        IPv6Address(0x2001 << 112 | rest & (2**64 - 1) << 32 | number ^ 0xFFFF_FFFF),
        IPv6Address(0x2607_F8B0 << 96 | 0x5EFE << 32 | number),
    ]
    if not FetchPolicy().allows(str(inner)):
        assert not [str(ip) for ip in spelt if FetchPolicy().allows(str(ip))]


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**32 - 1).map(lambda n: n | 0x2002 << 112))
def test_only_global_unicast_is_public(number):
    ip = IPv6Address(number)
    if FetchPolicy().allows(str(ip)) and ip.ipv4_mapped is None and ip not in ip_network("64:ff9b::/96"):
        assert ip in ip_network("2000::/3")
        assert ip.is_global


# Fetching what must not be fetched: nobody is connected to


@pytest.fixture
def unreached(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: object) -> None:
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)


def refuse(url: str, policy: FetchPolicy = FetchPolicy(), *answers: str) -> str:  # noqa: B008  # a frozen value
    def lookup(host: str, port: int) -> Sequence[str]:
        assert answers, f"looked {host}:{port} up"
        return answers

    with pytest.raises(ForbiddenAddress) as caught, fetch(url, policy=policy, limits=Limits(), lookup=lookup):
        pass
    return str(caught.value)


SPELLINGS = each("""
http://127.0.0.1/ http://127.0.0.1:8080/ http://[::1]/ http://[::]/ http://0.0.0.0/ http://0/ http://[::ffff:127.0.0.1]/
http://2130706433/ http://0177.0.0.1/ http://0x7f000001/ http://0x7f.1/ http://127.1/ http://017700000001/
http://169.254.169.254/latest/meta-data/ http://[fd00::1]/ http://[fe80::1]/ http://[fe80::1%eth0]/
http://[fe80::1%25eth0]/ http://[64:ff9b::7f00:1]/ http://[2002:7f00:1::]/ http://100.64.0.1/ http://localhost/
http://localhost./ http://LOCALHOST:3000/ http://10.0.0.1/ http://192.168.1.1/ http://224.0.0.1/ https://127.0.0.1/
http://\uff11\uff12\uff17.0.0.1/ http://127\u30020\u30020\u30021/ http://\u24db\u24de\u24d2alhost/
""")


@pytest.mark.parametrize("url", SPELLINGS)
@pytest.mark.usefixtures("unreached")
def test_no_spelling_of_an_inner_address_is_fetched(url):
    with pytest.raises(ForbiddenAddress), fetch(url, policy=FetchPolicy(), limits=Limits()):
        pass


BAD_URLS = [
    ("", "http and https"),
    ("example.com/a.jpg", "http and https"),
    ("//example.com/", "http and https"),
    ("file:///etc/passwd", "http and https"),
    ("gopher://example.com/", "http and https"),
    ("ftp://example.com/", "http and https"),
    ("data:text/plain,x", "http and https"),
    ("jar:http://example.com/", "http and https"),
    (" http://example.com/", "http and https"),
    ("http:example.com", "no host"),
    ("http:///a", "no host"),
    ("http://a b/", "no host"),
    ("http://a%00b/", "no host"),
    ("http://a%2eb/", "no host"),
    ("http://-/", "no host"),
    ("http://me@example.com/", "user or a password"),
    ("http://me:secret@example.com/", "user or a password"),
    ("http://example.com\\@127.0.0.1/", "user or a password"),
    ("http://example.com/\r\nHost: a", "cannot be read"),
    ("http://example.com\r\n/", "cannot be read"),
    ("http://example.com/\0", "cannot be read"),
    ("http://example.com/\ud800", "cannot be read"),
    ("http://[::1/", "cannot be read"),
    ("http://[1.2.3.4]/", "cannot be read"),
    ("http://example.com:99999/", "port 99999"),
    ("http://example.com:22/", "port 22"),
    ("http://example.com:25/", "port 25"),
    ("http://example.com:0/", "port 0"),
    ("http://example.com:1023/", "port 1023"),
    ("https://other.com/", "QUIVER_FETCH_HOSTS"),
    ("https://sub.example.com/", "QUIVER_FETCH_HOSTS"),
]


@pytest.mark.parametrize(("url", "what"), BAD_URLS, ids=[ascii(url) for url, _ in BAD_URLS])
@pytest.mark.usefixtures("unreached")
def test_an_address_that_is_not_plain_is_refused_before_any_look_up(url, what):
    message = refuse(url, FetchPolicy(hosts=frozenset(["example.com", "127.0.0.1", "-"])))
    assert what in message
    assert "secret" not in message


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.usefixtures("unreached")
def test_a_name_that_leads_inside_is_refused_without_saying_where(address):
    message = refuse("http://example.com/", FetchPolicy(), address)
    assert "QUIVER_FETCH_NETWORKS" in message
    assert address not in message.replace("example.com", "")


@pytest.mark.parametrize("answers", [("8.8.8.8", "10.0.0.1"), ("10.0.0.1", "8.8.8.8"), ("8.8.8.8",) * 9 + ("::1",)])
@pytest.mark.usefixtures("unreached")
def test_a_name_is_refused_when_any_of_its_addresses_is_inside(answers):
    refuse("http://example.com/", FetchPolicy(), *answers)


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    asked: list[tuple[str, int]] = []
    connected: list[object] = []

    def lookup(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    def connect(self: socket.socket, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(fetching, "PAUSE", 0)
    url = "http://rebinding.example:8000/"
    with pytest.raises(ForbiddenAddress), fetch(url, policy=FetchPolicy(), limits=Limits(), lookup=lookup):
        pass
    assert connected == [("93.184.216.34", 8000)]  # looked up once for a connection, and again for the second try
    assert asked == [("rebinding.example", 8000)] * 2


def unknown(host: str, port: int) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def nothing(host: str, port: int) -> Sequence[str]:
    return []


@pytest.mark.parametrize("lookup", [unknown, nothing])
def test_a_host_that_is_not_in_dns_is_told(monkeypatch, lookup):
    monkeypatch.setattr(fetching, "PAUSE", 0)
    with (
        pytest.raises(RemoteFailed, match=r"^nowhere\.example: there is no such host"),
        fetch("http://nowhere.example/", policy=FetchPolicy(), limits=Limits(), lookup=lookup),
    ):
        pass


# Settings


@pytest.mark.parametrize(
    ("said", "tenant", "may"),
    [
        ("", "a", False),
        ("*", "a", True),
        ("a, b", "b", True),
        ("a,b", "c", False),
        ("ab", "a", False),
        (",", "", False),
    ],
)
def test_tenants_may_fetch_by_name(tmp_path, said, tenant, may):
    assert may_fetch(toy_parts(tmp_path, fetch_tenants=said), Tenant(tenant)) is may


def test_the_policy_is_what_the_settings_say(tmp_path):
    said = {
        "fetch_hosts": "Images.Example.com., 10.1.2.3",
        "fetch_networks": "10.1.0.0/16,fd12::/16",
        "fetch_seconds": 7,
    }
    assert policy_of(toy_parts(tmp_path, **said)) == FetchPolicy(
        frozenset(["images.example.com", "10.1.2.3"]), (ip_network("10.1.0.0/16"), ip_network("fd12::/16")), 7
    )
    assert policy_of(toy_parts(tmp_path)) == FetchPolicy(seconds=30)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fetch_hosts", "*.example.com"),
        ("fetch_hosts", "https://example.com"),
        ("fetch_hosts", "example.com:80"),
        ("fetch_hosts", "例え.jp"),
        ("fetch_networks", "10.1.2.3/16"),
        ("fetch_networks", "intranet"),
    ],
)
def test_a_policy_that_cannot_be_read_is_the_operators(tmp_path, setting, value):
    with pytest.raises(Misconfigured, match=f"QUIVER_{setting.upper()}.*write each"):
        policy_of(toy_parts(tmp_path, **{setting: value}))


@given(st.text(max_size=20))
def test_a_host_is_a_name_or_an_address(said):
    host = host_of(said)
    if host is not None and ":" not in host:
        assert host == host.lower()
        assert not set(host) & set("/@%?# *[]\\")
