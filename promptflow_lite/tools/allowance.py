"""How many tokens are left of those that a connection allows a minute? A bucket of five seconds' worth."""

from __future__ import annotations

from collections.abc import MutableSequence

__all__ = ["FIELDS", "Allowance"]

_LEVEL, _AT, _EACH = range(3)
FIELDS = 3
"""How many floats the state is."""

_SAVED_S = 5.0
_NEWEST = 0.2
"""What the last call counts of what one is taken to need."""


class Allowance:
    """What is left, and what a call needs. Without an allowance only the latter is kept.

    Args:
        state: floats that are shared with others, all 0 at first.
        first: where the `FIELDS` of this one begin.
        per_s: tokens a second; 0 for any number.
        a_call: what a call is taken to need until one has told.
    """

    def __init__(self, state: MutableSequence[float], first: int, per_s: float, a_call: float) -> None:
        self._state = state
        self._first = first
        self._per_s = per_s
        state[first + _EACH] = state[first + _EACH] or a_call

    @property
    def a_call(self) -> float:
        """How many tokens a call is taken to need; 0 where nothing is known."""
        return self._state[self._first + _EACH]

    def wait_s(self, now: float) -> float:
        """In how many seconds the next call may leave; not above 0 for now."""
        if not self._per_s:
            return 0.0
        state, level, at = self._state, self._first + _LEVEL, self._first + _AT
        passed = now - state[at] if state[at] else _SAVED_S
        state[level] = min(_SAVED_S * self._per_s, state[level] + passed * self._per_s)
        state[at] = now
        return -state[level] / self._per_s

    def take(self) -> None:
        """A call leaves."""
        self._state[self._first + _LEVEL] -= self.a_call

    def give_back(self) -> None:
        """It was refused, and took nothing."""
        self._state[self._first + _LEVEL] += self.a_call

    def spent(self, tokens: float) -> None:
        """It took so many."""
        each = self.a_call
        self._state[self._first + _LEVEL] -= tokens - each
        self._state[self._first + _EACH] = each + _NEWEST * (tokens - each) if each else tokens
