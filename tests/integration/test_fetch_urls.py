"""Fetching from a real server on this machine: what is there, where it leads, and how much of it is taken."""

from __future__ import annotations

import gzip
import itertools
import socket
import zlib
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from core.errors import ForbiddenAddress, RemoteFailed, TooLarge
from ingest.limits import Limits
from ingest.sources import fetch as fetching
from ingest.sources.fetch import fetch
from ingest.sources.url import FetchPolicy
from tests.fetched import ALL, HERE, SECRET, fault, got, policy
from tests.web import Web, page, redirect


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        yield server


# What is there


def test_a_file_is_fetched_whole_by_a_request_that_says_little(web, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.setenv("NETRC", "/dev/null")
    web.pages["/a%20b?c=d"] = page(b"hello")
    assert got(web.url("/a b?c=d#part")) == b"hello"
    assert web.asked == [
        f"GET /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nUser-Agent: quiver\r\nAccept: */*\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ]


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_what_is_fetched_can_be_sought_in_whatever_its_size(web, size):
    data = bytes(itertools.islice(itertools.cycle(range(251)), size))
    web.pages["/"] = page(data)
    with fetch(web.url("/"), policy=policy(), limits=ALL) as source:
        assert source.seek(0, 2) == size
        assert source.seek(size // 2) == size // 2
        assert source.read() == data[size // 2 :]


def test_a_body_in_chunks_and_one_that_ends_with_the_connection(web):
    web.pages["/chunks"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    web.pages["/close"] = b"HTTP/1.0 200 OK\r\n\r\nabcde"
    assert got(web.url("/chunks")) == got(web.url("/close")) == b"abcde"


def test_the_host_is_asked_by_its_name_at_the_address_that_was_found(web):
    web.pages["/"] = page(b"hello")
    url = web.url("/", host="Photos.Example.")
    assert got(url, policy(hosts=frozenset(["photos.example"])), lookup=lambda _host, _port: ["127.0.0.1"]) == b"hello"
    assert f"\r\nHost: photos.example:{web.port}\r\n" in web.asked[0]


def test_a_second_address_is_tried_when_the_first_takes_no_connection(web):
    web.pages["/"] = page(b"hello")
    allowed = FetchPolicy(networks=(*HERE, ip_network("::1/128")), seconds=20)
    assert got(web.url("/", host="two.example"), allowed, lookup=lambda *_: ["::1", "127.0.0.1"]) == b"hello"


# Redirects


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_followed(web, status):
    web.pages |= {"/a/b": redirect("c?d#e", status), "/a/c?d": redirect(web.url("/f")), "/f": page(b"there")}
    assert got(web.url("/a/b")) == b"there"
    assert web.paths == ["/a/b", "/a/c?d", "/f"]


def test_five_redirects_are_followed_and_no_more(web):
    web.pages |= {f"/{n}": redirect(f"/{n + 1}") for n in range(6)} | {"/6": page(b"there")}
    assert got(web.url("/1")) == b"there"
    assert isinstance(fault(web.url("/0")), RemoteFailed)


def test_a_redirect_in_a_circle_ends(web):
    web.pages |= {"/a": redirect("/b"), "/b": redirect("/a")}
    said = fault(web.url("/a"))
    assert isinstance(said, RemoteFailed)
    assert "over 5 redirects" in str(said)
    assert len(web.asked) == 6


INSIDE = [
    "http://127.0.0.2/",
    "http://127.0.0.2:8080/",
    "http://[::1]/",
    "//127.0.0.2/a",
    "http://localhost:1/",
    "http://[::ffff:127.0.0.2]/",
    "http://2130706434/",
    "http://0x7f.2/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "https://10.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/",
    "ftp://127.0.0.1/",
    "http://me:secret@127.0.0.1:8080/",
    "http://127.0.0.1:22/",
    "http://127.0.0.1:99999/",
    "http://[",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("to", INSIDE)
def test_a_redirect_is_checked_like_the_first_address(web, monkeypatch, to):
    monkeypatch.setattr(socket, "getaddrinfo", only_this_machine(socket.getaddrinfo))
    web.pages["/"] = redirect(to)
    said = fault(web.url("/"))
    assert isinstance(said, ForbiddenAddress)
    assert "secret" not in str(said)
    assert len(web.asked) == 1


def only_this_machine(real: Any) -> Any:
    """`localhost` as a machine says it whose own address is not allowed here."""

    def getaddrinfo(host: str, *more: Any, **named: Any) -> Any:
        return real("127.0.0.2" if host == "localhost" else host, *more, **named)

    return getaddrinfo


def test_a_redirect_out_of_the_listed_hosts_is_refused(web):
    web.pages |= {"/": redirect(web.url("/there", host="other.example")), "/there": page(b"there")}
    url = web.url("/", host="one.example")

    def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    assert isinstance(fault(url, policy(hosts=frozenset(["one.example"])), lookup=lookup), ForbiddenAddress)
    assert got(url, policy(hosts=frozenset(["one.example", "other.example"])), lookup=lookup) == b"there"


def test_a_name_is_looked_up_once_a_connection_and_checked_each_time(web):
    asked = []

    def lookup(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    web.pages |= {"/": page(b"first"), "/away": redirect("/")}
    assert got(web.url("/", host="rebinding.example"), lookup=lookup) == b"first"
    assert asked == [("rebinding.example", web.port)]
    asked.clear()
    assert isinstance(fault(web.url("/away", host="rebinding.example"), lookup=lookup), ForbiddenAddress)
    assert web.paths == ["/", "/away"]


# Limits


def test_a_length_over_the_limit_is_refused_before_anything_is_read(web):
    web.pages["/"] = web.hang(b"HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n")
    said = fault(web.url("/"), limits=Limits(bytes=1024))
    assert isinstance(said, TooLarge)
    assert "1,025 bytes, but the limit is 1,024" in str(said)
    assert "QUIVER_MAX_BYTES" in str(said)


def test_a_body_of_just_the_limit_is_taken(web):
    web.pages["/"] = page(b"x" * 1024)
    assert len(got(web.url("/"), limits=Limits(bytes=1024))) == 1024


@pytest.mark.parametrize("head", [b"", b"Content-Encoding: gzip\r\n"])
def test_a_body_without_end_is_refused_at_the_limit(web, head):
    # What is compressed here is an endless row of empty blocks: it takes no room and never ends.
    block = b"x" * 65_536 if not head else b"\0\0\0\xff\xff" * 10_000
    start = gzip.compress(b"")[:10] if head else b""
    web.pages["/"] = web.drip(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + start, itertools.repeat(block), 0)
    said = fault(web.url("/"), limits=Limits(bytes=2_000_000))
    assert isinstance(said, TooLarge)
    assert "it sends more, but the limit is 2,000,000" in str(said)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "GZip"])
def test_what_comes_compressed_all_the_same_is_unpacked(web, encoding):
    data = b"hello " * 100_000
    packed = zlib.compress(data) if encoding == "deflate" else gzip.compress(data[:9]) + gzip.compress(data[9:])
    web.pages["/"] = page(packed, f"Content-Encoding: {encoding}")
    assert got(web.url("/")) == data


def test_a_bomb_is_refused_at_the_limit_of_what_it_unpacks_to(web, monkeypatch):
    written = 0
    real = fetching._inflated

    def counted(blocks: Any) -> Iterator[bytes]:
        nonlocal written
        for block in real(blocks):
            written += len(block)
            yield block

    monkeypatch.setattr(fetching, "_inflated", counted)
    web.pages["/"] = page(gzip.compress(bytes(200_000_000), 1), "Content-Encoding: gzip")
    said = fault(web.url("/"), limits=Limits(bytes=1_000_000))
    assert isinstance(said, TooLarge)
    assert written <= 1_000_000 + fetching.BLOCK


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(SECRET, mtime=0)[:-4], "gzip"),
        (gzip.compress(SECRET, mtime=0) + b"rubbish", "gzip"),
        (SECRET, "gzip"),
        (b"", "gzip"),
        (SECRET, "br"),
        (SECRET, "gzip, gzip"),
        (SECRET, "<b>"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(web, body, encoding):
    web.pages["/"] = page(body, f"Content-Encoding: {encoding}")
    said = fault(web.url("/"))
    assert isinstance(said, RemoteFailed)
    assert "compress" in str(said)
