"""How does a request reach a model's endpoint? The JSON the openai client would send, over a faster client.

Path, authorization and body are the same: `tests/tools/test_wire.py` sends each kind of call with both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import orjson

from promptflow_lite.connections.base import scrub
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError, refused
from promptflow_lite.tools.pacing import Pacer

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.request import StreamRequest
    from pyreqwest.response import Response

__all__ = ["ask", "once", "stream"]

T = TypeVar("T")

_CONNECT_S = 5.0
_LONGEST_ANSWER = 8 * 1024 * 1024


@dataclass
class _Shared:
    """What all callers of models on one event loop share."""

    client: Client
    pacers: dict[tuple[Any, ...], Pacer] = field(default_factory=dict)


# A client and its pacers belong to one event loop: kept by loop, and gone with it.
_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


async def ask(
    endpoint: Endpoint, operation: str, body: Mapping[str, Any], understand: Callable[[dict[str, Any]], T]
) -> T:
    """What is understood of the endpoint's answer to one request, retried and paced.

    Args:
        endpoint: where to ask.
        operation: the last part of the path, such as `chat/completions`.
        body: the request.
        understand: reads the answer; a retryable ModelError of it counts as the endpoint's.

    Raises:
        ModelError: the endpoint refused, or did not answer sensibly in time.
    """
    shared = _shared()
    payload = _dumps(body, endpoint)
    url = endpoint.url(operation, body)

    async def tried() -> T:
        return understand(await _post(shared.client, endpoint, url, payload))

    return await _pacer(shared, endpoint, body).call(tried)


async def once(endpoint: Endpoint, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint's answer to one request, sent once.

    Raises:
        ModelError: as `ask`.
    """
    client = _shared().client
    return await _post(client, endpoint, endpoint.url(operation, body), _dumps(body, endpoint))


