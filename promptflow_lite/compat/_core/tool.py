"""`promptflow._core.tool`: `tool`, `ToolProvider`, `InputSetting`, `DynamicList`, `GeneratedBy`."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.tools.settings import DynamicList, GeneratedBy, InputSetting
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["DynamicList", "GeneratedBy", "InputSetting", "ToolProvider", "tool"]

__getattr__ = names_of("promptflow._core.tool")
