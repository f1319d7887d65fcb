"""Prompt flow's names (`promptflow`), for code that imports them; nothing new happens here."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.tools.scope import log_metric
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["VERSION", "ToolProvider", "log_flow_metric", "log_metric", "tool"]

log_flow_metric = log_metric

VERSION = __version__ = "1.18.5"  # of Prompt flow: whose names these are

__getattr__ = names_of(
    "promptflow",
    {
        "PFClient": "promptflow_lite.compat.client:PFClient",
        "load_flow": "promptflow_lite.compat.client:load_flow",
        "load_run": "promptflow_lite.compat.client:load_run",
    },
)
