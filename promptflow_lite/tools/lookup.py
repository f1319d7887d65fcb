"""Is the answer kept already? Looked up once at a time, and counted as one that was not paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from promptflow_lite.tools.cache import Cache
from promptflow_lite.tools.scope import current
from promptflow_lite.tools.shared import Shared

__all__ = ["Lookup", "each", "is_whole", "unpaid"]


class Lookup:
    """What is kept under a key, once nobody else on this loop is asking for the same."""

    def __init__(self, shared: Shared, cache: Cache, key: str) -> None:
        self.key = key
        self.answer: Any = None
        self._under_way = shared.under_way
        self._cache = cache
        self._is_first = False

    async def __aenter__(self) -> Lookup:
        while (other := self._under_way.get(self.key)) is not None:
            await other.wait()
        self.answer = self._cache.get(self.key)
        if self.answer is None:
            self._under_way[self.key] = asyncio.Event()
            self._is_first = True
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._is_first:
            self._under_way.pop(self.key).set()


@contextmanager
def unpaid() -> Iterator[None]:
    """Count what is understood within as one answer of the cache, and none of its tokens."""
    scope = current.get()
    paid = None if scope is None else replace(scope.usage)
    try:
        yield
    finally:
        if scope is not None and paid is not None:
            paid.reused += 1
            scope.usage.take_over(paid)


async def each(events: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Events that are kept, as a stream."""
    for event in events:
        yield event


def is_whole(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a streamed answer ended as answers do, and not for a filter or a refusal."""
    choices = [choice for event in events for choice in event.get("choices") or ()]
    if any((choice.get("delta") or {}).get("refusal") for choice in choices):
        return False
    return any(choice.get("finish_reason") not in (None, "content_filter") for choice in choices)
