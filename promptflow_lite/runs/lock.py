"""Who executes a run? A lock on its folder that the system releases when the process ends.

Such locks are POSIX's (`flock`), and runs need them: on another system they are refused with a word of why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptflow_lite.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["check_system", "hold", "holder"]

_PATIENCE_S = 0.5
"""A reader holds the lock for an instant to see whether it is free."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the one process that executes the run of `folder`.

    Raises:
        UserError: another process does (code `run-busy`), or the system has no such locks (`posix-only`).
    """
    check_system()
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        give_up = time.monotonic() + _PATIENCE_S
        while not _lock(handle, exclusive=True):
            if time.monotonic() > give_up:
                raise UserError(
                    f"the run {folder.name!r} is being executed by the process {_pid(handle) or '?'}",
                    code="run-busy",
                    hint=f"pf run stream {folder.name}  shows how it goes on",
                )
            time.sleep(0.02)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def check_system() -> None:
    """Nothing, where runs can be executed.

    Raises:
        UserError: the system has no file locks of POSIX's kind (code `posix-only`).
    """
    if fcntl is None:
        raise UserError(
            "runs need a POSIX system, for its locks, signals and processes: Linux, macOS, or WSL on Windows",
            code="posix-only",
        )


def holder(folder: Path) -> int | None:
    """The id of the process that executes the run of `folder` (0: it just began), or `None` if none does."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _lock(handle, exclusive=False) else _pid(handle) or 0
    finally:
        os.close(handle)


def _pid(handle: int) -> int | None:
    text = os.pread(handle, 32, 0)
    return int(text) if text.isdigit() else None


def _lock(handle: int, *, exclusive: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
