"""What can a running node reach? Usage, metrics, whether to stream, and where its prints go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider

__all__ = [
    "NodeScope",
    "Printed",
    "SharedAnswers",
    "Surroundings",
    "Usage",
    "answers",
    "around",
    "caching",
    "current",
    "is_streaming",
    "log_metric",
    "within",
]


@dataclass(slots=True)
class Usage:
    """Tokens that models counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    """Requests that were answered, and paid for."""
    cached_tokens: int = 0
    """Tokens of prompts that the provider had kept, and charges less for; part of `prompt_tokens`."""
    reused: int = 0
    """Requests that our own cache answered; their tokens are not counted."""
    cost: float | None = None
    """US dollars; `None` where no price is known."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Usage) -> None:
        """Count `other` in."""
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.calls += other.calls
        self.cached_tokens += other.cached_tokens
        self.reused += other.reused
        if other.cost is not None:
            self.cost = other.cost + (self.cost or 0.0)

    def take_over(self, other: Usage) -> None:
        """Be as `other`."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))


class Printed:
    """What tools print: the first 64 kB kept, the rest counted."""

    LIMIT = 64 * 1024

    __slots__ = ("_kept", "_lost", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._kept = 0
        self._lost = 0

    def write(self, text: str) -> None:
        """Keep `text`, or as much of it as still fits."""
        room = self.LIMIT - self._kept
        if len(text) > room:
            self._lost += len(text) - room
            text = text[:room]
        if text:
            self._kept += len(text)
            self._parts.append(text)

    def __str__(self) -> str:
        text = "".join(self._parts)
        return f"{text}\n[{self._lost} more characters were printed and not kept]\n" if self._lost else text


@dataclass(slots=True)
class NodeScope:
    """The place of one node's run that its tool may write to; set by `engine.invoke`."""

    node: str
    line_number: int | None = None
    repeat: int = 0
    """Which of the line's repeats runs: a response that is kept answers the same repeat only."""
    stream: bool = False
    """Whether an llm tool should give an async iterator of text instead of text."""
    usage: Usage = field(default_factory=Usage)
    metrics: dict[str, Any] | None = None
    """Where `log_metric` writes; `None` outside the aggregation phase."""
    model: str | None = None
    """The model that answered last, as the endpoint names it."""
    printed: Printed | None = None
    """Where the prints of the node's tool go; `None` leaves them on the terminal."""
    endpoint: str | None = None
    """The address that answered; `local` is the embedded model's."""
    finish_reason: str | None = None
    """Why the model stopped, as the endpoint says it: `stop`, `length`, ..."""


class _Set:
    """A context variable that is set for a while: every line does so, and a generator costs thrice."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[Any], value: object) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)


_NOTHING = nullcontext()

current: ContextVar[NodeScope | None] = ContextVar("promptflow_lite.node", default=None)


@dataclass(frozen=True)
class SharedAnswers:
    """Answers that several runs of a sweep have in common: each line's own, of some of the nodes."""

    folder: str
    nodes: dict[str, str]
    """Node name to which of the sweep's choices its answers follow from."""


answers: ContextVar[str | SharedAnswers | None] = ContextVar("promptflow_lite.answers", default=None)
"""The folder where answers of models are kept; empty for nowhere, `None` as the settings say."""


@contextmanager
def caching(folder: str | SharedAnswers | None) -> Iterator[None]:
    """Keep answers in `folder` and look them up there; empty: nowhere; `None`: as the settings say."""
    token = answers.set(folder)
    try:
        yield
    finally:
        answers.reset(token)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The flow that is running: what a prompt that its code asks has in common with its llm nodes."""

    connections: ConnectionProvider
    loop: asyncio.AbstractEventLoop
    """Where its models are asked, and paced together."""


around: ContextVar[Surroundings | None] = ContextVar("promptflow_lite.flow", default=None)


def within(connections: ConnectionProvider | None) -> AbstractContextManager[None]:
    """On this loop, code of a flow that was bound with `connections` runs; `None` says nothing."""
    here, loop = around.get(), asyncio.get_running_loop()
    if connections is None or (here is not None and here.connections is connections and here.loop is loop):
        return _NOTHING  # the lines of a run are all within the same
    return _Set(around, Surroundings(connections, loop))


def log_metric(key: str, value: Any, variant_id: str | None = None) -> None:
    """Record a metric of the run. Does nothing outside an aggregation node, as in Prompt flow.

    Args:
        key: the metric's name.
        value: a number, or any JSON value.
        variant_id: accepted for Prompt flow's sake and ignored, as it does locally.
    """
    scope = current.get()
    if scope is not None and scope.metrics is not None:
        scope.metrics[key] = value


def is_streaming() -> bool:
    """Whether the running node's output is wanted as a stream."""
    scope = current.get()
    return scope is not None and scope.stream
