"""Which tool does a Python script define? Read from its syntax tree; the script is never imported.

A tool is a function or method under `@tool`. What cannot be known without running the script (a star import,
a decorator of the author's own) is left to `tools.python`, which imports it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from promptflow_lite.errors import Diagnostic, FlowError, Mark

__all__ = ["Script", "ScriptTool", "read_script"]

_CONNECTION = re.compile(r"\b\w*Connection\b")
_TRANSPARENT = {"trace", "staticmethod", "classmethod"}


@dataclass(frozen=True)
class ScriptTool:
    """A function under `@tool`."""

    name: str
    line: int
    params: tuple[str, ...]
    required: frozenset[str]
    connections: frozenset[str]
    """The parameters that are annotated with a connection class."""
    accepts_extra: bool
    """Whether it takes `**kwargs`, or what it takes cannot be read."""
    assistants: frozenset[str] = frozenset()
    """The parameters that are annotated with Prompt flow's `AssistantDefinition`."""


@dataclass(frozen=True)
class Script:
    """What a script says of its tools."""

    tools: tuple[ScriptTool, ...]
    is_certain: bool
    """Whether these are all."""


@lru_cache(maxsize=256)
def read_script(text: str, file: str) -> Script:
    """The tools that a script defines.

    Args:
        text: Python.
        file: the name in complaints.

    Raises:
        FlowError: code `script-syntax`, with line and column.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        raise _syntax(error.msg, file, error.lineno or 1, error.offset or 1) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise _syntax(str(error) or type(error).__name__, file, 1, 1) from None
    names = _Names.of(tree)
    definitions = list(_definitions(tree.body, None))
    found = [_tool(function, owner, names) for function, owner in definitions if _mark(function, names)]
    named = {tool.name: tool for tool in found}
    is_certain = names.are_certain and len(named) == len(found)
    return Script(tuple(named.values()), is_certain)


def _syntax(message: str, file: str, line: int, column: int) -> FlowError:
    return FlowError([Diagnostic("script-syntax", message, Mark(file, line, max(column, 1)))])


_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class _Names:
    """What the script calls our decorator."""

    tools: frozenset[str]
    modules: frozenset[str]
    are_certain: bool

    @classmethod
    def of(cls, tree: ast.Module) -> _Names:
        tools: set[str] = set()
        modules: set[str] = set()
        are_certain = True
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                ours = _is_ours(node.module or "") and not node.level
                for alias in node.names:
                    if alias.name == "*":
                        are_certain = False
                    elif ours and alias.name == "tool":
                        tools.add(alias.asname or alias.name)
                    elif ours:
                        modules.add(alias.asname or alias.name)
            elif isinstance(node, ast.Import):
                modules |= {(a.asname or a.name).partition(".")[0] for a in node.names if _is_ours(a.name)}
        names = cls(frozenset(tools), frozenset(modules), are_certain)
        return names if are_certain and not _hides_tools(tree, names) else replace(names, are_certain=False)

    def has(self, decorator: ast.expr) -> bool:
        """Whether the expression is our `tool`."""
        if isinstance(decorator, ast.Name):
            return decorator.id in self.tools
        return (
            isinstance(decorator, ast.Attribute)
            and decorator.attr == "tool"
            and _root(decorator) in self.modules
        )


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("promptflow", "promptflow_lite")


def _hides_tools(tree: ast.Module, names: _Names) -> bool:
    """Whether `tool` is called outside a decorator, or is decorated with under a name that is not ours."""
    decorators: set[ast.expr] = set()
    foreign = False
    for node in ast.walk(tree):
        if isinstance(node, _Function | ast.ClassDef):
            decorators |= set(node.decorator_list)
            foreign |= any(_last(d) == "tool" and not names.has(_called(d)) for d in node.decorator_list)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node not in decorators)
    return foreign or any(names.has(call.func) for call in calls)


def _definitions(
    body: list[ast.stmt], owner: ast.ClassDef | None
) -> Iterator[tuple[_Function, ast.ClassDef | None]]:
    for statement in body:
        if isinstance(statement, _Function):
            yield statement, owner
        elif isinstance(statement, ast.ClassDef):
            yield from _definitions(statement.body, statement)
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from _definitions(getattr(statement, part, []), owner)
            for handler in getattr(statement, "handlers", []):
                yield from _definitions(handler.body, owner)


def _mark(function: _Function, names: _Names) -> ast.expr | None:
    return next((d for d in function.decorator_list if names.has(_called(d))), None)


def _tool(function: _Function, owner: ast.ClassDef | None, names: _Names) -> ScriptTool:
    args = _without_self(function) if owner else function.args
    params, required, connections, accepts_extra = _signature(args)
    others = {_last(d) for d in function.decorator_list if not names.has(_called(d))}
    accepts_extra |= bool(others - _TRANSPARENT)
    if owner is not None:
        init = next((f for f in owner.body if isinstance(f, _Function) and f.name == "__init__"), None)
        if init is not None:
            more = _signature(_without_self(init))
            params, required, connections = params + more[0], required | more[1], connections | more[2]
            accepts_extra |= more[3]
        else:
            accepts_extra |= any(_last(base) != "ToolProvider" for base in owner.bases)
    required -= _filled_in(_mark(function, names))
    name = f"{owner.name}.{function.name}" if owner else function.name
    if accepts_extra:
        required = required if not others - _TRANSPARENT else frozenset()
    assistants = frozenset(
        a.arg
        for a in args.args
        if a.annotation is not None and "AssistantDefinition" in ast.unparse(a.annotation)
    )
    return ScriptTool(name, function.lineno, params, required, connections, accepts_extra, assistants)


def _signature(args: ast.arguments) -> tuple[tuple[str, ...], frozenset[str], frozenset[str], bool]:
    """Names, required names, names of connections, and whether `**kwargs` is there."""
    plain = [*args.posonlyargs, *args.args]
    without_default = plain[: len(plain) - len(args.defaults)]
    without_default += [a for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is None]
    every = [*plain, *args.kwonlyargs]
    connections = frozenset(
        a.arg for a in every if a.annotation is not None and _CONNECTION.search(ast.unparse(a.annotation))
    )
    names = tuple(a.arg for a in every)
    return names, frozenset(a.arg for a in without_default), connections, args.kwarg is not None


def _without_self(function: _Function) -> ast.arguments:
    if any(_last(d) == "staticmethod" for d in function.decorator_list) or not function.args.args:
        return function.args
    args = function.args
    kept = args.args[1:]
    return ast.arguments(
        posonlyargs=args.posonlyargs,
        args=kept,
        vararg=args.vararg,
        kwonlyargs=args.kwonlyargs,
        kw_defaults=args.kw_defaults,
        kwarg=args.kwarg,
        defaults=args.defaults[-len(kept) :] if kept else [],
    )


def _filled_in(mark: ast.expr | None) -> frozenset[str]:
    """The parameter that the engine gives: `@tool(streaming_option_parameter=...)`."""
    keywords = mark.keywords if isinstance(mark, ast.Call) else []
    return frozenset(
        str(k.value.value)
        for k in keywords
        if k.arg == "streaming_option_parameter" and isinstance(k.value, ast.Constant)
    )


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _last(expression: ast.expr) -> str:
    expression = _called(expression)
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else ""


def _root(expression: ast.expr) -> str:
    while isinstance(expression, ast.Attribute):
        expression = expression.value
    return expression.id if isinstance(expression, ast.Name) else ""
