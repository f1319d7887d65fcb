"""How does a person follow, or stop, a run that another process executes? By its folder and its lock."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from promptflow_lite.cli import showing
from promptflow_lite.cli.console import emit, emit_json, neutral, progress, say
from promptflow_lite.cli.showing import exit_code, store
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import UserError
from promptflow_lite.runs import lock
from promptflow_lite.runs.run import Run

__all__ = ["cancel", "watch"]

_LOOK_EVERY_S = 0.25
_CANCEL_S = 30.0


def watch(name: str, *, as_json: bool) -> int:
    """Show the log and the progress of a run until it ends; the exit code is the run's."""
    log = store().folder(name) / "log.txt"
    run = store().load(name)
    at = _show_log(log, 0)
    if run.status is Status.Running:
        counts = run.lines
        with progress("lines", counts.total - counts.skipped) as bar:
            while run.status is Status.Running:
                done = run.lines.completed + run.lines.failed
                bar.advance(done - bar.done, failed=run.lines.failed - bar.failed)
                time.sleep(_LOOK_EVERY_S)
                size = log.stat().st_size if log.exists() else 0
                if size > at:
                    bar.clear()
                    at = _show_log(log, at)
                run = store().load(name)
        _show_log(log, at)
    if as_json:
        emit_json(showing.as_json(run, store()))
    else:
        emit(showing.text(run, store()))
    return 1 if run.status is Status.Canceled else exit_code(run)


def cancel(name: str) -> Run:
    """Ask the process that executes a run to stop, and wait until it has.

    Raises:
        UserError: nobody executes the run (code `run-not-running`), or it does not stop (`run-busy`).
    """
    folder = store().folder(name)
    pid = lock.holder(folder)
    if not pid:
        run = store().load(name)
        raise UserError(f"{name} is not running; it is {run.status}", code="run-not-running")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + _CANCEL_S
    while lock.holder(folder) == pid:
        if time.monotonic() > give_up:
            raise UserError(f"the process {pid} still executes {name}", code="run-busy", hint=f"kill {pid}")
        time.sleep(_LOOK_EVERY_S)
    return store().load(name)


def _show_log(log: Path, at: int) -> int:
    if not log.exists():
        return at
    with log.open("rb") as file:
        file.seek(at)
        content = file.read()
    if content:
        say(neutral(content.decode(errors="replace").rstrip("\n")))
    return at + len(content)
