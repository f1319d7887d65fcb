"""What does a function take? Its signature and annotations, read once, as Prompt flow reads them.

Prompt flow: _utils/tool_utils.py `function_to_interface`: a Union counts as its first type, an `Enum` as its
text, an un-annotated parameter as `object`, and a connection is known by the name of its class.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.strong import CustomStrongTypeConnection
from promptflow_lite.flow.annotations import TYPES
from promptflow_lite.tools.tool import Mode, Param, Tool, ToolMark, mark_of

__all__ = ["mode_of", "of_signature", "params_of"]

_VALUE_TYPES: Mapping[Any, str] = {int: "int", float: "double", bool: "bool", str: "string", list: "list"}


def of_signature(function: Callable[..., Any], *, name: str | None = None) -> Tool:
    """The tool that `function` is."""
    mark = mark_of(function) or ToolMark()
    doc = (inspect.getdoc(function) or "").partition("\n")[0]
    parameters = _parameters(function)
    return Tool(
        name=name or mark.name or str(getattr(function, "__name__", type(function).__name__)),
        call=function,
        params=params_of(function),
        mode=mode_of(function),
        accepts_extra=any(p.kind is p.VAR_KEYWORD for p in parameters),
        description=mark.description or doc,
    )


def mode_of(function: Callable[..., Any]) -> Mode:
    """How `function` is called: awaited, in a thread, or (async generators, which start late) in place."""
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    for candidate in (function, called):
        if inspect.iscoroutinefunction(candidate):
            return "async"
        if inspect.isasyncgenfunction(candidate):
            return "inline"
    return "thread"


def params_of(function: Callable[..., Any]) -> dict[str, Param]:
    """The parameters of `function` that have a name, by name; `self` of a class is left out."""
    annotations = _annotations(function)
    params = {}
    for parameter in _parameters(function):
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        unsaid = Any if default is None else type(default)  # Prompt flow takes the type of the default
        annotation = annotations.get(parameter.name, unsaid)
        params[parameter.name] = _param(parameter.name, annotation, required=required, default=default)
    return params


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:  # some builtins do not tell: they may take anything
        return [inspect.Parameter("inputs", inspect.Parameter.VAR_KEYWORD)]


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Evaluated where that works; what cannot be evaluated (names for type checkers only) stays text."""
    home: Any = inspect.getattr_static(function, "__init__") if isinstance(function, type) else function
    if not inspect.isroutine(home):
        home = getattr(home, "func", None) or type(home).__call__
    home = inspect.unwrap(home)
    namespace = getattr(home, "__globals__", {})
    found = {}
    for name, annotation in getattr(home, "__annotations__", {}).items():
        if isinstance(annotation, str):
            try:
                found[name] = eval(annotation, namespace)  # noqa: S307  the author's annotation, in its own module
            except (NameError, AttributeError, TypeError, SyntaxError, ImportError):
                found[name] = annotation
        else:
            found[name] = annotation
    return found


def _param(name: str, annotation: Any, *, required: bool, default: Any) -> Param:
    options = _options(annotation)
    connections = tuple(n for n in map(_connection_name, options) if n is not None)
    if connections:
        strong = next((o for o in options if isinstance(o, type) and _is_strong(o)), None)
        return Param(name, connections[0], required, default, connections=connections, strong=strong)
    first = options[0] if len(options) == 1 else Any  # of several types: read as JSON, as in Prompt flow
    if isinstance(first, type) and issubclass(first, enum.Enum):
        choices = tuple(str(member.value) for member in first)
        return Param(name, "string", required, default, choices=choices)
    return Param(name, _value_type(first), required, default)


def _options(annotation: Any) -> list[Any]:
    """The types a value may have; `None` beside others does not count."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, str) and "|" in annotation and "[" not in annotation:
        annotations: list[Any] = [part.strip() for part in annotation.split("|")]
        return [part for part in annotations if part != "None"] or [Any]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [arg for arg in typing.get_args(annotation) if arg is not type(None)] or [Any]
    return [annotation]


def _is_strong(kind: type) -> bool:
    return issubclass(kind, CustomStrongTypeConnection) and kind is not CustomStrongTypeConnection


def _connection_name(annotation: Any) -> str | None:
    if isinstance(annotation, str):
        name = annotation.rpartition(".")[2]
        return name if name.endswith("Connection") else None
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, Connection) or annotation.__name__.endswith("Connection"):
        return annotation.__name__
    return None


def _value_type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return TYPES.get(annotation.rpartition(".")[2], "object")
    if typing.get_args(annotation):
        return "object"  # a list of something takes what a list does not, as in Prompt flow
    origin = typing.get_origin(annotation) or annotation
    if origin in _VALUE_TYPES:
        return _VALUE_TYPES[origin]
    return TYPES.get(getattr(origin, "__name__", ""), "object")
