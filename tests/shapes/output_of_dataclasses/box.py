from dataclasses import dataclass

from promptflow.core import tool


@dataclass
class Box:
    width: int


@tool
def box(x: int) -> list:
    return [Box(i) for i in range(x)]
