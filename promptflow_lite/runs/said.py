"""What is said of a run while it goes? Its log on the disk, and a word about long pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from promptflow_lite.engine.events import Throttled

__all__ = ["Pauses", "RunLog"]

_LONG_PAUSE_S = 60.0
"""A pause of an endpoint that is worth a word."""


class RunLog:
    """Keeps texts in the `log.txt` of a run or a sweep, each with its time.

    Args:
        folder: the run's.
        redact: takes secrets out.
    """

    def __init__(self, folder: Path, redact: Callable[[bytes], bytes]) -> None:
        self._file = folder / "log.txt"
        self._redact = redact

    def __call__(self, text: str) -> None:
        """Keep something in the log."""
        # It is for people: where the disk is full the journal says so, and this text is lost.
        with suppress(OSError), self._file.open("ab") as log:
            log.write(self._redact(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n".encode()))


class Pauses:
    """Which pauses of endpoints people are told of: a long one, once.

    Args:
        name: the run's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._until = 0.0

    def worth_a_word(self, told: Throttled) -> str | None:
        """What to say about it; `None` for nothing."""
        if told.until is None or told.until - time.time() <= _LONG_PAUSE_S:
            return None
        is_new = told.until - self._until > _LONG_PAUSE_S
        self._until = told.until
        if not is_new:
            return None
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told.until))
        return (
            f"{told.name} asks to be left alone until {when}: the run pauses "
            f"(or stop it, and later  pf run resume {self._name})"
        )