async def stream(
    endpoint: Endpoint, operation: str, body: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """The events of a streamed answer. Retried until the first event is there, and not after.

    Raises:
        ModelError: as `ask`; also when the stream breaks off before its end.
    """
    shared = _shared()
    payload = _dumps(body, endpoint)
    url = endpoint.url(operation, body)

    async def opened() -> _Stream:
        return await _Stream.open(shared.client, endpoint, url, payload)

    pacer = _pacer(shared, endpoint, body)
    async with pacer.slot():
        events = await pacer.tried(opened)
        try:
            async for event in events:
                yield event
        finally:
            await events.close()


def _shared() -> _Shared:
    loop = asyncio.get_running_loop()
    shared = _SHARED.get(loop)
    if shared is None:
        shared = _SHARED[loop] = _Shared(_client())
    return shared


def _client() -> Client:
    from importlib.metadata import version  # noqa: PLC0415  # heavy: first use

    from pyreqwest.client import ClientBuilder  # noqa: PLC0415  # heavy: first use

    return (
        ClientBuilder()
        .connect_timeout(timedelta(seconds=_CONNECT_S))
        .follow_redirects(False)
        .user_agent(f"promptflow_lite/{version('promptflow_lite')}")
        .default_headers({"accept": "application/json", "content-type": "application/json"})
        .build()
    )


def _pacer(shared: _Shared, endpoint: Endpoint, body: Mapping[str, Any]) -> Pacer:
    key = (*endpoint.identity, body.get("model"))
    pacer = shared.pacers.get(key)
    if pacer is None:
        pacer = shared.pacers[key] = Pacer(endpoint.max_in_flight)
    return pacer


def _dumps(body: Mapping[str, Any], endpoint: Endpoint) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise ModelError(
            f"{endpoint.name}: the request holds what JSON cannot: {error}", code="bad-request"
        ) from error


async def _post(client: Client, endpoint: Endpoint, url: str, payload: bytes) -> dict[str, Any]:
    request = await _request(client, endpoint, url, payload)
    try:
        async with request as response:
            data = await _read(response, endpoint)
            if response.status != 200:
                raise _refusal(response, data, endpoint)
    except ModelError:
        raise
    except Exception as error:
        raise _broken(error, endpoint) from error
    return _parsed(data, endpoint)


async def _request(
    client: Client, endpoint: Endpoint, url: str, payload: bytes, *, read_ahead: bool = True
) -> StreamRequest:
    """The request; with `read_ahead` its response begins when 64 kB of the body, or all of it, are here."""
    try:
        request = (
            client.post(url)
            .headers(endpoint.headers or await endpoint.headers_now())
            .timeout(endpoint.timeout)
            .body_bytes(payload)
        )
        return (request if read_ahead else request.streamed_read_buffer_limit(0)).build_streamed()
    except ValueError as error:
        raise ModelError(scrub(f"{endpoint.name}: {error}", endpoint.secrets), code="bad-request") from error


async def _read(response: Response, endpoint: Endpoint) -> bytes:
    """The whole body, decoded, up to the limit: a small compressed answer may be a large one."""
    data = await response.body_reader.read(_LONGEST_ANSWER + 1)
    if data is None:
        return b""
    if len(data) > _LONGEST_ANSWER:
        raise _too_long(endpoint)
    return bytes(data)


def _parsed(data: bytes, endpoint: Endpoint) -> dict[str, Any]:
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _garbage(endpoint, f"an answer that is no JSON ({error}): {_start(data)}") from error
    if not isinstance(answer, dict):
        raise _garbage(endpoint, f"an answer that is no object: {_start(data)}")
    return answer


def _refusal(response: Response, data: bytes, endpoint: Endpoint) -> ModelError:
    error = refused(response.status, response.get_header, data, where=endpoint.name)
    error.message = scrub(error.message, endpoint.secrets)
    error.args = (error.message,)
    return error


def _garbage(endpoint: Endpoint, what: str) -> ModelError:
    """A 200 with nonsense is a gateway's trouble, as a 502 is."""
    return ModelError(
        scrub(f"{endpoint.name}: gave {what}", endpoint.secrets), code="bad-answer", retryable=True
    )


def _too_long(endpoint: Endpoint) -> ModelError:
    size = _LONGEST_ANSWER // (1024 * 1024)
    return ModelError(f"{endpoint.name}: the answer is longer than {size} MB", code="bad-answer")


def _broken(error: Exception, endpoint: Endpoint) -> ModelError:
    """The error of a connection that was not made, was lost, or took too long."""
    from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError  # noqa: PLC0415  # heavy: first use

    if isinstance(error, RequestTimeoutError):
        seconds = endpoint.timeout.total_seconds()
        said = f"no connection within {_CONNECT_S:g} s" if "onnect" in type(error).__name__ else ""
        message = f"{endpoint.name}: {said or f'no whole answer within {seconds:g} s'}"
        return ModelError(message, code="timeout", retryable=True)
    if not isinstance(error, PyreqwestError):
        raise error
    causes = getattr(error, "details", {}).get("causes") or []
    why = str(causes[-1].get("message")) if causes else error.message
    message = scrub(f"{endpoint.name} at {endpoint.base_url}: {why}", endpoint.secrets)
    return ModelError(message, code="connection", retryable=True)


def _start(data: bytes) -> str:
    return repr(data[:120].decode("utf-8", "replace")) if data else "nothing"


class _Stream:
    """A streamed answer under way, its first event at hand."""

    def __init__(self, endpoint: Endpoint, request: StreamRequest, response: Response) -> None:
        self._endpoint = endpoint
        self._request = request
        self._reader = response.body_reader
        self._buffer = b""
        self._size = 0
        self._first: dict[str, Any] | None = None
        self._done = False

    @classmethod
    async def open(cls, client: Client, endpoint: Endpoint, url: str, payload: bytes) -> _Stream:
        """Send the request and wait for the first event."""
        request = await _request(client, endpoint, url, payload, read_ahead=False)
        try:
            response = await request.__aenter__()
        except Exception as error:
            raise _broken(error, endpoint) from error
        events = cls(endpoint, request, response)
        try:
            if response.status != 200:
                raise _refusal(response, await _read(response, endpoint), endpoint)
            events._first = await events._next()
            if events._first is None:
                raise _garbage(endpoint, f"no stream of events: {_start(events._buffer)}")
        except BaseException as error:
            await events.close()
            if isinstance(error, ModelError) or not isinstance(error, Exception):
                raise
            raise _broken(error, endpoint) from error
        return events

    async def close(self) -> None:
        """Let go of the connection."""
        await self._request.__aexit__(None, None, None)

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        event = self._first
        while event is not None:
            yield event
            try:
                event = await self._next()
            except ModelError:
                raise
            except Exception as error:
                raise _broken(error, self._endpoint) from error

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
            chunk = await self._reader.read_chunk()
            if chunk is None:
                return None
            self._buffer += bytes(chunk)
            self._size += len(chunk)
            if self._size > _LONGEST_ANSWER:
                raise _too_long(self._endpoint)
        return None

    def _event(self, line: bytes) -> dict[str, Any] | None:
        if not line.startswith(b"data:"):
            return None
        data = line[5:].strip()
        if data == b"[DONE]":
            self._done = True
            return None
        event = _parsed(data, self._endpoint)
        if "error" in event:
            said = event["error"]
            text = said.get("message") if isinstance(said, dict) else said
            raise ModelError(
                scrub(f"{self._endpoint.name}: {text}", self._endpoint.secrets),
                code="server-error",
                retryable=True,
            )
        return event
