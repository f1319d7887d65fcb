"""How many runs at once? So many in flight, so many waiting, and a clear no to the rest."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from types import TracebackType

from promptflow_lite.serving.refusal import Refusal

__all__ = ["Gate"]


class Gate:
    """A door for runs, first come first served: an async context manager, one entry a run.

    Args:
        in_flight: runs at once.
        queue: how many more may wait.
        wait_s: how long one may wait.
    """

    def __init__(self, *, in_flight: int = 64, queue: int = 256, wait_s: float = 30.0) -> None:
        self._limit = in_flight
        self._queue = queue
        self._wait_s = wait_s
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.inside = 0
        """Runs in flight."""
        self._seconds = 1.0
        """What a run took lately, for `Retry-After`."""

    @property
    def queued(self) -> int:
        """Runs that wait."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether a run could begin now."""
        return self.inside < self._limit

    def check(self) -> None:
        """Refuse now what could not wait either, before its body is read.

        Raises:
            Refusal: 429, the queue is full.
        """
        if self.inside >= self._limit and len(self._waiting) >= self._queue:
            raise self._refusal("the queue is full")

    def took(self, seconds: float) -> None:
        """Learn how long runs take."""
        self._seconds += 0.1 * (seconds - self._seconds)

    async def __aenter__(self) -> None:
        """Go in, or wait for it.

        Raises:
            Refusal: 429, the queue is full or the wait was too long.
        """
        if self.inside < self._limit and not self._waiting:
            self.inside += 1
            return
        self.check()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # our turn came while we were leaving
                self._leave()
            else:
                with contextlib.suppress(ValueError):  # whoever left before us may have passed it over
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._refusal(f"waited {self._wait_s:g} s in the queue") from None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        """Hand the place to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.inside -= 1

    def _refusal(self, why: str) -> Refusal:
        seconds = max(1, math.ceil(self._seconds * (1 + len(self._waiting) / self._limit)))
        message = f"too many requests: {why}; try again in {seconds} s"
        return Refusal(429, "too-many-requests", message, headers=[(b"retry-after", b"%d" % seconds)])
