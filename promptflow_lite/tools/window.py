"""How long is an endpoint shut that does not say so, and what did it let in from one opening to the next?

A bucket that fills all the time lets the next call in after a moment. A window of ten seconds or a minute
that is used up lets nobody in until it ends, and asking all the while only adds refusals. So after a few
refusals in a row one call at a time asks, ever more seldom, until one is let in; what was let in since the
opening before, over the time that has passed since, is then the endpoint's rate.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import NamedTuple

__all__ = ["FIELDS", "Found", "Window"]

_BEGAN, _LET_IN, _SHUT, _ASKED, _MARK, _PAUSE, _PROBE, _PERIOD, _SIZE = range(9)
FIELDS = 9
"""How many floats the state is."""

_PATIENT = 2
"""Refusals in a row without any admission, after which a pause is made that nobody asked for; one less where
a window is known."""
_PAUSE_S = 0.1
_GROWTH = 1.2
"""How the pauses grow: of the time that it is shut, a sixth is waited for too long at most."""
_LONGEST_PAUSE_S = 30.0
_ROUND_TRIPS = 2.0
"""How many times what a refusal took a pause is at least: so that it is heard before the next call leaves."""
_NEARLY = 0.95
"""When the first call asks again where a window is known, of its length."""
_MOSTLY = 0.7
"""What share of what a window holds must be used up for that; else it is shut for some other reason."""
_HALF = 0.5
"""Whoever let in less than this share of the window before was shut for some other reason, too."""
_SHORT_S = 2.5
"""Whoever is shut for less may be a bucket, ..."""
_SHARE = 0.1
"""... or, where a window is known, for less than this share of it."""


class Found(NamedTuple):
    """A window."""

    seconds: float
    """From one opening to the next."""
    rate: float
    """Calls a second that it let in."""


class Window:
    """What was let in since the last opening, and whether it is shut. Times are those of `tools.limit`.

    Args:
        state: floats that are shared with others, all 0 at first.
        first: where the `FIELDS` of this one begin.
    """

    def __init__(self, state: MutableSequence[float], first: int) -> None:
        self._state = state
        self._first = first

    def __getitem__(self, field: int) -> float:
        return self._state[self._first + field]

    def __setitem__(self, field: int, value: float) -> None:
        self._state[self._first + field] = value

    @property
    def is_shut(self) -> bool:
        """Whether one call at a time asks."""
        return self[_PAUSE] > 0

    @property
    def is_known(self) -> bool:
        """Whether a window was found."""
        return self[_PERIOD] > 0

    @property
    def pause_s(self) -> float:
        """How long one call that asks leaves after the other."""
        return self[_PAUSE]

    def begin(self, at: float) -> None:
        """It opens then, and nothing is counted yet."""
        self[_BEGAN], self[_LET_IN] = at, 0.0
        self._open()

    def left(self, now: float) -> None:
        """A call leaves."""
        self[_LET_IN] += now >= self[_BEGAN]

    def turned_away(self, sent_at: float) -> None:
        """A call that left then was not let in."""
        if sent_at >= self[_PROBE]:
            self[_PROBE] = 0.0
        if sent_at >= self[_BEGAN]:
            self[_LET_IN] = max(0.0, self[_LET_IN] - 1)

    def rate(self, until: float, late: float = 0.0) -> float:
        """Calls a second that were let in from the last opening on, if `late` of those that left were not."""
        return max(0.0, self[_LET_IN] - late) / max(0.2, until - self[_BEGAN])

    def was_open(self, unheard: float) -> bool:
        """Whether calls were let in since the last refusal, if `unheard` of them may yet be refused.

        A refusal comes at once and an answer when the model is done: what is not refused by now was let in.
        """
        return not self.is_shut and self[_LET_IN] - self[_MARK] > unheard + 1

    def refused(self, now: float, sent_at: float, before: float) -> float:
        """How many seconds to leave the endpoint alone that has refused one more call.

        Args:
            now: when that was heard.
            sent_at: when the call had left.
            before: how many were refused since one was let in.
        """
        self[_ASKED], self[_MARK] = sent_at, self[_LET_IN]
        if not self.is_shut:
            self[_SHUT] = sent_at
        beyond = before - _PATIENT + self.is_known
        if beyond < 0:
            return 0.0
        pause_s = max(_PAUSE_S * _GROWTH ** min(beyond, 60.0), _ROUND_TRIPS * (now - sent_at))
        if self.is_known and self[_LET_IN] >= _MOSTLY * self[_SIZE]:
            pause_s = max(pause_s, self[_BEGAN] + _NEARLY * self[_PERIOD] - now)
        self[_PAUSE] = min(_LONGEST_PAUSE_S, pause_s)
        return self[_PAUSE]

    def asked(self, now: float) -> float:
        """One of the calls that ask leaves; when the one before it had, if that was let in, otherwise 0.

        It was if it has not been refused in the meantime.
        """
        before, self[_PROBE] = self[_PROBE], now
        return before

    def is_proof(self, sent_at: float) -> bool:
        """Whether it is open if a call that left then was let in: not if others were refused after it."""
        return sent_at > self[_ASKED]

    def opened(self, sent_at: float) -> Found | None:
        """A call that left then was let in after others were not; the window, if it was one."""
        at = sent_at if self.is_known else 0.5 * (self[_ASKED] + sent_at)  # it opened between the two
        short_s = min(_SHORT_S, _SHARE * self[_PERIOD]) if self.is_known else _SHORT_S
        size = self[_LET_IN]
        if not self.is_shut or at - self[_SHUT] < short_s or size < _HALF * self[_SIZE]:
            self._open()
            return None
        found = Found(at - self[_BEGAN], self.rate(at))
        self.begin(sent_at)
        self[_PERIOD], self[_SIZE], self[_LET_IN] = found.seconds, size, 1.0
        return found

    def _open(self) -> None:
        self[_SHUT] = self[_ASKED] = self[_PAUSE] = self[_PROBE] = 0.0
