"""Where is a flow that is a function or an object of a script? Behind an entry that can be found again.

A function of a module is `folder/module:function`. What lives in this process only, such as an object or a
function of the script itself, gets a module of few lines that calls it.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptflow_lite.errors import UserError
from promptflow_lite.settings import settings

__all__ = ["entry_of", "target"]

_TARGETS: dict[str, Callable[..., Any]] = {}
"""What the written modules call, by key. Of this process: an object cannot be found again in another."""

_MODULE = "entry"
_PLAIN = {int: "int", float: "float", bool: "bool", str: "str", list: "list", dict: "dict"}


def target(key: str) -> Callable[..., Any]:
    """What a written module calls.

    Raises:
        UserError: it was of a process that is gone (`process-gone`).
    """
    if key not in _TARGETS:
        raise UserError(
            "the flow is an object of another process; run the script that made it", code="process-gone"
        )
    return _TARGETS[key]


def entry_of(call: Callable[..., Any]) -> str:
    """The entry of a callable, as `folder/module:name`."""
    return _entry_of(call) or _written(call)


def _entry_of(function: Callable[..., Any]) -> str | None:
    """`folder/module:name` of what a module defines at its top; `None` for anything else."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    name = getattr(function, "__qualname__", "")
    file = getattr(module, "__file__", None)
    if module is None or module.__name__ == "__main__" or not file or not name.isidentifier():
        return None
    if getattr(module, name, None) is not function:  # made by another, and given its name
        return None
    root = Path(file).resolve().parents[module.__name__.count(".")]
    return f"{root}/{module.__name__}:{name}"


def _written(call: Callable[..., Any]) -> str:
    """The entry of a module that calls back; written under the home, the same for the same signature."""
    name = getattr(call, "__name__", type(call).__name__)
    name = name if name.isidentifier() else "flow"
    key = f"{getattr(call, '__module__', '')}:{getattr(call, '__qualname__', type(call).__qualname__)}"
    while _TARGETS.get(key, call) is not call:  # two that were made by one function
        key += "'"
    _TARGETS[key] = call
    if hasattr(call, "__aggregate__"):
        _TARGETS[f"{key}:aggregate"] = call.__aggregate__
    text = _module(name, key, call)
    folder = settings().home / "data" / f"flow_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / f"{_MODULE}.py").write_text(text, encoding="utf-8")
    return f"{folder}/{_MODULE}:{name}"


def _module(name: str, key: str, call: Callable[..., Any]) -> str:
    parameters = inspect.signature(call).parameters.values()
    said = ", ".join(_parameter(p) for p in parameters)
    passed = ", ".join(_argument(p) for p in parameters)
    waits = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    define, give = ("async def", "return await") if waits else ("def", "return")
    head = f'"""Calls an object of the process that runs it."""\n\nfrom {__name__} import target\n\n\n'
    if f"{key}:aggregate" not in _TARGETS:
        return f"{head}{define} {name}({said}):\n    {give} target({key!r})({passed})\n"
    return (
        f"{head}class {name}:\n"
        f"    {define} __call__(self, {said}):\n        {give} target({key!r})({passed})\n\n"
        f"    def __aggregate__(self, line_results):\n"
        f"        return target({key + ':aggregate'!r})(line_results)\n"
    )


def _parameter(parameter: inspect.Parameter) -> str:
    many = "**" if parameter.kind is parameter.VAR_KEYWORD else "*"
    stars = many if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) else ""
    kind = _PLAIN.get(parameter.annotation)
    said = f"{stars}{parameter.name}" + (f": {kind}" if kind and not stars else "")
    default = parameter.default
    if default is parameter.empty:
        return said
    plain = default is None or isinstance(default, int | float | bool | str) or default in ([], {})
    return f"{said} = {default!r}" if plain else f"{said} = None"


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    return (
        f"*{parameter.name}"
        if parameter.kind is parameter.VAR_POSITIONAL
        else f"{parameter.name}={parameter.name}"
    )
