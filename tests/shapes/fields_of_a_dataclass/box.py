from __future__ import annotations

from dataclasses import dataclass

from promptflow.core import tool


@dataclass
class Size:
    width: int


@dataclass
class Box:
    size: Size


@tool
def box(x: int) -> Box:
    return Box(Size(x))
