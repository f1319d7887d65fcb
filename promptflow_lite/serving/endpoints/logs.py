"""What did a deployment's processes print, and what failed there? One file each, bounded, without secrets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from promptflow_lite.serving.log import Redact, formatter

__all__ = ["Log", "Routed", "tail"]

_LARGEST = 10 * 1024 * 1024
_LONGEST_LINE = 64 * 1024


class Log:
    """The log of one deployment. At 10 MB it begins anew, and the one before is kept beside it.

    Args:
        file: made, with its folder, at the first line.
        redact: replaces secrets.
    """

    def __init__(self, file: Path, redact: Redact) -> None:
        self._file = file
        self._redact = redact
        self._rest = b""

    def write(self, text: bytes) -> None:
        """Take what a process printed; whole lines are kept."""
        lines, newline, rest = (self._rest + text).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, newline, rest = self._rest + text, b"\n", b""
        self._rest = rest
        if newline:
            self._keep(self._redact(lines) + b"\n")

    def note(self, text: str) -> None:
        """Say something about the deployment."""
        self._keep(self._redact(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n".encode()))

    def _keep(self, lines: bytes) -> None:
        with suppress(OSError):  # a full disk shall not end the service
            self._append(lines)

    def _append(self, lines: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._file.exists() and self._file.stat().st_size > _LARGEST:
            self._file.replace(self._file.with_name(self._file.name + ".1"))
        with self._file.open("ab", buffering=0) as file:
            file.write(lines)


class Routed(logging.Handler):
    """Brings what the server says of a deployment's requests to that deployment's log.

    Args:
        log_of: the log of a deployment.
        redact: replaces secrets.
    """

    def __init__(self, log_of: Callable[[str], Log | None], redact: Redact) -> None:
        super().__init__()
        self._log_of = log_of
        self.setFormatter(formatter(redact))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, if it is about a deployment."""
        log = self._log_of(getattr(record, "deployment", ""))
        if log is not None:
            log.write(self.format(record).encode() + b"\n")


def tail(file: Path, lines: int) -> str:
    """The last lines of a log; empty where there is none yet."""
    found: list[bytes] = []
    for path in (file, file.with_name(file.name + ".1")):
        if len(found) < lines and path.is_file():
            found = path.read_bytes().splitlines() + found
    return b"\n".join(found[-lines:]).decode("utf-8", "replace")
