"""promptflow_lite: the open, light and fast home for LLM flows written in YAML."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptflow_lite.api.evaluations import Evaluation, evaluate
    from promptflow_lite.api.finished import FinishedRun
    from promptflow_lite.api.flows import LoadedFlow, load_flow, test
    from promptflow_lite.api.prompty import AsyncPrompty, Prompty
    from promptflow_lite.api.runs import run
    from promptflow_lite.errors import (
        ConnectionNotFound,
        FlowError,
        InputError,
        NodeError,
        PromptflowError,
        UserError,
    )
    from promptflow_lite.prompts.chat import trust
    from promptflow_lite.tools.scope import log_metric
    from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = [
    "AsyncPrompty",
    "ConnectionNotFound",
    "Evaluation",
    "FinishedRun",
    "FlowError",
    "InputError",
    "LoadedFlow",
    "NodeError",
    "PromptflowError",
    "Prompty",
    "ToolProvider",
    "UserError",
    "evaluate",
    "load_flow",
    "log_metric",
    "run",
    "test",
    "tool",
    "trust",
]

_HOMES = {
    "AsyncPrompty": "api.prompty",
    "Evaluation": "api.evaluations",
    "FinishedRun": "api.finished",
    "LoadedFlow": "api.flows",
    "Prompty": "api.prompty",
    "ToolProvider": "tools.tool",
    "evaluate": "api.evaluations",
    "load_flow": "api.flows",
    "log_metric": "tools.scope",
    "run": "api.runs",
    "test": "api.flows",
    "tool": "tools.tool",
    "trust": "prompts.chat",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
