"""What can a node call? Tool and Param, what a maker gives to bind, and `@tool`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.connections.strong import CustomStrongTypeConnection
from promptflow_lite.errors import ToolError, near_miss
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node

__all__ = ["BoundFlow", "BoundNode", "Made", "Param", "Tool", "ToolMark", "ToolProvider", "mark_of", "tool"]

Mode = Literal["inline", "async", "thread"]
"""How a tool runs: on the loop in place (our own, quick), awaited on the loop, or in a daemon thread."""

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__pf_tool__"
_TYPES = ("llm", "python", "csharp", "prompt", "action", "custom_llm")


StrongClass = type[CustomStrongTypeConnection]
"""A class of connections that a tool's author declares."""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a tool."""

    name: str
    type: str = "object"
    """A value type (`flow.types.ValueType`) or a connection class name; `object` if not annotated."""
    required: bool = True
    default: Any = None
    connections: tuple[str, ...] = ()
    """The connection classes it takes, by name; empty where it takes none."""
    choices: tuple[str, ...] = ()
    """The values of its enum, where it is one."""
    strong: StrongClass | None = None
    """The class that a custom connection becomes, where the parameter asks for one of its own."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable with a known signature.

    `call` takes keyword arguments. In mode `async` it returns an awaitable; any mode may give back a
    generator or an async iterator, which `engine.invoke` drains.
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
    warmers: tuple[Callable[[], Awaitable[object]], ...] = ()
    """Called where the first line shall not wait for what is read at the first call, such as weights."""


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
    warmers: tuple[Callable[[], Awaitable[object]], ...] = ()
    """Called where the first line shall not wait for what is read at the first call, such as weights."""
    connections: ConnectionProvider | None = None
    """Where it found its connections; what its code asks for by name is found there too."""
    plan: dict[str, Any] = field(default_factory=dict, compare=False)
    """What the engine compiled for this flow, kept so that it is compiled once (`engine.schedule`)."""


@dataclass(frozen=True, slots=True)
class ToolMark:
    """What `@tool` was told about a function."""

    name: str | None = None
    description: str | None = None
    type: str | None = None
    input_settings: Mapping[str, Any] | None = None
    streaming_option_parameter: str | None = None
    """A parameter that gets a function saying whether the answer is wanted as a stream."""
    extra: Mapping[str, Any] = field(default_factory=dict)


class ToolProvider:
    """The base of a class whose marked method is a tool; its `__init__` takes literal node inputs."""


@overload
def tool(func: Function) -> Function: ...
@overload
def tool(
    func: None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    type: str | None = None,  # Prompt flow's name for it
    input_settings: Mapping[str, Any] | None = None,
    streaming_option_parameter: str | None = None,
    **extra: Any,
) -> Callable[[Function], Function]: ...
def tool(
    func: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    type: str | None = None,
    input_settings: Mapping[str, Any] | None = None,
    streaming_option_parameter: str | None = None,
    **extra: Any,
) -> Any:
    """The function, marked as the tool of its script. Works bare and with arguments.

    The function may be sync or async, a generator or an async generator; it is not wrapped, so it stays
    callable and importable as it was.

    Args:
        func: the function, when the decorator is used bare.
        name: shown instead of the function's name.
        description: shown instead of the docstring's first line.
        type: Prompt flow's tool type, such as `python` or `custom_llm`.
        input_settings: Prompt flow's settings of its editor, kept as they are.
        streaming_option_parameter: the parameter that gets a function saying whether to stream.
        extra: whatever else a tool package says about itself, kept as it is.

    Raises:
        ToolError: `type` is no tool type of Prompt flow.
    """
    if type is not None and type not in _TYPES:
        raise ToolError(
            f"tool type {type!r} is not known; expected one of {', '.join(_TYPES)}",
            hint=near_miss(type, _TYPES),
        )
    mark = ToolMark(name, description, type, input_settings, streaming_option_parameter, extra)

    def marked(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            setattr(function, _MARK, mark)
        except (AttributeError, TypeError):  # a builtin takes no attributes

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs)

            setattr(wrapper, _MARK, mark)
            return wrapper
        return function

    return marked if func is None else marked(func)


def mark_of(function: object) -> ToolMark | None:
    """What `@tool` was told about `function`, or `None` where it is not marked."""
    mark = getattr(function, _MARK, None)
    return mark if isinstance(mark, ToolMark) else None
