"""How do results come out of the tasks that make them? Through a queue, one at a time, as they are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

from promptflow_lite.engine.results import LineResult

__all__ = ["Done", "drained"]

Done = asyncio.Queue[LineResult | Exception | None]
"""Results that were made; an exception or `None` is the last of them."""


async def drained(work: Callable[[], Awaitable[None]], done: Done) -> AsyncGenerator[LineResult, None]:
    """The results that `work` puts into `done`, until it has ended; it is cancelled if nobody wants more.

    Raises:
        Exception: what `work` raised, the first of a group.
    """

    async def whole() -> None:
        try:
            await work()
        except* Exception as bugs:
            await done.put(bugs.exceptions[0])
        else:
            await done.put(None)

    working = asyncio.create_task(whole())
    try:
        while (result := await done.get()) is not None:
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
