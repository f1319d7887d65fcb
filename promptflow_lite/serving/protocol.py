"""How does a connection behave? uvicorn's protocol, with limits for heads and for clients that linger."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Connection"]

_HEAD_S = 10.0
_LINGER_S = 10.0
_HEAD_BYTES = 64 * 1024


_CONTINUE = b"HTTP/1.1 100 "


class _Joining:
    """The transport of one answer: its head leaves in one piece with what follows at once.

    uvicorn writes them apart: two calls of the system, and often two packets, for each answer.
    """

    __slots__ = ("_head", "_is_begun", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Send `data`; a head waits until the loop turns."""
        if self._is_begun or data.startswith(_CONTINUE):
            self._send(data)
            return
        self._is_begun, self._head = True, data
        self._loop.call_soon(self._send, b"")

    def close(self) -> None:
        """Close the connection once all is sent."""
        self._send(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def _send(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if head or data:
            self._transport.write(head + data)


class Connection(HttpToolsProtocol):
    """One connection.

    uvicorn with httptools bounds neither the size of a head nor the time it may take, and reads a body that
    nobody wants for as long as it comes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._head_size = 0
        self._heads = 0
        """How many came whole."""
        self._in_message = False
        self._left = 0
        """Bytes of the last answer that the caller had not read when we last looked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._start(_HEAD_S, self._slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; start the clock where they leave a head unfinished, as nearly none do."""
        if self.transport.is_closing():
            return
        is_of_head, heads = not self._in_message, self._heads
        super().data_received(data)
        if is_of_head and self._heads == heads and self._timer is None and not self.transport.is_closing():
            self._start(_HEAD_S, self._slow_head)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head_size = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the head's bytes."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the head's bytes."""
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The head is in time."""
        self._stop()
        self._heads += 1
        self._in_message = True
        if self.transport.is_closing():
            return
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = _Joining(self.transport, self.loop)  # type: ignore[assignment]  # all it asks

    def on_body(self, body: bytes) -> None:
        """Part of a body came."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The message is whole: nothing is left to linger for."""
        self._in_message = False
        self._stop()
        if self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """After an early answer, read on for a while, so that the caller gets to read it."""
        super().on_response_complete()
        self._left = sys.maxsize
        if self._in_message and not self.transport.is_closing():
            self._start(_LINGER_S, self.transport.close)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; cut off one whose answer the caller does not read."""
        left = self.transport.get_write_buffer_size()
        if left and left < self._left:  # slow, but it reads
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif left:
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()
        self._left = left

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > _HEAD_BYTES and not self.transport.is_closing():
            self._say(b"431 Request Header Fields Too Large", b"head-too-large", b"the head is too large")

    def _slow_head(self) -> None:
        idle = self._head_size == 0 and self.cycle is None
        if idle or self.transport.is_closing():
            self.transport.close()
        else:
            self._say(b"408 Request Timeout", b"slow-head", b"the head took too long")

    def _say(self, status: bytes, code: bytes, message: bytes) -> None:
        body = b'{"error":{"code":"%b","message":"%b"}}' % (code, message)
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (
            status,
            len(body),
        )
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets the form that every error has."""
        self._say(b"400 Bad Request", b"bad-request", b"this is no HTTP request")

    def _start(self, seconds: float, then: Any) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, then)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
