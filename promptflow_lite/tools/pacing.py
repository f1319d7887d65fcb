"""When may a model be asked, and asked again? One pacer a connection, model and event loop.

All callers of a model share its pacer, so that they slow down together: when the endpoint refuses one of
them, all wait. Those who wait stand in a line, and leave it at the rate that `tools.limit` has learned.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import Context
from dataclasses import dataclass
from time import time
from typing import TypeVar

from promptflow_lite.tools.clock import off_the_clock
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.limit import Limit

__all__ = ["Pacer", "Throttled"]

T = TypeVar("T")

_TRIES = 24
"""How often one call is tried in all where the endpoint fails; a pause that it asked for is no failure."""
_REFUSALS = 40
"""How often one call may be turned away for its rate."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_PATIENCE_S = 600.0
"""How long one call is tried in all, and the longest pause that somebody at a prompt is left waiting."""
_LONGEST_REST_S = 86_400.0
"""The longest pause that a run takes; whoever asks for more is not asked again."""
_TELL_EVERY_S = 1.0
_WORRY_AFTER_TRIES = 3
_WORRY_EVERY_S = 30.0
_log = logging.getLogger("promptflow_lite")


@dataclass(frozen=True, slots=True)
class Throttled:
    """What a pacer does to its callers."""

    name: str
    """The connection."""
    rate: float | None
    """Calls a second that leave now; `None`: as many as there are."""
    waiting: int
    """Calls in line."""
    until: float | None
    """When the pause ends that the endpoint asked for (seconds since the epoch); `None` for none."""


class Pacer:
    """Retries, and the waits that the callers of one model share.

    Args:
        max_in_flight: how many calls may be under way at once; `None` sets no limit.
        limit: the rate; `None` begins with one of which nothing is known.
        name: the connection, for those who are told.
        listeners: are told of waits. With any, a long pause is waited for; without, it is the call's error.
        sleep: waits for seconds; another clock's in tests.
        jitter: gives numbers from 0 to 1.
    """

    def __init__(
        self,
        max_in_flight: int | None = None,
        *,
        limit: Limit | None = None,
        name: str = "",
        listeners: Iterable[Callable[[Throttled], object]] = (),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._slots = asyncio.Semaphore(max_in_flight) if max_in_flight else None
        self.limit = limit or Limit()
        self._name = name
        self._listeners = listeners
        self._sleep = sleep
        self._jitter = jitter
        self._line: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._told = self._worried = float("-inf")

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
        clock = asyncio.get_running_loop().time
        if self._line or self.limit.take(clock()):
            await self._turn()
        sent_at = clock()
        try:
            answer = await ask()
        except ModelError as error:
            if not error.retryable:
                self._heard(error, sent_at)
                raise
            return await self._again(ask, error, sent_at)
        self._let_in(sent_at)
        return answer

    async def _again(self, ask: Callable[[], Awaitable[T]], failure: ModelError, sent_at: float) -> T:
        clock = asyncio.get_running_loop().time
        tries = refusals = 0
        spent_s = 0.0
        """Waits on account of failures, and the calls themselves; not those in line."""
        while True:
            now = clock()
            spent_s += now - sent_at
            if failure.slows:
                refusals += 1
                alone_s = self.limit.refused(now, sent_at, failure.wait_s, self._spread_s(failure))
                if refusals >= _REFUSALS or self._is_too_long(now):
                    raise failure
                self._tell(now)
                if alone_s:
                    with off_the_clock():
                        await self._sleep(alone_s)
            else:
                self._heard(failure, sent_at)
                tries += 1
                wait_s = self._wait_s(tries, failure)
                if tries >= _TRIES or spent_s + wait_s > _PATIENCE_S:
                    raise failure
                if tries >= _WORRY_AFTER_TRIES:
                    self._worry(now, failure)
                await self._sleep(wait_s)
                spent_s += wait_s
            await self._turn(first=True)
            sent_at = clock()
            try:
                answer = await ask()
            except ModelError as error:
                if not error.retryable:
                    self._heard(error, sent_at)
                    raise
                failure = error
            else:
                self._let_in(sent_at)
                return answer

    def _let_in(self, sent_at: float) -> None:
        if self.limit.admitted(sent_at):
            self._serve()

    def _heard(self, error: ModelError, sent_at: float) -> None:
        """An answer that is an error was let in all the same."""
        if error.details.get("status") is not None:
            self._let_in(sent_at)

    def _spread_s(self, failure: ModelError) -> float:
        """How much longer than asked, so that the processes of a machine do not come back at once."""
        return self._jitter() * min(1.0, 0.02 * (failure.wait_s or 0.0))

    def _wait_s(self, attempt: int, failure: ModelError) -> float:
        """Never earlier than the endpoint asked, and not all callers at the same instant."""
        backoff = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt - 1, 10))
        backoff *= 0.5 + 0.5 * self._jitter()
        return backoff if failure.wait_s is None else max(failure.wait_s, min(backoff, 1.0))

    def _is_too_long(self, now: float) -> bool:
        longest_s = _LONGEST_REST_S if any(True for _ in self._listeners) else _PATIENCE_S
        return self.limit.closed_until() - now > longest_s

    async def _turn(self, *, first: bool = False) -> None:
        """Wait for one's turn in the line; whoever was turned away stands at its head."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._line.appendleft(future)
        else:
            self._line.append(future)
        self._serve()
        try:
            if not future.done():
                with off_the_clock():
                    await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._serve()  # the turn was given and not used: the rate bears it
            else:
                with suppress(ValueError):  # not in line any more: `_serve` has passed it over
                    self._line.remove(future)
            raise

    def _worry(self, now: float, failure: ModelError) -> None:
        """Say why nothing happens to whoever waits: an endpoint that is not there is tried for minutes."""
        if now - self._worried < _WORRY_EVERY_S:
            return
        self._worried = now
        text = f"{failure}; trying again, for {_PATIENCE_S / 60:.0f} minutes at most"
        # In a context of its own: in a node's, what is written would be the node's.
        asyncio.get_running_loop().call_soon(_log.warning, "%s", text, context=Context())

    def _serve(self) -> None:
        """Let go whoever may leave, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._line:
            if self._line[0].done():
                self._line.popleft()
                continue
            now = loop.time()
            wait_s = self.limit.take(now)
            if wait_s > 0:
                self._timer = loop.call_later(wait_s, self._serve)
                self._tell(now)
                return
            self._line.popleft().set_result(None)

    def _tell(self, now: float) -> None:
        if now - self._told < _TELL_EVERY_S:
            return
        self._told = now
        closed_s = self.limit.closed_until() - now
        throttle = Throttled(
            self._name,
            self.limit.rate(now) or None,
            len(self._line),
            time() + closed_s if closed_s > _TELL_EVERY_S else None,
        )
        for listener in list(self._listeners):
            listener(throttle)
