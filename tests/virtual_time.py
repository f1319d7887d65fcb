"""A clock that jumps: an event loop on which an hour of sleeping takes no time."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run"]

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: the time that the loop would wait goes by at once."""

    def __init__(self, stops: tuple[float, float, float] | None) -> None:
        super().__init__()
        self.passed = 0.0
        self._stops = stops
        self._random = random.Random(5)
        self._next_stop = self._random.expovariate(1 / stops[0]) if stops else float("inf")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.passed += timeout
            if self._stops is not None and self.passed >= self._next_stop:
                self.passed += self._random.uniform(*self._stops[1:])
                self._next_stop = self.passed + self._random.expovariate(1 / self._stops[0])
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, stops: tuple[float, float, float] | None) -> None:
        self._jumping = _Jumping(stops)
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1000.0 + self._jumping.passed


def run(work: Coroutine[Any, Any, T], *, stops: tuple[float, float, float] | None = None) -> T:
    """What `work` gives; no sockets and no threads, whose time cannot jump.

    Args:
        work: what is done.
        stops: a machine that has more to do: how many seconds on average there are between two times at which
            it stands still, and for how long it does at least and at most.
    """
    with asyncio.Runner(loop_factory=lambda: _Loop(stops)) as runner:
        return runner.run(work)
