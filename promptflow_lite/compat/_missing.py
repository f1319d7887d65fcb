"""What does a name of Prompt flow say that we do not have? An ImportError that tells where to look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["names_of"]


def names_of(module: str, later: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """A module's `__getattr__`: names that are loaded on first use, and an `ImportError` for the rest.

    Args:
        module: Prompt flow's name of the module, for the message.
        later: name to `module:name` of what stands in for it; imported when it is asked for.
    """

    def __getattr__(name: str) -> Any:
        if later and name in later:
            where, _, what = later[name].partition(":")
            return getattr(import_module(where), what)
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise ImportError(f"{module}.{name} is not part of promptflow_lite; docs/compat.md lists what is")

    return __getattr__
