"""What came of a node, of a line, of the aggregation? Plain data, JSON in and JSON out.

Treat as immutable. The classes are not frozen because a frozen dataclass costs three times as much to make,
and a batch makes one for every node of every line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from promptflow_lite.tools.scope import Usage

__all__ = ["AggregationResult", "Failure", "LineResult", "NodeRun", "Status"]


class Status(StrEnum):
    """How a node, a line or a run ended (or where it is)."""

    NotStarted = "NotStarted"
    Running = "Running"
    Completed = "Completed"
    Failed = "Failed"
    Bypassed = "Bypassed"
    Canceled = "Canceled"


@dataclass(slots=True)
class Failure:
    """Why something failed."""

    code: str
    message: str
    node: str | None = None
    traceback: str | None = None
    """The user's frames only."""
    details: Mapping[str, Any] | None = None
    """The provider's facts, where a model's endpoint refused: status, type, request id."""


@dataclass(slots=True)
class NodeRun:
    """What came of one node."""

    node: str
    status: Status
    inputs: dict[str, Any] = field(default_factory=dict)
    output: Any = None
    error: Failure | None = None
    started: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0
    usage: Usage | None = None
    model: str | None = None
    logs: str = ""
    """What its tool printed, where the node ran by itself; otherwise the line has it."""
    endpoint: str | None = None
    """The address of the model that answered; `local` is the embedded one's."""
    finish_reason: str | None = None
    """Why that model stopped: `stop`; `length` if the answer is cut short."""


@dataclass(slots=True)
class LineResult:
    """What came of one line."""

    line_number: int | None
    status: Status
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    node_runs: dict[str, NodeRun] = field(default_factory=dict)
    error: Failure | None = None
    started: float = 0.0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    logs: str = ""
    """What the line's tools printed."""
    repeat: int = 0
    """Which of the line's repeats this is, from 0."""


@dataclass(slots=True)
class AggregationResult:
    """What came of the aggregation nodes."""

    metrics: dict[str, Any] = field(default_factory=dict)
    node_runs: dict[str, NodeRun] = field(default_factory=dict)
    error: Failure | None = None
    logs: str = ""
    """What the aggregation's tools printed."""
