"""How does an answer leave? As JSON, as text, or as server-sent events, part by part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from promptflow_lite.serving.call import Send
from promptflow_lite.serving.refusal import ClientGone
from promptflow_lite.tools.clock import Clock
from promptflow_lite.values import to_plain

__all__ = ["EventStream", "dumps", "event", "send", "send_json"]

Header = tuple[bytes, bytes]
_STALLED_S = 60.0
_HEAD = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"))


def dumps(value: Any) -> bytes:
    """`value` as strict JSON: what JSON cannot hold is made plain first."""
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):
        plain = to_plain(value)
    try:
        return orjson.dumps(plain)
    except TypeError:  # an int of more than 64 bits
        return json.dumps(plain, ensure_ascii=False).encode()


async def send_json(out: Send, status: int, value: Any, headers: Sequence[Header] = ()) -> None:
    """Send `value` as the whole answer."""
    await send(out, status, dumps(value), b"application/json", headers)


async def send(out: Send, status: int, body: bytes, kind: bytes, headers: Sequence[Header] = ()) -> None:
    """Send `body` as the whole answer."""
    head = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers]
    await out({"type": "http.response.start", "status": status, "headers": head})
    await out({"type": "http.response.body", "body": body})


def event(data: bytes, name: bytes | None = None) -> bytes:
    """One server-sent event; `data` is one line."""
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data


class EventStream:
    """Server-sent events; the head goes out with the first one.

    A reader that takes nothing for a minute is cut off.
    """

    def __init__(self, out: Send) -> None:
        self._out = out
        self.is_open = False

    async def write(self, *events: bytes) -> None:
        """Send events in one piece; without any a comment, lest someone takes the silence for the end."""
        await self._write(b"".join(events) or b": waiting\n\n")

    async def end(self) -> None:
        """Send the end of the answer."""
        await self._write(b"", more=False)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        try:
            with Clock.after(_STALLED_S):
                if not self.is_open:
                    self.is_open = True
                    await self._out({"type": "http.response.start", "status": 200, "headers": list(_HEAD)})
                await self._out({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            raise ClientGone from None
