"""How many lines at once can this process serve? As many as were asked for, or as keep its event loop busy.

Once the loop is busy all the time, another line in flight adds nothing but waits: answers lie longer until
they are read, time limits come nearer, a kill repeats more calls, and clients pay for each connection at each
call (the `openai` package's pool: a tenth of a call at 64 in flight, a quarter at 256). So a run begins with
a few desks, and opens more for as long as the loop is on time.
"""

from __future__ import annotations

__all__ = ["Room"]

_FIRST = 16
"""Desks from the start: what one core can serve of nearly anything."""
_LATE_S = 0.003
"""A look that comes so late had to wait for lines; the clock of an idle loop is late by up to 1 ms."""
_CALM = 2
"""Looks on time, one after the other, before desks are opened: a loop that is busy is on time by chance."""
_SOON_S = 0.025
"""Seconds between looks on time: desks double in the time of a fast answer, so that a look sees what the last
ones cost, and 256 are there after 0.2 s, which is short beside the answer of a slow model."""
_LATER_S = 0.4
"""Seconds between looks at a loop that is busy, at most: what lines do changes, and then there is room."""


class Room:
    """Decides how many desks there are, from how late looks at it come.

    Nothing here takes desks away: those that are there cost little more than was to be gained.

    Args:
        most: desks that were asked for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calm = 0
        self._pause_s = _SOON_S
        self.desks = min(most, _FIRST)
        """How many there are."""

    @property
    def look_in_s(self) -> float | None:
        """Seconds until the next look; `None` where all desks are there."""
        return self._pause_s if self.desks < self._most else None

    def more(self, late_s: float) -> int:
        """How many desks to open now, which then are there.

        Args:
            late_s: how much later than it should the look came, in seconds.
        """
        if late_s > _LATE_S:
            self._calm = 0
            self._pause_s = min(2 * self._pause_s, _LATER_S)
            return 0
        self._calm += 1
        self._pause_s = _SOON_S
        if self._calm < _CALM:
            return 0
        self._calm = 0
        opened = min(self.desks, self._most - self.desks)
        self.desks += opened
        return opened
