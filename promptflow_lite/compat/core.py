"""`promptflow.core`: `tool`, `log_metric`, `ToolProvider`, `Flow`, `AsyncFlow`."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.tools.scope import log_metric
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["ToolProvider", "log_flow_metric", "log_metric", "tool"]

log_flow_metric = log_metric

__getattr__ = names_of(
    "promptflow.core",
    {"AsyncFlow": "promptflow_lite.compat.client:AsyncFlow", "Flow": "promptflow_lite.compat.client:Flow"},
)
