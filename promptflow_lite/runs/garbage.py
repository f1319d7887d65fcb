"""How often does Python look for garbage while lines run? Seldom: what they hold is mostly not.

With many lines in flight, objects are made in bursts and let go in bursts, which Python's collector takes for
growth: every fifth line it went through all that is new, and now and then through everything that imports
have made. For 64 lines in flight that ask by the openai package this was 0.15 ms of CPU a line (7 %), against
0.03 ms in a loop that holds one line after the other. What goes by reference counts, which is nearly
everything, is not touched by this.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["seldom_collected"]

_THRESHOLDS = (10_000, 5, 5)
"""New objects before a look at them (Python: 700), and how often the older ones are looked at too: more
often than by default, for what was there before the lines is out of it, and so a look is cheap."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Collect garbage seldom within, and never look at what is there already.

    Whoever has set the collector otherwise (another run in this process, a program that embeds us) has it
    their way.
    """
    before = gc.get_threshold()
    if not gc.isenabled() or not 0 < before[0] < _THRESHOLDS[0] or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
