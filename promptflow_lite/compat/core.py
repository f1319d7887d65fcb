"""`promptflow.core`: tools, metrics, flows and prompts to call, model configurations."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.connections.configurations import (
    AzureOpenAIModelConfiguration,
    ModelConfiguration,
    OpenAIModelConfiguration,
)
from promptflow_lite.tools.scope import log_metric
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = [
    "AzureOpenAIModelConfiguration",
    "ModelConfiguration",
    "OpenAIModelConfiguration",
    "ToolProvider",
    "log_flow_metric",
    "log_metric",
    "tool",
]

log_flow_metric = log_metric

_PROMPTY = "promptflow_lite.compat.prompty"
_CALLED = "promptflow_lite.compat.called"

__getattr__ = names_of(
    "promptflow.core",
    {
        "AsyncFlow": f"{_CALLED}:AsyncFlow",
        "AsyncPrompty": f"{_PROMPTY}:AsyncPrompty",
        "Flow": f"{_CALLED}:Flow",
        "Prompty": f"{_PROMPTY}:Prompty",
    },
)
