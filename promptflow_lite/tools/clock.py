"""When is the time of a line, a node or a call over? Clocks that share one alarm on each event loop.

`asyncio.timeout` sets a timer each time, which whatever ends in time cancels: 10 of the 65 microseconds that
a line without a model took. Here the loop has one timer, for whichever clock ends first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary, ref

__all__ = ["Clock", "off_the_clock"]

_NEVER = float("inf")


class Clock:
    """A limit in time on what the running task does within; `asyncio.Timeout`, but for `with`.

    Args:
        when: on the running loop's clock; `None` for any time.
        stops: whether `off_the_clock` stops it meanwhile.

    Raises:
        TimeoutError: on leaving, if the time was over first.
    """

    __slots__ = ("_alarm", "_cancelling", "_is_over", "_stops", "_task", "_token", "_when", "loop")

    def __init__(self, when: float | None, *, stops: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self._alarm = _ALARMS.get(self.loop) or _new_alarm(self.loop)
        self._when = when
        self._stops = stops
        self._is_over = False
        self._task: asyncio.Task[object] | None = None
        self._token: Token[tuple[Clock, ...]] | None = None

    @classmethod
    def after(cls, seconds: float, *, stops: bool = False) -> Self:
        """A clock that ends in so many seconds."""
        return cls(asyncio.get_running_loop().time() + seconds, stops=stops)

    @property
    def when(self) -> float | None:
        """When it ends; `None` for never."""
        return self._when

    @property
    def is_over(self) -> bool:
        """Whether its time came before what it limits had ended."""
        return self._is_over

    def reschedule(self, when: float | None) -> None:
        """Set another end; does nothing once it is over, or was left."""
        if self._task is not None and not self._is_over:
            self._when = when
            self._alarm.set(self, when)

    def ring(self) -> None:
        """End what is done within."""
        if self._task is not None:
            self._is_over = True
            self._task.cancel()

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("a clock limits what a task does")
        self._cancelling = task.cancelling()
        if self._when is not None:
            self._alarm.set(self, self._when)
        if self._stops:
            self._token = _running.set((*_running.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._token is not None:
            _running.reset(self._token)
        self._alarm.forget(self)
        if not self._is_over or task is None:
            return
        if task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error


_running: ContextVar[tuple[Clock, ...]] = ContextVar("promptflow_lite.clocks", default=())
"""The clocks of the running line and node; an endpoint's wait stops them."""


@contextmanager
def off_the_clock() -> Iterator[None]:
    """Stop the clocks of the line and the node: what an endpoint makes them wait is not their time."""
    loop = asyncio.get_running_loop()
    stopped = [
        (clock, when - loop.time())
        for clock in _running.get()
        if clock.loop is loop and (when := clock.when) is not None and not clock.is_over
    ]
    for clock, _ in stopped:
        clock.reschedule(None)
    try:
        yield
    finally:
        for clock, left_s in stopped:
            clock.reschedule(loop.time() + left_s)


class _Alarm:
    """The timer of one loop, set for whichever of its clocks ends first, or earlier."""

    def __init__(self) -> None:
        self._clocks: set[Clock] = set()
        self._at = _NEVER
        self._timer: ref[asyncio.TimerHandle] | None = None
        """Weak, for it holds the loop, which is to go when nobody else holds it."""

    def set(self, clock: Clock, when: float | None) -> None:
        if when is None:
            self._clocks.discard(clock)
            return
        self._clocks.add(clock)
        if when < self._at:
            timer = self._timer() if self._timer is not None else None
            if timer is not None:
                timer.cancel()
            # In a context of its own: the timer outlives the line that sets it, and what that line holds.
            self._timer = ref(clock.loop.call_at(when, self._ring, context=Context()))
            self._at = when

    def forget(self, clock: Clock) -> None:
        self._clocks.discard(clock)

    def _ring(self) -> None:
        self._timer, self._at = None, _NEVER
        now = asyncio.get_running_loop().time()
        for clock in [clock for clock in self._clocks if _end(clock) <= now]:
            self._clocks.discard(clock)
            clock.ring()
        first = min(self._clocks, key=_end, default=None)
        if first is not None:
            self.set(first, first.when)


def _end(clock: Clock) -> float:
    return _NEVER if clock.when is None else clock.when


# An alarm belongs to one event loop: kept by loop, and gone with it.
_ALARMS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Alarm] = WeakKeyDictionary()


def _new_alarm(loop: asyncio.AbstractEventLoop) -> _Alarm:
    alarm = _ALARMS[loop] = _Alarm()
    return alarm
