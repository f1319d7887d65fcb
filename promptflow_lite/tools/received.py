"""What came back over the network? An answer, bounded in size, or an error that says why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from promptflow_lite.connections.base import scrub
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError, refused

if TYPE_CHECKING:
    from wreq import Response
    from wreq.blocking import Response as BlockingResponse

__all__ = [
    "CONNECT_S",
    "LONGEST_ANSWER",
    "Header",
    "body_of",
    "broken",
    "garbage",
    "headers_of",
    "is_the_clients",
    "parsed",
    "reason_of",
    "refusal",
    "start_of",
    "too_long",
]

Header = Callable[[str], str | None]
"""A header's value by its name in lower case."""

CONNECT_S = 5.0
"""How long a connection may take to be made."""
LONGEST_ANSWER = 8 * 1024 * 1024


def headers_of(response: Response | BlockingResponse) -> Header:
    """The headers of an answer."""

    def header(name: str) -> str | None:
        value = response.headers[name]
        return None if value is None else bytes(value).decode("latin-1")

    return header


async def body_of(response: Response, endpoint: Endpoint) -> bytes:
    """The whole body, decoded, up to the limit: a small compressed answer may be a large one."""
    length = response.content_length
    if length is not None and length <= LONGEST_ANSWER and response.headers["content-encoding"] is None:
        return bytes(await response.bytes())
    data = bytearray()
    async with response.stream() as chunks:
        async for chunk in chunks:
            if isinstance(chunk, memoryview):
                data += chunk
                if len(data) > LONGEST_ANSWER:
                    raise too_long(endpoint, LONGEST_ANSWER)
    return bytes(data)


def parsed(data: bytes, endpoint: Endpoint) -> dict[str, Any]:
    """The object of JSON that an answer, or an event, is.

    Raises:
        ModelError: it is none.
    """
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise garbage(endpoint, f"an answer that is no JSON ({error}): {start_of(data)}") from error
    if not isinstance(answer, dict):
        raise garbage(endpoint, f"an answer that is no object: {start_of(data)}")
    return answer


def start_of(data: bytes) -> str:
    """How an answer begins, for a message."""
    return repr(data[:120].decode("utf-8", "replace")) if data else "nothing"


def refusal(status: int, header: Header, data: bytes, endpoint: Endpoint) -> ModelError:
    """The error of an answer that is not 200, without secrets."""
    error = refused(status, header, data, where=endpoint.name)
    error.message = scrub(error.message, endpoint.secrets)
    error.args = (error.message,)
    return error


def garbage(endpoint: Endpoint, what: str) -> ModelError:
    """A 200 with nonsense is a gateway's trouble, as a 502 is."""
    return ModelError(
        scrub(f"{endpoint.name}: gave {what}", endpoint.secrets), code="bad-answer", retryable=True
    )


def too_long(endpoint: Endpoint, limit: int) -> ModelError:
    """The error of an answer beyond a limit in bytes."""
    return ModelError(
        f"{endpoint.name}: the answer is longer than {limit // (1024 * 1024)} MB", code="bad-answer"
    )


def broken(error: Exception, endpoint: Endpoint) -> ModelError:
    """The error of a connection that was not made, was lost, or took too long."""
    from wreq import exceptions  # noqa: PLC0415  # heavy: first use

    if isinstance(error, exceptions.BuilderError | ValueError | TypeError):
        return ModelError(scrub(f"{endpoint.name}: {error}", endpoint.secrets), code="bad-request")
    if not is_the_clients(error):
        raise error
    said = str(error)
    if isinstance(error, exceptions.TimeoutError) or "TimedOut" in said:
        seconds = endpoint.timeout.total_seconds()
        why = (
            f"no connection within {CONNECT_S:g} s"
            if "Connect" in said
            else f"no whole answer within {seconds:g} s"
        )
        return ModelError(f"{endpoint.name}: {why}", code="timeout", retryable=True)
    message = scrub(f"{endpoint.name} at {endpoint.base_url}: {reason_of(said)}", endpoint.secrets)
    return ModelError(message, code="connection", retryable=True)


_SAID = re.compile(r'message: "([^"]+)"|kind: ([A-Z]\w+),|([A-Z]\w+)\(')
_SHELLS = frozenset(
    {"ConnectError", "Some", "Custom", "Error", "Body", "Decode", "Request", "Connect", "Kind"}
)
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def is_the_clients(error: Exception) -> bool:
    """Whether the client says so: its errors have no class in common."""
    return type(error).__module__.startswith(("wreq", "exceptions"))


def reason_of(said: str) -> str:
    """What the client's debugging text says at its core, as in `connection refused`."""
    words = [next(filter(None, found)) for found in _SAID.findall(said)]
    told = [word for word in words if word not in _SHELLS]
    return _WORDS.sub(" ", told[-1]).lower() if told else said[:200]
