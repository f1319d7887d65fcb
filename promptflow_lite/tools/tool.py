"""What can a node call? Tool and Param, a function's signature read once, and `@tool`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node

__all__ = ["BoundFlow", "BoundNode", "Made", "Param", "Tool"]

Mode = Literal["inline", "async", "thread"]
"""How a tool runs: on the loop in place (our own, quick), awaited on the loop, or in a daemon thread."""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a tool."""

    name: str
    type: str = "object"
    """A value type (`flow.types.ValueType`), or a connection class name; `object` for an un-annotated parameter."""
    required: bool = True
    default: Any = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable with a known signature.

    `call` takes keyword arguments. In mode `async` it returns an awaitable; any mode may give back a generator or
    an async iterator, which `engine.invoke` drains.
    """

    name: str
    call: Callable[..., Any]
    params: Mapping[str, Param]
    mode: Mode = "thread"
    accepts_extra: bool = False
    """Whether the function takes `**kwargs`."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A node's tool, as its maker (`llm.make`, `python.make`, ...) gives it to `bind`."""

    tool: Tool
    notes: tuple[str, ...] = ()
    """What a person should be told, such as which connection was taken."""
    closers: tuple[Callable[[], Any], ...] = ()
    """Called once when the flow is done with; an awaitable result is awaited."""


@dataclass(frozen=True, slots=True)
class BoundNode:
    """A node with what it calls."""

    node: Node
    tool: Tool
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Literal inputs, coerced; connections, resolved."""
    refs: Mapping[str, Ref] = field(default_factory=dict)
    """Inputs that come from elsewhere; never coerced (Prompt flow does not either)."""


@dataclass(frozen=True, slots=True)
class BoundFlow:
    """A flow whose every node holds its callable: ready to run."""

    flow: Flow
    nodes: Mapping[str, BoundNode]
    """By name, in topological order."""
    folder: Path
    notes: tuple[str, ...] = ()
    """What a person should be told, such as which connection was taken."""
    closers: tuple[Callable[[], Any], ...] = ()
    """Called once when the flow is done with; an awaitable result is awaited."""
    plan: dict[str, Any] = field(default_factory=dict, compare=False)
    """What the engine compiled for this flow, kept so that it is compiled once (`engine.schedule`)."""
