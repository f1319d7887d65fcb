"""How does a person follow, or stop, a run that another process executes? By its folder and its lock."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from promptflow_lite.cli import written
from promptflow_lite.cli.console import neutral
from promptflow_lite.cli.reporting import Report, report_of
from promptflow_lite.cli.showing import exit_code, store
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import UserError
from promptflow_lite.runs import lock
from promptflow_lite.runs.family import together
from promptflow_lite.runs.follow import FollowingAll
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL

__all__ = ["cancel", "watch"]

_LOOK_EVERY_S = 0.25
_CANCEL_S = 30.0


def watch(name: str, *, as_json: bool, log_format: str = "text", each_line: bool = False) -> int:
    """Show the log and the progress of a run until it ends; the exit code is the run's.

    Ctrl-C ends the watching, not the run.
    """
    folder = store().folder(name)
    report = report_of(log_format, each_line=each_line, name=name)
    log = _Log(folder / "log.txt", report)
    try:
        _follow(name, folder, report, log, each_line=each_line)
    except KeyboardInterrupt:
        report.end()
        report.log(f"no longer watching {name}, which goes on;  pf run cancel {name}  stops it")
        return 128 + signal.SIGINT
    run = together(store().load(name), store())
    report.end()
    log.show()
    report.ended(run)
    written.write(run, store(), as_json=as_json)
    return 1 if run.status is Status.Canceled else exit_code(run)


def _follow(name: str, folder: Path, report: Report, log: _Log, *, each_line: bool) -> None:
    """Report until nobody executes the run any more."""
    names = store().load(name).children or [name]
    following = FollowingAll(store().root / one / JOURNAL for one in names)
    log.show()
    run: Run | None = None
    is_live = lock.holder(folder) is not None
    while is_live:
        is_live = lock.holder(folder) is not None  # asked first: what was written before the end is read
        if run is None and (found := store().load(name)).status is Status.Running:
            run = found
            report.begin(run, run.lines.total - run.lines.skipped)
        for result in following.read():
            if each_line:
                report.ended_line(result)
        if run is not None:
            counts = {"completed": following.completed, "failed": following.failed}
            so_far = run.model_copy(update={"lines": run.lines.model_copy(update=counts)})
            report.counts(so_far, following.usage)
        if is_live:
            time.sleep(_LOOK_EVERY_S)
        log.show()


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


class _Log:
    """The run's log, of which each line is shown once."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self._at = 0

    def show(self) -> None:
        """Show what is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            content = file.read()
        self._at += len(content)
        for line in content.decode(errors="replace").splitlines():
            self._report.log(neutral(line))
