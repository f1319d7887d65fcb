"""`promptflow.contracts.types`: texts that mean something, for annotations."""

from __future__ import annotations

from promptflow_lite.compat._missing import names_of

__all__ = ["FilePath", "PromptTemplate", "Secret"]


class Secret(str):
    """A text that should not be shown."""

    __slots__ = ()


class FilePath(str):
    """A path to a file."""

    __slots__ = ()


class PromptTemplate(str):
    """The text of a prompt template."""

    __slots__ = ()


__getattr__ = names_of("promptflow.contracts.types")
