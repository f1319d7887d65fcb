"""Who gets a request? A share of the line from 0 to 100, and a point on it: drawn, or a session's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

__all__ = ["pick", "point_of"]

_POINTS = 1 << 64


def pick(shares: Mapping[str, int], point: float) -> str | None:
    """The name whose share of the line holds `point`, or `None` where that is nobody's.

    The shares lie on the line in their order. A share that grows at the other's cost keeps what it had.

    Args:
        shares: percents by name.
        point: from 0, below 100.

    >>> [pick({"blue": 90, "green": 10}, at) for at in (0, 89.9, 90)]
    ['blue', 'blue', 'green']
    """
    end = 0
    for name, percent in shares.items():
        end += percent
        if point < end:
            return name
    return None


def point_of(session: bytes, endpoint: str) -> float:
    """The point of a session: the same in every process, for ever."""
    digest = hashlib.sha256(endpoint.encode() + b"\0" + session).digest()
    return int.from_bytes(digest[:8], "big") / _POINTS * 100
