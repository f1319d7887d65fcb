"""What happens while a run is executed? The engine's events, and those of its beginning and its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promptflow_lite.engine.events import Event
from promptflow_lite.runs.run import Run

__all__ = ["RunEmit", "RunEnded", "RunEvent", "RunStarted", "ignore"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run is in the store and its first line is about to start."""

    run: Run
    todo: int
    """Lines that will be executed now; the others are done already."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run of a sweep has ended; the next is about to start."""

    run: Run


RunEvent = Event | RunStarted | RunEnded
RunEmit = Callable[[RunEvent], None]


def ignore(event: RunEvent) -> None:
    """Listen to nothing."""
