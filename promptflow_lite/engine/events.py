"""What happens while a flow runs? Streaming, progress, traces and logs are listeners of one `emit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promptflow_lite.engine.results import LineResult, NodeRun
from promptflow_lite.tools.pacing import Throttled

__all__ = [
    "Chunk",
    "Emit",
    "Event",
    "LineEnded",
    "LineStarted",
    "Log",
    "NodeEnded",
    "NodeStarted",
    "Throttled",
    "ignore",
]


@dataclass(frozen=True, slots=True)
class LineStarted:
    """A line begins."""

    line_number: int | None


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A node begins."""

    node: str
    line_number: int | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a streamed output."""

    node: str
    outputs: tuple[str, ...]
    """The flow outputs that the node's output is."""
    text: str


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """A node is done, bypassed or failed."""

    run: NodeRun
    line_number: int | None


@dataclass(frozen=True, slots=True)
class LineEnded:
    """A line is done or failed."""

    result: LineResult


@dataclass(frozen=True, slots=True)
class Log:
    """A message for people."""

    text: str
    level: str = "info"


Event = LineStarted | NodeStarted | Chunk | NodeEnded | LineEnded | Log | Throttled
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
