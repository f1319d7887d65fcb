"""How do a run and its worker processes talk? In JSON, each message after its length, over a socket pair.

No pickle: what a worker sends is data, whatever the user's code has done to the worker.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from promptflow_lite.runs.records import dumps, loads

__all__ = ["Frames", "Message", "pack"]

Message = dict[str, Any]
"""One key that says what it is, and perhaps others."""

_LENGTH = struct.Struct("!I")
_LONGEST = 1 << 30
"""Bytes; a longer message is no message, but something else that was written to the socket."""


def pack(message: Message) -> bytes:
    """A message as it goes over the wire.

    Raises:
        ValueError: it is longer than 1 GB.
    """
    body = dumps(message)
    if len(body) > _LONGEST:
        raise ValueError(f"a message of {len(body)} bytes; at most {_LONGEST} can be sent")
    return _LENGTH.pack(len(body)) + body


class Frames(asyncio.Protocol):
    """Cuts what comes in into messages, and puts them in a queue; `None` once the other side is gone."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        """Take in some bytes."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > _LONGEST:
                self._garbled()
                return
            end = at + _LENGTH.size + length
            if len(buffer) < end:
                break
            try:
                message = loads(bytes(buffer[at + _LENGTH.size : end]))
            except ValueError:
                self._garbled()
                return
            self.queue.put_nowait(message)
            at = end
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self.queue.put_nowait(None)

    def _garbled(self) -> None:
        """Something else than a message came: whoever wrote it cannot be talked to any more."""
        self._buffer.clear()
        self.queue.put_nowait(None)
