"""`promptflow.entities`: what a tool may tell an editor about its inputs. Taken, and without effect."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat._missing import names_of

__all__ = ["DynamicList", "InputSetting"]


class _Facts:
    """Keyword arguments kept as attributes."""

    def __init__(self, **facts: Any) -> None:
        vars(self).update(facts)


class InputSetting(_Facts):
    """How an editor shows one input of a tool."""


class DynamicList(_Facts):
    """Where an editor finds the choices of one input."""


__getattr__ = names_of("promptflow.entities")
