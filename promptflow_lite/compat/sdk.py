"""`promptflow._sdk`: a private package of Prompt flow that users' code reaches into."""

from promptflow_lite.compat._missing import names_of

__all__: list[str] = []

__getattr__ = names_of("promptflow._sdk", {"PFClient": "promptflow_lite.compat.client:PFClient"})
