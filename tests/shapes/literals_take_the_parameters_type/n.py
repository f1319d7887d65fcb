from __future__ import annotations

from enum import Enum
from typing import Optional, Union

from promptflow.core import tool


class Kind(str, Enum):
    a = "a"
    b = "b"


@tool
def n(
    i: int,
    f: float,
    b: bool,
    s: str,
    l: list[int],
    d: dict,
    u: Optional[int],
    un: Union[str, int],
    e: Kind,
    o: str = "default",
    nothing: int = 5,
):
    return [i, f, b, s, l, d, u, un, e, o, nothing]
