"""How many calls were admitted lately? Counted in slots of half a second, the last ten seconds of them.

The slots are pairs of floats in a row of them: which half second it is, and how many.
"""

from __future__ import annotations

from collections.abc import MutableSequence

__all__ = ["FIELDS", "add", "clear", "counted"]

_SLOT_S = 0.5
_SLOTS = 20
FIELDS = 2 * _SLOTS
"""How many floats that is."""


def add(state: MutableSequence[float], first: int, at: float, more: float) -> None:
    """Count `more` calls, of which -1 takes one back; the slots begin at `first`."""
    slot = int(at / _SLOT_S)
    place = first + 2 * (slot % _SLOTS)
    if state[place] != slot:
        if more < 0:
            return
        state[place], state[place + 1] = slot, 0.0
    state[place + 1] += more


def clear(state: MutableSequence[float], first: int) -> None:
    """Count from here."""
    for place in range(first, first + FIELDS):
        state[place] = 0.0


def counted(state: MutableSequence[float], first: int, now: float) -> tuple[float, float]:
    """How many there were, and since when, at the earliest, they are counted."""
    oldest = int(now / _SLOT_S) - _SLOTS + 1
    count = sum(state[at + 1] for at in range(first, first + FIELDS, 2) if state[at] >= oldest)
    return count, oldest * _SLOT_S
