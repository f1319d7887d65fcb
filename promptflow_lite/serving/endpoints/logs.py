"""What did a deployment's processes print, and what failed there? One file each, bounded, without secrets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from promptflow_lite.serving.log import Redact, formatter

__all__ = ["Log", "Printed", "Routed", "follow", "tail"]

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

    def printed(self, label: str = "") -> Printed:
        """What takes the output of one process.

        Args:
            label: stands before each of its lines, where there are several.
        """
        return Printed(self.write, label.encode())

    def write(self, lines: bytes) -> None:
        """Keep lines, each whole."""
        self._keep(self._redact(lines))

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


class Printed:
    """The output of one process, which comes in pieces, as lines.

    Args:
        keep: takes whole lines.
        label: stands before each of them.
    """

    def __init__(self, keep: Callable[[bytes], None], label: bytes) -> None:
        self._keep = keep
        self._label = label
        self._rest = b""

    def write(self, text: bytes) -> None:
        """Take a piece; a line without end is cut."""
        lines, newline, rest = (self._rest + text).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, newline, rest = self._rest + text, b"\n", b""
        self._rest = rest
        if newline:
            self._keep(b"".join(b"%b%b\n" % (self._label, line) for line in lines.split(b"\n")))

    def end(self) -> None:
        """Take the process's end: its last words may lack one."""
        if self._rest:
            self.write(b"\n")


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


def follow(file: Path, wait: Callable[[], None]) -> Iterator[str]:
    """What is added to a log from now on, whole lines together; goes on for ever.

    Args:
        file: it may not be there yet, and begin anew.
        wait: is called where nothing was added.
    """
    at, which = (file.stat().st_size, file.stat().st_ino) if file.exists() else (0, 0)
    while True:
        found = file.stat() if file.exists() else None
        if found is not None and found.st_ino != which:
            at, which = 0, found.st_ino
        if found is None or found.st_size <= at:
            wait()
            continue
        with file.open("rb") as log:
            log.seek(at)
            lines, newline, _ = log.read().rpartition(b"\n")
        at += len(lines) + len(newline)
        if newline:
            yield lines.decode("utf-8", "replace")
        else:
            wait()
