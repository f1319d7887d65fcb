"""When may a model be asked, and asked again? One pacer a connection, model and event loop.

All callers of a model share its pacer, so that they slow down together: when the endpoint asks one of them to
wait, all wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeVar

from promptflow_lite.tools.failure import ModelError

__all__ = ["Pacer"]

T = TypeVar("T")

_ATTEMPTS = 8
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_PATIENCE_S = 600.0
"""How long one call is tried in all; an endpoint that asks for a longer rest is not waited for."""


class Pacer:
    """Retries, and the waits that the callers of one model share.

    Args:
        max_in_flight: how many calls may be under way at once; `None` sets no limit.
        sleep: waits for seconds; another clock's in tests.
        jitter: gives numbers from 0 to 1.
    """

    def __init__(
        self,
        max_in_flight: int | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._slots = asyncio.Semaphore(max_in_flight) if max_in_flight else None
        self._sleep = sleep
        self._jitter = jitter
        self._open_at = 0.0
        """When the next call may start, on the loop's clock."""

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, tried again while it fails in a way that may pass.

        Raises:
            ModelError: of the last try.
        """
        slots = self._slots
        if slots is None:
            return await self.tried(ask)
        async with slots:
            return await self.tried(ask)

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Holds one of the calls that may be under way, for as long as an answer streams."""
        return nullcontext() if self._slots is None else self._slots

    async def tried(self, ask: Callable[[], Awaitable[T]]) -> T:
        """As `call`, for whoever holds a `slot`.

        Raises:
            ModelError: of the last try.
        """
        if self._open_at:
            await self._rest()
        try:
            return await ask()
        except ModelError as error:
            if not error.retryable:
                raise
            failure = error
        return await self._again(ask, failure)

    async def _again(self, ask: Callable[[], Awaitable[T]], failure: ModelError) -> T:
        clock = asyncio.get_running_loop().time
        gives_up_at = clock() + _PATIENCE_S
        for attempt in range(1, _ATTEMPTS):
            wait_s = self._wait_s(attempt, failure)
            if clock() + wait_s > gives_up_at:
                break
            if failure.wait_s is not None:
                self._open_at = max(self._open_at, clock() + failure.wait_s)
            await self._sleep(wait_s)
            await self._rest()
            try:
                return await ask()
            except ModelError as error:
                if not error.retryable:
                    raise
                failure = error
        raise failure

    def _wait_s(self, attempt: int, failure: ModelError) -> float:
        """Never earlier than the endpoint asked, and not all callers at the same instant."""
        if failure.wait_s is not None:
            return failure.wait_s + self._jitter() * min(1.0, 0.1 * failure.wait_s)
        backoff = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (attempt - 1))
        return backoff * (0.5 + 0.5 * self._jitter())

    async def _rest(self) -> None:
        clock = asyncio.get_running_loop().time
        while (left := self._open_at - clock()) > 0:
            await self._sleep(left * (1 + 0.1 * self._jitter()))
        self._open_at = 0.0
