"""How far is it, how fast, and how long yet? One line that redraws itself."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

__all__ = ["Progress"]

_WIDTH = 24
_EVERY_S = 0.1


class Progress:
    """A progress bar; a context manager, so that the line is finished whatever happens.

    Args:
        label: what is counted, such as `lines`.
        total: how many there will be.
        stream: where to draw; `None` draws nothing.
    """

    def __init__(self, label: str, total: int, *, stream: TextIO | None) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.failed = 0
        self.earlier = 0
        """Of those done, how many were so before the clock began."""
        self.note = ""
        """Shown at the end of the line, such as the tokens so far."""
        self._stream = stream
        self._began = time.monotonic()
        self._drawn = float("-inf")

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw()
        if self._stream is not None:
            self._stream.write("\n")
            self._stream.flush()

    def advance(self, count: int = 1, *, failed: int = 0) -> None:
        """Count `count` more as done, `failed` of them failed."""
        self.done += count
        self.failed += failed
        if self.is_due:
            self._draw()

    @property
    def is_due(self) -> bool:
        """Whether it is drawn at the next `advance`."""
        return self._stream is not None and time.monotonic() - self._drawn >= _EVERY_S

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def rate(self, elapsed_s: float) -> float:
        """How many a second."""
        return (self.done - self.earlier) / elapsed_s if elapsed_s > 0 else 0.0

    def clear(self) -> None:
        """Take the line away, so that something else can be written; the next `advance` draws it again."""
        if self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = float("-inf")

    def text(self, elapsed_s: float) -> str:
        """The line as it is after `elapsed_s` seconds."""
        share = min(1.0, self.done / self.total) if self.total else 1.0
        filled = round(share * _WIDTH)
        rate = self.rate(elapsed_s)
        left = self.total - self.done
        parts = [f"[{'#' * filled}{'-' * (_WIDTH - filled)}]", f"{self.done}/{self.total} {self.label}"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{rate:.1f}/s")
        if left > 0:
            parts.append(f"{_clock(left / rate)} left" if rate else "-- left")
        else:
            parts.append(_clock(elapsed_s))
        if self.note:
            parts.append(self.note)
        return "  ".join(parts)

    def _draw(self) -> None:
        if self._stream is None:
            return
        self._drawn = time.monotonic()
        self._stream.write(f"\r\x1b[K{self.text(self._drawn - self._began)}")
        self._stream.flush()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
