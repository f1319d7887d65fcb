"""`promptflow.contracts`: the types that tools annotate with."""

from promptflow_lite.compat._missing import names_of

__getattr__ = names_of("promptflow.contracts")
