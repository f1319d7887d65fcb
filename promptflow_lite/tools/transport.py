"""How does one request cross the network? Sent once, its answer bounded in time and in size."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from promptflow_lite.connections.base import scrub
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError, refused

if TYPE_CHECKING:
    from wreq import Client, Response, Streamer
    from wreq.blocking import Response as BlockingResponse

__all__ = ["EventStream", "Header", "connect", "fetch", "post"]

Header = Callable[[str], str | None]
"""A header's value by its name in lower case."""

_CONNECT_S = 5.0
_STALLED_S = 60.0
"""How long a stream may be silent, before its first event and between any two."""
_LONGEST_ANSWER = 8 * 1024 * 1024
_LONGEST_STREAM = 64 * 1024 * 1024
"""Events wrap each word in some 200 characters of JSON."""


def connect() -> Client:
    """A client, to be kept: its connections are used again."""
    from importlib.metadata import version  # noqa: PLC0415  # heavy: first use

    from wreq import Client  # noqa: PLC0415  # heavy: first use
    from wreq.dns import DnsOptions  # noqa: PLC0415  # heavy: first use
    from wreq.redirect import Policy  # noqa: PLC0415  # heavy: first use
    from wreq.tls import CertStore  # noqa: PLC0415  # heavy: first use

    return Client(
        user_agent=f"promptflow_lite/{version('promptflow_lite')}",
        headers={"accept": "application/json", "content-type": "application/json"},
        connect_timeout=timedelta(seconds=_CONNECT_S),
        redirect=Policy.none(),
        http1_only=True,
        dns_options=DnsOptions(system_dns=True),
        tls_verify=CertStore(default_paths=True),
    )


async def post(client: Client, endpoint: Endpoint, url: str, payload: bytes) -> tuple[dict[str, Any], Header]:
    """The answer to one request, an object of JSON, and its headers.

    Raises:
        ModelError: the endpoint refused, or did not answer sensibly in time.
    """
    try:
        response = await client.post(
            url,
            headers=endpoint.headers or await endpoint.headers_now(),
            body=payload,
            timeout=endpoint.timeout,
        )
        data = await _read(response, endpoint)
    except ModelError:
        raise
    except Exception as error:
        raise _broken(error, endpoint) from error
    header = _headers(response)
    status = response.status.as_int()
    if status != 200:
        raise _refusal(status, header, data, endpoint)
    return _parsed(data, endpoint), header


def fetch(address: str, query: Mapping[str, str], *, seconds: float) -> tuple[int, Header, bytes]:
    """Status, headers and body of a plain GET; blocks.

    Raises:
        ModelError: there was no answer.
    """
    from wreq.blocking import Client  # noqa: PLC0415  # heavy: first use
    from wreq.dns import DnsOptions  # noqa: PLC0415  # heavy: first use
    from wreq.redirect import Policy  # noqa: PLC0415  # heavy: first use
    from wreq.tls import CertStore  # noqa: PLC0415  # heavy: first use

    client = Client(
        timeout=timedelta(seconds=seconds),
        connect_timeout=timedelta(seconds=_CONNECT_S),
        redirect=Policy.none(),
        dns_options=DnsOptions(system_dns=True),
        tls_verify=CertStore(default_paths=True),
    )
    try:
        response = client.get(address, query=dict(query))
        return response.status.as_int(), _headers(response), bytes(response.bytes())
    except Exception as error:
        if not _is_the_clients(error):
            raise
        raise ModelError(_reason(str(error)), code="connection") from error


def _headers(response: Response | BlockingResponse) -> Header:
    def header(name: str) -> str | None:
        value = response.headers[name]
        return None if value is None else bytes(value).decode("latin-1")

    return header


async def _read(response: Response, endpoint: Endpoint) -> bytes:
    """The whole body, decoded, up to the limit: a small compressed answer may be a large one."""
    length = response.content_length
    if length is not None and length <= _LONGEST_ANSWER and response.headers["content-encoding"] is None:
        return bytes(await response.bytes())
    data = bytearray()
    async with response.stream() as chunks:
        async for chunk in chunks:
            if isinstance(chunk, memoryview):
                data += chunk
                if len(data) > _LONGEST_ANSWER:
                    raise _too_long(endpoint, _LONGEST_ANSWER)
    return bytes(data)


