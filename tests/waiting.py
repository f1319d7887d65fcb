"""Waiting for what another thread or process does: for the event, as long as a busy machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["until"]

PATIENCE_S = 60.0


def until(
    holds: Callable[[], object], otherwise: Callable[[], object] | str = "", *, seconds: float = PATIENCE_S
) -> None:
    """Wait until `holds()`.

    Args:
        holds: is asked again and again; what it raises ends the test.
        otherwise: what the failure says, or what tells it.
        seconds: how long the machine may take at the most, far more than it needs.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, otherwise() if callable(otherwise) else otherwise
        time.sleep(0.02)
