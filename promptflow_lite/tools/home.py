"""What does the process look like while a flow's code runs? As Prompt flow's users expect it.

The working directory is the flow's folder, which is also first on `sys.path`; what tools print goes to their
line. All of this belongs to the process and not to a line, so it is put in place by the first one in and
taken away by the last one out.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

from promptflow_lite.tools.scope import Printed, current

__all__ = ["Home"]


class _Stream:
    """A text stream that gives what a node prints to its line, and passes on everything else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        scope = current.get()
        printed = scope.printed if scope is not None else _process.strays_here()
        if printed is None:
            return self._stream.write(text)
        printed.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Process:
    """Who is inside which folder. The folder entered last is the working directory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # flows may run in several threads, each with its own loop
        self.inside: dict[str, int] = {}
        self.before = ""
        self.streams: tuple[TextIO, TextIO, TextIO, TextIO] | None = None
        self.strays: Printed | None = None

    def strays_here(self) -> Printed | None:
        """Where the prints of a thread go that is no node's and not the main one."""
        is_main = self.strays is None or threading.current_thread() is threading.main_thread()
        return None if is_main else self.strays

    def enter(self, folder: str) -> None:
        with self.lock:
            count = self.inside.get(folder, 0)
            if count == 0:
                if not self.inside:
                    self.before = _working_directory()
                    self.catch_prints()
                _go_to(folder)
                sys.path.insert(0, folder)
            self.inside[folder] = count + 1

    def leave(self, folder: str) -> None:
        with self.lock:
            count = self.inside[folder] - 1
            if count:
                self.inside[folder] = count
                return
            del self.inside[folder]
            if folder in sys.path:
                sys.path.remove(folder)
            _go_to(next(reversed(self.inside), self.before))
            if not self.inside:
                self.release_prints()

    def catch_prints(self) -> None:
        out, err = sys.stdout, sys.stderr
        caught_out, caught_err = cast(TextIO, _Stream(out)), cast(TextIO, _Stream(err))
        self.streams = (out, err, caught_out, caught_err)
        sys.stdout, sys.stderr = caught_out, caught_err

    def release_prints(self) -> None:
        if self.streams is None:
            return
        out, err, caught_out, caught_err = self.streams
        if sys.stdout is caught_out:  # whoever put another stream there meanwhile keeps it
            sys.stdout = out
        if sys.stderr is caught_err:
            sys.stderr = err
        self.streams = None


_process = _Process()  # the working directory, sys.path and sys.stdout are the process's, and so is this


class Home:
    """The flow's folder as the place where its code runs: a context manager, entered by any number at once.

    Args:
        folder: the flow's folder, absolute; a flow made in Python has none, and stays where it is.
        strays: where the prints of threads go that tools started, if the flow runs in the process's main
            thread (where it does not, other threads may be a program's own); `None` leaves them be.
    """

    __slots__ = ("_folder", "_strays")

    def __init__(self, folder: Path, strays: Printed | None = None) -> None:
        text = str(folder)
        self._folder = "" if text == "." else text
        self._strays = strays

    def __enter__(self) -> None:
        _process.enter(self._folder)
        if self._strays is not None and threading.current_thread() is threading.main_thread():
            _process.strays = self._strays

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._strays is not None:
            _process.strays = None
        _process.leave(self._folder)


def _working_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  a fifth of Path.cwd
    except FileNotFoundError:  # removed under our feet
        return ""


def _go_to(folder: str) -> None:
    if folder:
        try:
            os.chdir(folder)
        except FileNotFoundError:  # a folder that was removed is no place to go back to
            return
