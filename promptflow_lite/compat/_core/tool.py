"""`promptflow._core.tool`: `tool`, `ToolProvider`, `InputSetting`."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.entities import DynamicList, InputSetting
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["DynamicList", "InputSetting", "ToolProvider", "tool"]

__getattr__ = names_of("promptflow._core.tool")
