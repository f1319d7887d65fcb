"""What does a tool tell an editor about its inputs? Choices that a function lists, inputs that others enable.

Prompt flow: _core/tool.py. A flow runs the same with and without these; `pf tool list` shows them, and
`pf tool validate` checks them.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from promptflow_lite.errors import ToolError
from promptflow_lite.tools.signature import params_of

__all__ = ["DynamicList", "GeneratedBy", "InputSetting", "function_at"]

WORKSPACE = ("subscription_id", "resource_group_name", "workspace_name")
"""Parameters that an editor of Azure fills in; they say nothing here."""


def function_at(path: str) -> Callable[..., Any]:
    """The function at `package.module.function`.

    Raises:
        ToolError: nothing that can be called is there.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ToolError(f"there is no function {path!r}: {error}", code="unknown-function") from error
    if not callable(found):
        raise ToolError(f"{path!r} is no function", code="unknown-function")
    function: Callable[..., Any] = found
    return function


class DynamicList:
    """The choices of an input, which a function lists.

    Args:
        function: the function, or its dotted path.
        input_mapping: parameter of the function to the input of the tool that it takes.

    Raises:
        ToolError: no function is at the path.
    """

    def __init__(
        self, function: str | Callable[..., Any], input_mapping: Mapping[str, str] | None = None
    ) -> None:
        self.function = function_at(function) if isinstance(function, str) else function
        self.func_path = _path_of(self.function)
        self.input_mapping = dict(input_mapping or {})
        self.func_kwargs = _arguments(self.function, self.input_mapping)

    def to_dict(self) -> dict[str, Any]:
        """As a tool's YAML says it."""
        return {"func_path": self.func_path, "func_kwargs": self.func_kwargs}


class GeneratedBy:
    """An input that a function makes of others, and a function that finds those again.

    Args:
        function: makes the value, or its dotted path.
        reverse_function: finds what it was made of.
        input_settings: settings of the parameters of `function`.

    Raises:
        ToolError: no function is at a path.
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        reverse_function: str | Callable[..., Any],
        input_settings: Mapping[str, InputSetting] | None = None,
    ) -> None:
        self.function = function_at(function) if isinstance(function, str) else function
        self.reverse_function = (
            function_at(reverse_function) if isinstance(reverse_function, str) else reverse_function
        )
        self.func_path = _path_of(self.function)
        self.reverse_func_path = _path_of(self.reverse_function)
        self.input_settings = dict(input_settings or {})
        names = {name: name for name in inspect.signature(self.function).parameters if name not in WORKSPACE}
        self.func_kwargs = _arguments(self.function, names)

    def to_dict(self) -> dict[str, Any]:
        """As a tool's YAML says it."""
        return {
            "func_path": self.func_path,
            "func_kwargs": self.func_kwargs,
            "reverse_func_path": self.reverse_func_path,
        }


class InputSetting:
    """How an editor shows one input of a tool.

    Args:
        is_multi_select: several choices can be taken.
        allow_manual_entry: a value can be typed that is no choice.
        enabled_by: the input that shows or hides this one.
        enabled_by_value: its values that show this one.
        dynamic_list: the choices.
        generated_by: what makes the value.
        others: whatever else a tool says, kept as it is.
    """

    def __init__(
        self,
        *,
        is_multi_select: bool | None = None,
        allow_manual_entry: bool | None = None,
        enabled_by: str | None = None,
        enabled_by_value: list[Any] | None = None,
        dynamic_list: DynamicList | None = None,
        generated_by: GeneratedBy | None = None,
        **others: Any,
    ) -> None:
        self.is_multi_select = is_multi_select
        self.allow_manual_entry = allow_manual_entry
        self.enabled_by = enabled_by
        self.enabled_by_value = enabled_by_value
        self.dynamic_list = dynamic_list
        self.generated_by = generated_by
        self.others = others

    def to_dict(self) -> dict[str, Any]:
        """As a tool's YAML says it; what is not said is left out."""
        said = {
            "is_multi_select": self.is_multi_select,
            "allow_manual_entry": self.allow_manual_entry,
            "enabled_by": self.enabled_by,
            "enabled_by_value": self.enabled_by_value,
            "dynamic_list": self.dynamic_list.to_dict() if self.dynamic_list else None,
            "generated_by": self.generated_by.to_dict() if self.generated_by else None,
            **self.others,
        }
        return {key: value for key, value in said.items() if value is not None}


def _path_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__name__', type(function).__name__)}"


def _arguments(function: Callable[..., Any], mapping: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for name, param in params_of(function).items():
        if name in WORKSPACE:
            continue
        argument: dict[str, Any] = {"name": name, "type": [param.connections or param.type]}
        if param.connections:
            argument["type"] = list(param.connections)
        if name in mapping:
            argument["reference"] = f"${{inputs.{mapping[name]}}}"
        argument["optional"] = not param.required
        if not param.required:
            argument["default"] = param.default
        found.append(argument)
    return found
