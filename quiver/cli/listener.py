"""Connections of the HTTP server that say nothing are closed: a thousand of them would keep everybody out."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

SILENT = 10.0  # seconds from the connection to the end of the first request's head


class Listener(H11Protocol):
    """uvicorn's protocol, with a limit for the head of the first request. Later ones have `timeout_keep_alive`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself
        """See asyncio."""
        super().connection_made(transport)
        self.loop.call_later(SILENT, self._look)

    def _look(self) -> None:
        if vars(self)["cycle"] is None and not self.transport.is_closing():  # declared as if there always were one
            self.transport.close()
