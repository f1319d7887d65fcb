"""How long is an answer waited for that comes whole? As long as that node's answers take, and some more.

A server that accepted a request and then died says nothing, and neither does a model that thinks. The
connection's `timeout` ends both; what a node's other answers took tells them apart much sooner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from promptflow_lite.tools.clock import Clock
from promptflow_lite.tools.failure import ModelError

__all__ = ["Patience"]

T = TypeVar("T")

_LEAST_S = 60.0
"""No answer is called overdue before."""
_TIMES = 4.0
"""How many times the slowest answer so far an answer may take, ..."""
_ENOUGH = 10
"""... once there were so many."""


class Patience:
    """How long the calls of one node may take, each a whole answer.

    Args:
        most_s: the connection's `timeout`; the client sees to that one.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._answers = 0
        self._slowest_s = 0.0
        self._under_way: dict[Clock, tuple[float, int]] = {}

    async def wait(self, ask: Callable[[], Awaitable[T]], *, overdue: int, name: str) -> T:
        """What `ask` gives.

        Args:
            ask: the call.
            overdue: how often this call has been given up as overdue: each time it may take twice as long, so
                that one which does take long is answered in the end.
            name: the connection, for the message.

        Raises:
            ModelError: it is overdue (`timeout`, retryable); what `ask` raises.
        """
        began = asyncio.get_running_loop().time()
        clock = Clock(self._until(began, overdue))
        try:
            with clock:
                self._under_way[clock] = began, overdue
                try:
                    answer = await ask()
                finally:
                    del self._under_way[clock]
        except TimeoutError as error:
            if not clock.is_over:
                raise
            took_s = asyncio.get_running_loop().time() - began
            message = (
                f"{name}: no answer within {took_s:.0f} s; the slowest so far took {self._slowest_s:.1f} s"
            )
            raise ModelError(message, code="timeout", retryable=True, details={"overdue": True}) from error
        self._took(asyncio.get_running_loop().time() - began)
        return answer

    def _until(self, began: float, overdue: int) -> float | None:
        if self._answers < _ENOUGH:
            return None
        limit_s = max(_LEAST_S, _TIMES * self._slowest_s) * 2.0**overdue
        return None if limit_s >= self._most_s else began + limit_s

    def _took(self, seconds: float) -> None:
        self._answers += 1
        self._slowest_s = max(self._slowest_s, seconds)
        if self._answers == _ENOUGH:  # those that left before anything was known are in time, or overdue, too
            now = asyncio.get_running_loop().time()
            for clock, (began, overdue) in self._under_way.items():
                until = self._until(began, overdue)
                clock.reschedule(None if until is None else max(until, now))
