"""How many lines at once can this process serve? As many as were asked for, or as keep its event loop busy.

Once the loop is busy all the time, another line in flight adds nothing but waits: answers lie longer until
they are read, time limits come nearer, a kill repeats more calls, and clients pay for each connection at each
call (the `openai` package's pool: a tenth of a call at 64 in flight, a quarter at 256). So a run begins with
a few desks, and opens more for as long as the loop has time to spare.
"""

from __future__ import annotations

import os

__all__ = ["Room"]

_FIRST = 16
"""Desks from the start: what one core can serve of nearly anything."""
_LOOK_S = 0.0125
"""Seconds between looks."""
_LOOKS = 4
"""Looks before desks are opened: as long as a fast answer takes, so that what the last ones cost is seen, and
short beside the answer of a slow model."""
_TIMES = 8
"""How many times as many desks there may be after one step."""
_ENOUGH = 16
"""Looks after which a loop that has no time to spare is looked at less often."""
_RARELY_S = 0.1
"""Seconds between such looks, at most: what lines do changes, and then there is room."""
_LATE_S = 0.003
"""A look that comes so late had to wait for lines; the clock of an idle loop is late by up to 1 ms."""
_BUSY = 0.97
"""The share of a core that counts as all of it."""
_LONG_S = 30.0
"""Seconds of a run that may be worth the start of worker processes."""


class Room:
    """Decides how many desks there are, from how late looks at it come, and what the loop's thread computes.

    Either alone does not tell. Beside other processes a busy loop gets a part of a core, and seems to have
    time to spare; lines that come together make a look late though the loop has nothing to do after them.
    Nothing here takes desks away: those that are there cost little more than was to be gained.

    Args:
        most: desks that were asked for.
        now: seconds of a monotonic clock.
        cpu: seconds that the loop's thread has computed.
    """

    def __init__(self, most: int, now: float, cpu: float) -> None:
        self._most = most
        self._pause_s = _LOOK_S
        self.desks = min(most, _FIRST)
        """How many there are."""
        self._is_full = False
        self._began = now
        self._begin(now, cpu)

    @property
    def look_in_s(self) -> float | None:
        """Seconds until the next look; `None` where all desks are there."""
        return self._pause_s if self.desks < self._most else None

    def more(self, due: float, now: float, cpu: float) -> int:
        """How many desks to open now, which then are there.

        Args:
            due: when the look should have come, by the clock.
            now: when it came.
            cpu: seconds that the loop's thread has computed.
        """
        self._looks += 1
        self._on_time += now - due <= _LATE_S
        if self._looks < _LOOKS:
            return 0
        busy = max(cpu - self._cpu, 0.0) / (now - self._since)
        times = min(_BUSY / busy, _TIMES) if busy else _TIMES
        opened = min(int(self.desks * (times - 1)), self._most - self.desks)
        if opened > 0 and 3 * self._on_time >= self._looks:
            self.desks += opened
            self._pause_s = _LOOK_S
            self._is_full = False
            self._begin(now, cpu)
            return opened
        if self._looks >= _ENOUGH:
            self._is_full = True
            self._pause_s = min(2 * self._pause_s, _RARELY_S)
            self._begin(now, cpu)
        return 0

    def advice(self, now: float) -> str:
        """What would have made the run faster, at its end; empty where nothing is known.

        Args:
            now: seconds of the clock.
        """
        cores = os.cpu_count() or 1
        if not self._is_full or cores == 1 or now - self._began < _LONG_S:
            return ""
        return (
            f"one core was busy with {self.desks} lines at once, of {self._most} that may be in flight: "
            f"'--workers {cores}' uses {cores} cores"
        )

    def _begin(self, now: float, cpu: float) -> None:
        self._since, self._cpu = now, cpu
        self._looks = self._on_time = 0
