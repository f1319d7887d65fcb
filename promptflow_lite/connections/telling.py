"""How is a download told? A line that redraws itself on a terminal, a line each tenth elsewhere."""

from __future__ import annotations

import time
from typing import TextIO

__all__ = ["DownloadLines"]

_EVERY_S = 0.2
_MB = 1024 * 1024


class DownloadLines:
    """Tells a download on a stream.

    Args:
        label: what is fetched.
        stream: usually stderr.
    """

    def __init__(self, label: str, stream: TextIO) -> None:
        self._label = label
        self._stream = stream
        self._is_live = stream.isatty()
        self._drawn = float("-inf")
        self._tenth = -1
        self._is_open = False

    def say(self, text: str) -> None:
        """A line of its own."""
        self.close()
        print(f"{self._label}: {text}", file=self._stream, flush=True)

    def at(self, done: int, total: int | None) -> None:
        """How many bytes are here, of how many."""
        share = min(1.0, done / total) if total else None
        text = f"{self._label}: {done / _MB:,.0f} MB"
        if total and share is not None:
            text = f"{self._label}: {done / _MB:,.0f} of {total / _MB:,.0f} MB ({share:.0%})"
        if self._is_live:
            self._redraw(text)
        else:
            self._each_tenth(text, done, share)

    def close(self) -> None:
        """Finish the line."""
        if self._is_open:
            print(file=self._stream, flush=True)
            self._is_open = False

    def _redraw(self, text: str) -> None:
        if time.monotonic() - self._drawn >= _EVERY_S or text.endswith("(100%)"):
            self._drawn = time.monotonic()
            print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)
            self._is_open = True

    def _each_tenth(self, text: str, done: int, share: float | None) -> None:
        tenth = int(share * 10) if share is not None else done // (100 * _MB)
        if tenth > self._tenth:
            self._tenth = tenth
            print(text, file=self._stream, flush=True)