def _parsed(data: bytes, endpoint: Endpoint) -> dict[str, Any]:
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _garbage(endpoint, f"an answer that is no JSON ({error}): {_start(data)}") from error
    if not isinstance(answer, dict):
        raise _garbage(endpoint, f"an answer that is no object: {_start(data)}")
    return answer


def _refusal(status: int, header: Header, data: bytes, endpoint: Endpoint) -> ModelError:
    error = refused(status, header, data, where=endpoint.name)
    error.message = scrub(error.message, endpoint.secrets)
    error.args = (error.message,)
    return error


def _garbage(endpoint: Endpoint, what: str) -> ModelError:
    """A 200 with nonsense is a gateway's trouble, as a 502 is."""
    return ModelError(
        scrub(f"{endpoint.name}: gave {what}", endpoint.secrets), code="bad-answer", retryable=True
    )


def _too_long(endpoint: Endpoint, limit: int) -> ModelError:
    return ModelError(
        f"{endpoint.name}: the answer is longer than {limit // (1024 * 1024)} MB", code="bad-answer"
    )


def _is_the_clients(error: Exception) -> bool:
    """Whether the client says so: its errors have no class in common."""
    return type(error).__module__.startswith(("wreq", "exceptions"))


_SAID = re.compile(r'message: "([^"]+)"|kind: ([A-Z]\w+),|([A-Z]\w+)\(')
_SHELLS = frozenset(
    {"ConnectError", "Some", "Custom", "Error", "Body", "Decode", "Request", "Connect", "Kind"}
)
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _broken(error: Exception, endpoint: Endpoint) -> ModelError:
    """The error of a connection that was not made, was lost, or took too long."""
    from wreq import exceptions  # noqa: PLC0415  # heavy: first use

    if isinstance(error, exceptions.BuilderError | ValueError | TypeError):
        return ModelError(scrub(f"{endpoint.name}: {error}", endpoint.secrets), code="bad-request")
    if not _is_the_clients(error):
        raise error
    said = str(error)
    if isinstance(error, exceptions.TimeoutError) or "TimedOut" in said:
        seconds = endpoint.timeout.total_seconds()
        why = (
            f"no connection within {_CONNECT_S:g} s"
            if "Connect" in said
            else f"no whole answer within {seconds:g} s"
        )
        return ModelError(f"{endpoint.name}: {why}", code="timeout", retryable=True)
    message = scrub(f"{endpoint.name} at {endpoint.base_url}: {_reason(said)}", endpoint.secrets)
    return ModelError(message, code="connection", retryable=True)


def _reason(said: str) -> str:
    """What the client's debugging text says at its core, as in `connection refused`."""
    words = [next(filter(None, found)) for found in _SAID.findall(said)]
    told = [word for word in words if word not in _SHELLS]
    return _WORDS.sub(" ", told[-1]).lower() if told else said[:200]


def _start(data: bytes) -> str:
    return repr(data[:120].decode("utf-8", "replace")) if data else "nothing"


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
        self.header = _headers(response)

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
            raise _broken(error, endpoint) from error
        try:
            status = response.status.as_int()
            if status != 200:
                raise _refusal(status, _headers(response), await _read(response, endpoint), endpoint)
            events = cls(endpoint, response)
            try:
                events._first = await events._next()
                if events._first is None:
                    raise _garbage(endpoint, f"no stream of events: {_start(events._buffer)}")
            except BaseException:
                await events.close()
                raise
        except ModelError:
            raise
        except Exception as error:
            raise _broken(error, endpoint) from error
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
            try:
                chunk = await self._chunks.__anext__()
            except StopAsyncIteration:
                return None
            if isinstance(chunk, memoryview):
                self._buffer += chunk
                self._size += len(chunk)
            if self._size > _LONGEST_STREAM or len(self._buffer) > _LONGEST_ANSWER:
                raise _too_long(self._endpoint, _LONGEST_STREAM)
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
