"""How does a streamed answer come? Event by event, the silence between them and their size bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from promptflow_lite.connections.base import scrub
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.received import (
    LONGEST_ANSWER,
    body_of,
    broken,
    garbage,
    headers_of,
    parsed,
    refusal,
    start_of,
    too_long,
)

if TYPE_CHECKING:
    from wreq import Client, Response, Streamer

__all__ = ["EventStream"]

_STALLED_S = 60.0
"""How long a stream may be silent, before its first event and between any two."""
_LONGEST_STREAM = 64 * 1024 * 1024
"""Events wrap each word in some 200 characters of JSON."""


class EventStream:
    """A streamed answer under way, its first event at hand."""

    def __init__(self, endpoint: Endpoint, response: Response) -> None:
        self._endpoint = endpoint
        self._response = response
        self._chunks: Streamer = response.stream()
        self._buffer = b""
        self._size = 0
        self._first: dict[str, Any] | None = None
        self._done = False
        self.header = headers_of(response)

    @classmethod
    async def open(cls, client: Client, endpoint: Endpoint, url: str, payload: bytes) -> EventStream:
        """Send the request and wait for the first event.

        Raises:
            ModelError: as `post`.
        """
        stalled = endpoint.timeout if endpoint.stops_if_streaming else timedelta(seconds=_STALLED_S)
        try:
            response = await client.post(
                url,
                headers=endpoint.headers or await endpoint.headers_now(),
                body=payload,
                timeout=endpoint.timeout,
                read_timeout=min(stalled, endpoint.timeout),
            )
        except Exception as error:
            raise broken(error, endpoint) from error
        try:
            status = response.status.as_int()
            if status != 200:
                raise refusal(status, headers_of(response), await body_of(response, endpoint), endpoint)
            events = cls(endpoint, response)
            try:
                events._first = await events._next()
                if events._first is None:
                    raise garbage(endpoint, f"no stream of events: {start_of(events._buffer)}")
            except BaseException:
                await events.close()
                raise
        except ModelError:
            raise
        except Exception as error:
            raise broken(error, endpoint) from error
        return events

    async def close(self) -> None:
        """Let go of the connection."""
        with suppress(Exception):  # it may be broken already
            await self._chunks.__aexit__(None, None, None)
            await self._response.close()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        event = self._first
        while event is not None:
            yield event
            try:
                event = await self._next()
            except ModelError:
                raise
            except Exception as error:
                raise broken(error, self._endpoint) from error

    async def _next(self) -> dict[str, Any] | None:
        """The next event; `None` at the end."""
        while not self._done:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                event = self._event(line.strip())
                if event is not None:
                    return event
                continue
            try:
                chunk = await self._chunks.__anext__()
            except StopAsyncIteration:
                return None
            if isinstance(chunk, memoryview):
                self._buffer += chunk
                self._size += len(chunk)
            if self._size > _LONGEST_STREAM or len(self._buffer) > LONGEST_ANSWER:
                raise too_long(self._endpoint, _LONGEST_STREAM)
        return None

    def _event(self, line: bytes) -> dict[str, Any] | None:
        if not line.startswith(b"data:"):
            return None
        data = line[5:].strip()
        if data == b"[DONE]":
            self._done = True
            return None
        event = parsed(data, self._endpoint)
        if "error" in event:
            said = event["error"]
            text = said.get("message") if isinstance(said, dict) else said
            raise ModelError(
                scrub(f"{self._endpoint.name}: {text}", self._endpoint.secrets),
                code="server-error",
                retryable=True,
            )
        return event
