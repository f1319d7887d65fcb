"""Shall the run end early? Asked by a signal or a threshold; lines in flight still get a little time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from promptflow_lite.runs.job import Line

__all__ = ["Stop"]


class Stop:
    """A wish to end a run: no new lines are taken, those in flight get `grace_s` seconds."""

    def __init__(self, *, grace_s: float = 10.0) -> None:
        self.grace_s = grace_s
        self.reason: str | None = None
        """Why, once it was asked for."""
        self._listeners: list[Callable[[], None]] = []

    def ask(self, reason: str) -> None:
        """Ask the run to end; only the first reason counts."""
        if self.reason is None:
            self.reason = reason
            for listener in self._listeners:
                listener()

    def when_asked(self, listener: Callable[[], None]) -> None:
        """Call `listener` when it is asked, at once if it was."""
        self._listeners.append(listener)
        if self.reason is not None:
            listener()

    def ends(self, lines: Iterable[Line]) -> Iterator[Line]:
        """`lines`, as long as nobody asked."""
        for line in lines:
            if self.reason is not None:
                return
            yield line
