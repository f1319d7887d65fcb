"""What happens while a run is executed? The engine's events, and one for the beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promptflow_lite.engine.events import Event
from promptflow_lite.runs.run import Run

__all__ = ["RunEmit", "RunEvent", "RunStarted", "ignore"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run is in the store and its first line is about to start."""

    run: Run
    todo: int
    """Lines that will be executed now; the others are done already."""


RunEvent = Event | RunStarted
RunEmit = Callable[[RunEvent], None]


def ignore(event: RunEvent) -> None:
    """Listen to nothing."""
