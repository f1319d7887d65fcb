"""How is a model asked? The JSON the openai client would send, paced, retried, and not sent twice.

Path, authorization and body are the same: `tests/tools/test_wire.py` sends each kind of call with both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import orjson

from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError, seconds_of
from promptflow_lite.tools.limit import Limit
from promptflow_lite.tools.pacing import Pacer, Throttled
from promptflow_lite.tools.transport import EventStream, Header, connect, post

if TYPE_CHECKING:
    from wreq import Client

__all__ = ["ask", "gather", "listening", "once", "stream"]

T = TypeVar("T")
Listener = Callable[[Throttled], object]


@dataclass
class _Shared:
    """What all callers of models on one event loop share."""

    pacers: dict[tuple[Any, ...], Pacer] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)

    @cached_property
    def client(self) -> Client:
        """Made when the first model is asked."""
        return connect()


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
    pacer = _pacer(shared, endpoint, body)

    async def tried() -> T:
        answer, header = await post(shared.client, endpoint, url, payload)
        value = understand(answer)
        _observe(pacer.limit, header)
        return value

    return await pacer.call(tried)


async def once(endpoint: Endpoint, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint's answer to one request, sent once.

    Raises:
        ModelError: as `ask`.
    """
    answer, _ = await post(_shared().client, endpoint, endpoint.url(operation, body), _dumps(body, endpoint))
    return answer


async def stream(
    endpoint: Endpoint, operation: str, body: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """The events of a streamed answer, for somebody who watches. Retried until the first event is there.

    Raises:
        ModelError: as `ask`; also when the stream breaks off before its end.
    """
    shared = _shared()
    payload = _dumps(body, endpoint)
    url = endpoint.url(operation, body)
    pacer = _pacer(shared, endpoint, body)

    async def opened() -> EventStream:
        events = await EventStream.open(shared.client, endpoint, url, payload)
        _observe(pacer.limit, events.header)
        return events

    async with pacer.slot():
        events = await pacer.tried(opened)
        try:
            async for event in events:
                yield event
        finally:
            await events.close()


async def gather(
    endpoint: Endpoint,
    operation: str,
    body: Mapping[str, Any],
    parts: Callable[[AsyncIterator[dict[str, Any]]], AsyncIterator[str]],
) -> str:
    """The text of a streamed answer that nobody watches: a stream that is cut or stalls is asked for again.

    Args:
        endpoint: where to ask.
        operation: the last part of the path.
        body: the request, with `stream`.
        parts: reads text from events.

    Raises:
        ModelError: as `ask`.
    """
    shared = _shared()
    payload = _dumps(body, endpoint)
    url = endpoint.url(operation, body)

    async def tried() -> str:
        events = await EventStream.open(shared.client, endpoint, url, payload)
        try:
            return "".join([part async for part in parts(aiter(events))])
        finally:
            await events.close()

    return await _pacer(shared, endpoint, body).call(tried)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Be told when calls on this event loop have to wait; they then wait for as long as the endpoint asks."""
    listeners = _shared().listeners
    listeners.append(listener)
    try:
        yield
    finally:
        listeners.remove(listener)


def _shared() -> _Shared:
    loop = asyncio.get_running_loop()
    shared = _SHARED.get(loop)
    if shared is None:
        shared = _SHARED[loop] = _Shared()
    return shared


def _pacer(shared: _Shared, endpoint: Endpoint, body: Mapping[str, Any]) -> Pacer:
    key = (*endpoint.identity, body.get("model"))
    pacer = shared.pacers.get(key)
    if pacer is None:
        limit = Limit(
            requests_per_minute=endpoint.requests_per_minute, tokens_per_minute=endpoint.tokens_per_minute
        )
        pacer = shared.pacers[key] = Pacer(
            endpoint.max_in_flight, limit=limit, name=endpoint.name, listeners=shared.listeners
        )
    return pacer


_REMAINING = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens", "x-ratelimit-reset-tokens"),
)


def _observe(limit: Limit, header: Header) -> None:
    """Slow down before the endpoint has to say so: OpenAI's headers, which others have taken over."""
    for remaining, most, reset in _REMAINING:
        left = header(remaining)
        if left is None:
            continue
        need = 1.0 if remaining == _REMAINING[0][0] else max(1.0, limit.tokens_a_call)
        with_reset = seconds_of(header(reset))
        try:
            if with_reset is not None and float(left) < need:
                now = asyncio.get_running_loop().time()
                total = float(header(most) or 0) or None
                limit.observed(now, remaining=float(left), limit=total, reset_s=with_reset, need=need)
        except ValueError:  # not a number: the endpoint's word, and no more than a hint
            continue


def _dumps(body: Mapping[str, Any], endpoint: Endpoint) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise ModelError(
            f"{endpoint.name}: the request holds what JSON cannot: {error}", code="bad-request"
        ) from error
