"""Fetching from servers that hang, fail, lie or speak another language."""

from __future__ import annotations

import itertools
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ForbiddenAddress, RemoteFailed, TooLarge
from ingest.sources import fetch as fetching
from tests.conftest import missing
from tests.fetched import SECRET, fault, got, policy
from tests.web import Web, page, redirect


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        yield server


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSE", 0)


# Time


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["nothing", "half a head", "headers", "informational", "body", "chunks"],
)
def test_a_server_that_hangs_or_drips_is_left_when_the_time_is_over(web, head, piece):
    web.pages["/"] = web.drip(head, itertools.repeat(piece), 0.05)
    began = monotonic()
    said = fault(web.url("/"), policy(0.5))
    assert 0.4 < monotonic() - began < 10
    assert isinstance(said, RemoteFailed)
    assert str(said) == "127.0.0.1: not fetched within 0.5 s: send the bytes or raise QUIVER_FETCH_SECONDS"


def test_the_time_is_for_all_redirects_together(web):
    def slow(client: socket.socket) -> None:
        web.ended.wait(0.4)
        client.sendall(redirect("/"))

    web.pages["/"] = slow
    assert "within 1 s" in str(fault(web.url("/"), policy(1)))
    assert len(web.asked) <= 3


def test_a_look_up_that_hangs_is_left_too():
    ended = Event()

    def lookup(host: str, port: int) -> Sequence[str]:
        ended.wait(20)
        return ["127.0.0.1"]

    began = monotonic()
    assert "within 0.3 s" in str(fault("http://slow.example/", policy(0.3), lookup=lookup))
    assert monotonic() - began < 5
    ended.set()


def test_a_handshake_that_hangs_is_left_too(web):
    web.pages["/"] = page()
    said = fault(web.url("/").replace("http:", "https:"), policy(0.5))  # the server waits for an end of the request
    assert "within 0.5 s" in str(said)


# Failures


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 404, 410, 418, 499])
def test_an_answer_that_is_no_file_is_told_by_its_number_and_not_by_its_words(web, status):
    web.pages["/"] = page(b"" if status in (204, 304) else SECRET, status=f"{status} {SECRET.decode()}")
    said = fault(web.url("/"))
    assert isinstance(said, RemoteFailed)
    assert str(said) == f"127.0.0.1 answered {status}: check the address, or send the bytes"
    assert len(web.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_once_more(web, status):
    failed = page(SECRET, status=f"{status} Oh")
    web.pages |= {"/once": [failed, page(b"hello")], "/twice": [failed, failed, page(b"hello")]}
    assert got(web.url("/once")) == b"hello"
    said = fault(web.url("/twice"))
    assert isinstance(said, RemoteFailed)
    assert f"127.0.0.1 answered {status}: try again later" in str(said)
    assert web.paths == ["/once"] * 2 + ["/twice"] * 2


@pytest.mark.parametrize(("said", "slept"), [("0", [0.0]), ("5", [5.0]), ("6", []), ("86400", []), ("Fri, 31 Dec", [])])
def test_a_server_that_asks_to_wait_is_waited_for_a_little(web, monkeypatch, said, slept):
    waited: list[float] = []
    monkeypatch.setattr(fetching, "sleep", waited.append)
    busy = page(SECRET, f"Retry-After: {said}", status="503 Busy")
    web.pages["/"] = [busy, page(b"hello")]
    if slept:
        assert got(web.url("/")) == b"hello"
    else:
        assert "503" in str(fault(web.url("/")))
    assert waited == slept


def test_a_second_try_that_would_come_too_late_is_not_waited_for(web):
    web.pages["/"] = page(SECRET, "Retry-After: 5", status="503 Busy")
    began = monotonic()
    assert "503" in str(fault(web.url("/"), policy(4)))
    assert monotonic() - began < 3


def test_a_port_where_nobody_listens_is_tried_twice():
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    def lookup(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    said = fault(f"http://closed.example:{port}/", lookup=lookup)
    assert isinstance(said, RemoteFailed)
    assert str(said) == "closed.example: it takes no connection: check the address, or send the bytes"
    assert len(asked) == 2


NO_HTTP = [
    b"",
    b"\x16\x03\x01",
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500_000 + b"\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
]


@pytest.mark.parametrize("answer", NO_HTTP, ids=[repr(answer[:60]) for answer in NO_HTTP])
def test_an_answer_that_is_no_http_is_refused(web, answer):
    web.pages["/"] = answer
    assert isinstance(fault(web.url("/")), RemoteFailed)


heads = st.lists(
    st.sampled_from(
        [
            *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 302 x\r\n", b"Location: /\r\n", b"Location: \xff\xfe://\r\n", b"\r\n"),
            *(
                b"Content-Length: 3\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Content-Encoding: gzip\r\n",
                b"3\r\nabc\r\n",
            ),
            *(
                b"Location: http://\xe4\xbe\x8b.jp:70000/\r\n",
                b"Retry-After: 0\r\n",
                b"Content-Length: 9e9\r\n",
                b"abc",
            ),
        ]
    )
    | st.binary(max_size=20),
    max_size=8,
).map(b"".join)


@given(heads)
def test_any_answer_is_a_file_or_a_refusal(answer):
    with Web() as web:
        web.pages["/"] = answer
        try:
            got(web.url("/"), policy(5))
        except (ForbiddenAddress, RemoteFailed, TooLarge):
            return


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for photos.example, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=photos.example"
    named = ["-addext", "subjectAltName=DNS:photos.example", "-keyout", "key.pem", "-out", "cert.pem"]
    try:
        subprocess.run(["openssl", *made.split(), *named], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        missing("openssl", "install it")
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[Web]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Web(context) as server:
        server.pages["/"] = page(b"hello")
        yield server


def test_a_certificate_is_checked_for_the_name_and_not_for_the_address(secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))

    def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    assert got(secure.url("/", host="photos.example"), lookup=lookup) == b"hello"
    assert got(secure.url("/", host="photos.example."), lookup=lookup) == b"hello"
    for host in ("other.example", "127.0.0.1"):
        said = fault(secure.url("/", host=host), lookup=lookup)
        assert isinstance(said, RemoteFailed)
        assert "certificate is not to be trusted" in str(said)


def test_a_certificate_that_nobody_signed_is_not_trusted(secure):
    said = fault(secure.url("/", host="photos.example"), lookup=lambda *_: ["127.0.0.1"])
    assert isinstance(said, RemoteFailed)
    assert "certificate is not to be trusted" in str(said)
    assert not secure.asked


def test_a_server_without_tls_is_told():
    def serve() -> None:
        client, _ = listening.accept()
        with client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve)
        thread.start()
        assert "no encrypted connection" in str(fault(f"https://127.0.0.1:{listening.getsockname()[1]}/"))
        thread.join()
