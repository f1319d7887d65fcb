"""`promptflow._utils`: a private package of Prompt flow that users' scripts reach into."""

from promptflow_lite.compat._missing import names_of

__all__: list[str] = []

__getattr__ = names_of("promptflow._utils")
