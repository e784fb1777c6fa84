"""A web server on loopback that says exactly the bytes it is told, however wrong they are, and remembers who asked."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType

Answer = bytes | Callable[[socket.socket], None]


def page(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """An answer as servers give it."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    return page(b"moved", f"Location: {to}", status=status)


class Web:
    """Answers by path, one connection a request. What is not there is 404."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Answer | list[Answer]] = {}  # of a list each in turn, then the last
        self.asked: list[str] = []  # heads of requests
        self.ended = Event()
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [Thread(target=self._listen)]
        self._threads[0].start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._context else 'http'}://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [head.split()[1] for head in self.asked]

    def drip(self, head: bytes, each: Iterator[bytes], seconds: float) -> Callable[[socket.socket], None]:
        """Says the head, then the rest piece by piece with pauses, until the client goes or the server ends."""

        def say(client: socket.socket) -> None:
            client.sendall(head)
            for piece in each:
                if self.ended.wait(seconds):
                    return
                client.sendall(piece)

        return say

    def hang(self, head: bytes = b"") -> Callable[[socket.socket], None]:
        """Says the head, then nothing more."""
        return self.drip(head, iter([b""]), 60)

    def __enter__(self) -> Web:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            client.settimeout(10)
            thread = Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):  # the client hangs up when it has seen enough
            if self._context is not None:
                with self._context.wrap_socket(client, server_side=True) as secure:
                    self._answer(secure)
            else:
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            got = client.recv(65_536)
            if not got:
                return
            head += got
        self.asked.append(head.decode())
        answer = self.pages.get(head.split()[1].decode(), page(b"not here", status="404 Not Found"))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, bytes):
            client.sendall(answer)
        else:
            answer(client)
