"""`promptflow.contracts.multimedia`: `Image`, `Text` and `PFBytes`."""

from promptflow_lite.compat._missing import names_of
from promptflow_lite.values import Image, Text

__all__ = ["Image", "PFBytes", "Text"]

PFBytes = Image

__getattr__ = names_of("promptflow.contracts.multimedia")
