"""`promptflow._core`: a private package of Prompt flow that flow code reaches into for `tool`."""

from promptflow_lite.compat._missing import names_of

__getattr__ = names_of("promptflow._core")
