"""How is a model asked? The JSON the openai client would send, paced, retried, and not sent twice.

Path, authorization and body are the same: `tests/tools/test_wire.py` sends each kind of call with both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from promptflow_lite.tools.cache import cache_in_use, key_of
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.event_stream import EventStream
from promptflow_lite.tools.failure import ModelError, seconds_of
from promptflow_lite.tools.limit import Limit
from promptflow_lite.tools.lookup import Lookup, each, is_whole, unpaid
from promptflow_lite.tools.pacing import Pacer
from promptflow_lite.tools.patience import Patience
from promptflow_lite.tools.received import Header
from promptflow_lite.tools.revival import reviving
from promptflow_lite.tools.scope import current
from promptflow_lite.tools.shared import Shared, shared_here
from promptflow_lite.tools.transport import connect, post

if TYPE_CHECKING:
    from wreq import Client

__all__ = ["ask", "gather", "once", "stream"]

T = TypeVar("T")


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
    shared = shared_here()
    _note(endpoint)
    payload = _dumps(body, endpoint)
    pacer = _pacer(shared, endpoint, body, payload)
    patience = _patience(shared, endpoint, body)
    asked = reviving(
        endpoint, lambda there: post(_client(shared), there, there.url(operation, body), payload)
    )
    overdue = 0

    async def tried() -> tuple[T, dict[str, Any]]:
        nonlocal overdue
        try:
            answer, header = await patience.wait(asked, overdue=overdue, name=endpoint.name)
        except ModelError as error:
            overdue += bool(error.details.get("overdue"))
            raise
        value = understand(answer)
        _observe(pacer.limit, header)
        _count(pacer.limit, answer)
        return value, answer

    cache = cache_in_use()
    if cache is None:
        return (await pacer.call(tried))[0]
    async with Lookup(shared, cache, key_of(endpoint, operation, body)) as kept:
        if kept.answer is not None:
            with unpaid():
                return understand(kept.answer)
        value, answer = await pacer.call(tried)
        cache.put(kept.key, endpoint, body, answer)
        return value


async def once(endpoint: Endpoint, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint's answer to one request, sent once.

    Raises:
        ModelError: as `ask`.
    """
    client, url = _client(shared_here()), endpoint.url(operation, body)
    answer, _ = await post(client, endpoint, url, _dumps(body, endpoint))
    return answer


async def stream(
    endpoint: Endpoint, operation: str, body: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """The events of a streamed answer, for somebody who watches. Retried until the first event is there.

    Raises:
        ModelError: as `ask`; also when the stream breaks off before its end.
    """
    cache = cache_in_use()
    if cache is None:
        async for event in _streamed(endpoint, operation, body):
            yield event
        return
    async with Lookup(shared_here(), cache, key_of(endpoint, operation, body)) as kept:
        if kept.answer is not None:
            with unpaid():
                pass
            for event in kept.answer:
                yield {name: value for name, value in event.items() if name != "usage"}
            return
        events = []
        async for event in _streamed(endpoint, operation, body):
            events.append(event)
            yield event
        if is_whole(events):
            cache.put(kept.key, endpoint, body, events)


async def _streamed(
    endpoint: Endpoint, operation: str, body: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    shared = shared_here()
    _note(endpoint)
    payload = _dumps(body, endpoint)
    pacer = _pacer(shared, endpoint, body, payload)

    async def opened(there: Endpoint) -> EventStream:
        events = await EventStream.open(_client(shared), there, there.url(operation, body), payload)
        _observe(pacer.limit, events.header)
        return events

    async with pacer.slot():
        events = await pacer.tried(reviving(endpoint, opened))
        try:
            event: Mapping[str, Any] = {}
            async for event in events:
                yield event
            _count(pacer.limit, event)
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
    shared = shared_here()
    _note(endpoint)
    payload = _dumps(body, endpoint)

    async def gathered(there: Endpoint) -> tuple[str, list[dict[str, Any]]]:
        stream = await EventStream.open(_client(shared), there, there.url(operation, body), payload)
        events: list[dict[str, Any]] = []

        async def noted() -> AsyncIterator[dict[str, Any]]:
            async for event in stream:
                events.append(event)
                yield event

        try:
            text = "".join([part async for part in parts(noted())])
            _count(pacer.limit, events[-1] if events else {})
            return text, events
        finally:
            await stream.close()

    pacer = _pacer(shared, endpoint, body, payload)
    tried = reviving(endpoint, gathered)
    cache = cache_in_use()
    if cache is None:
        return (await pacer.call(tried))[0]
    async with Lookup(shared, cache, key_of(endpoint, operation, body)) as kept:
        if kept.answer is not None:
            with unpaid():
                return "".join([part async for part in parts(each(kept.answer))])
        text, events = await pacer.call(tried)
        cache.put(kept.key, endpoint, body, events)
        return text


def _note(endpoint: Endpoint) -> None:
    scope = current.get()
    if scope is not None:
        scope.endpoint = "local" if endpoint.stops_if_streaming else endpoint.base_url


def _client(shared: Shared) -> Client:
    if shared.client is None:
        shared.client = connect()
    return shared.client


def _pacer(shared: Shared, endpoint: Endpoint, body: Mapping[str, Any], payload: bytes) -> Pacer:
    key = (*endpoint.identity, body.get("model"))
    pacer = shared.pacers.get(key)
    if pacer is None:
        state = None if shared.board is None else shared.board.row(key)
        limit = Limit(
            state,
            shared.board.lock if shared.board is not None and state is not None else None,
            requests_per_minute=endpoint.requests_per_minute,
            tokens_per_minute=endpoint.tokens_per_minute,
            tokens_a_call=len(payload) / _BYTES_PER_TOKEN,
        )
        pacer = shared.pacers[key] = Pacer(
            endpoint.max_in_flight, limit=limit, name=endpoint.name, listeners=shared.listeners
        )
    return pacer


def _patience(shared: Shared, endpoint: Endpoint, body: Mapping[str, Any]) -> Patience:
    scope = current.get()
    key = (*endpoint.identity, body.get("model"), None if scope is None else scope.node)
    patience = shared.patiences.get(key)
    if patience is None:
        patience = shared.patiences[key] = Patience(endpoint.timeout.total_seconds())
    return patience


_BYTES_PER_TOKEN = 4
"""Of a request's JSON, until an answer tells what a call takes."""
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


def _count(limit: Limit, answer: Mapping[str, Any]) -> None:
    """Tell the limit what the call took; of a stream's events the last one says it."""
    usage = answer.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    if isinstance(tokens, int) and tokens > 0:
        limit.spent(tokens)


def _dumps(body: Mapping[str, Any], endpoint: Endpoint) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise ModelError(
            f"{endpoint.name}: the request holds what JSON cannot: {error}", code="bad-request"
        ) from error
