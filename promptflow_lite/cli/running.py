"""How does a person follow a run of this process? Progress, signals, the summary and the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any

from promptflow_lite.cli import showing, written
from promptflow_lite.cli.console import emit_json, neutral, say
from promptflow_lite.cli.reporting import report_of
from promptflow_lite.connections.store import provider
from promptflow_lite.engine.events import LineEnded, Log, Throttled
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import PromptflowError
from promptflow_lite.evaluation import summary
from promptflow_lite.registry import Registry
from promptflow_lite.runs import batch, family, sweep
from promptflow_lite.runs.events import RunEnded, RunEvent, RunStarted
from promptflow_lite.runs.forecast import Forecast
from promptflow_lite.runs.job import Tracker
from promptflow_lite.runs.planning import Sweep
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.stop import Stop
from promptflow_lite.settings import settings

__all__ = ["Session"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LEAVE_S = 5.0
"""Seconds in which tasks end that were told to; user code may catch its cancellation and go on."""


class Session:
    """One execution of a run by `pf`.

    Args:
        each_line: say how each line ended.
        tracking: tell the tracker, unless the run or the settings say no.
        traces: tell it a trace for each line, as many as the settings say, unless the run says no.
        as_json: write the run as JSON in place of the summary.
        log_format: `text` for people, or `json`.
    """

    def __init__(
        self,
        *,
        each_line: bool = False,
        tracking: bool,
        traces: bool = True,
        as_json: bool,
        log_format: str = "text",
    ) -> None:
        self.store = showing.store()
        self.log_format = log_format
        self._report = report_of(log_format, each_line=each_line)
        self._as_json = as_json
        self._tracking = tracking and settings().tracking
        self._traces = traces
        self._stop = Stop()
        self._signal: int | None = None
        self._name = ""
        self._leave: Callable[[], Any] = lambda: None

    def create(self, asked: Run, reuse: Run | None) -> int:
        """Execute a new run; the exit code."""
        return self._execute(
            batch.run_batch(
                asked,
                store=self.store,
                connections=provider(settings()),
                reuse=reuse,
                summarize=summary.of,
                stop=self._stop,
                emit=self._listen,
            ),
            asked.name,
        )

    def log(self, text: str) -> None:
        """Tell something, as progress is told."""
        self._report.log(neutral(text))

    def sweep(self, planned: Sweep, foreseen: Forecast) -> int:
        """Execute a new sweep; the exit code."""
        return self._execute(
            sweep.run_sweep(
                planned,
                foreseen,
                store=self.store,
                connections=provider(settings()),
                summarize=summary.of,
                stop=self._stop,
                emit=self._listen,
            ),
            planned.parent.name,
        )

    def resume(
        self,
        name: str,
        changes: Mapping[str, Any],
        variables: Mapping[str, str],
        *,
        retry_failed: bool,
        force: bool,
    ) -> int:
        """Go on with a run, or with every run of a sweep; the exit code."""
        again = sweep.resume_sweep if self.store.load(name).children else batch.resume_batch
        return self._execute(
            again(
                name,
                store=self.store,
                connections=provider(settings()),
                changes=changes,
                environment_variables=variables,
                retry_failed=retry_failed,
                force=force,
                summarize=summary.of,
                stop=self._stop,
                emit=self._listen,
            ),
            name,
        )

    def sync(self, names: Sequence[str]) -> int:
        """Tell the tracker of runs, one after the other; the exit code."""
        if not self._tracking:
            say("tracking is off (PF_TRACKING)")
            return 1
        told: list[Run] = []
        code = 0
        try:
            for name in names:
                run = family.together(self.store.load(name), self.store)
                if run.status is not Status.Completed:
                    say(f"{name} is {run.status}; only Completed runs are told")
                    code = 1
                    continue
                now = self._tell(run, traces=self._traces)  # whatever was asked for when it was made
                if now is run:  # the store is away, and would be for the next one
                    return 1
                told.append(now)
                if len(names) > 1:
                    say(f"{name}: told")
        except KeyboardInterrupt:
            say("stopped; the runs are safe, and  pf run sync  goes on where it was")
            code = 128 + signal.SIGINT
        if self._as_json and len(names) != 1:
            emit_json([written.record(run, self.store) for run in told])
        else:
            for run in told:
                self._write(run)
        return code

    def untold(self) -> list[str]:
        """The Completed runs that the tracker was not told of, in the order they were made."""
        runs, complaints = self.store.all()
        for complaint in complaints:
            say(complaint)
        return [run.name for run in runs[::-1] if run.status is Status.Completed and not run.tracking]

    def _execute(self, work: Coroutine[Any, Any, Run], name: str) -> int:
        self._name = name
        run: Run | None = None
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a user's module prints is no result of ours
                run = asyncio.run(self._with_signals(work))
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._report.end()
        except OSError as error:
            hint = f"what is done is safe; once the disk is well:  pf run resume {name}"
            known = name in self.store.names()
            raise PromptflowError(
                f"the run cannot be kept: {error}", code="disk", hint=hint if known else None
            ) from error
        finally:
            self._report.end()
        if run is None:
            self._say_how_to_resume()
            return 128 + (self._signal or signal.SIGINT)
        if run.status is Status.Canceled:
            self._write(run)
            self._say_how_to_resume()
            return 128 + (self._signal or signal.SIGINT)
        try:
            if self._tracking and run.tracked and run.status is Status.Completed:
                self._report.log("telling MLflow ...")
                run = self._tell(run, traces=self._traces and run.traced)
        except KeyboardInterrupt:
            self._report.log(f"MLflow was not told all of it; the rest:  pf run sync {run.name}")
            self._signal = signal.SIGINT
        self._write(run)
        return 128 + self._signal if self._signal is not None else showing.exit_code(run)

    async def _with_signals(self, work: Coroutine[Any, Any, Run]) -> Run:
        task = asyncio.ensure_future(work)
        self._leave = task.cancel
        try:
            return await task
        finally:
            self._let_signals_be()

    def _catch_signals(self) -> None:
        """From the first line on; until then there is nothing to finish, and the user's imports may hang."""
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    def _let_signals_be(self) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        if self._signal is not None:
            self._let_signals_be()
            asyncio.get_running_loop().call_later(_LEAVE_S, self._die, number)
            self._leave()
            return
        self._signal = number
        self._report.log(
            f"stopping: lines in flight get {self._stop.grace_s:g} s; "
            f"{'Ctrl-C again' if number == signal.SIGINT else 'a second signal'} leaves at once"
        )
        self._stop.ask("canceled")

    def _listen(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._catch_signals()
                self._report.begin(event.run, event.todo)
            case RunEnded():
                self._report.end()
                self._report.ended(event.run)
            case LineEnded():
                self._report.line(event.result)
            case Throttled():
                self._report.slow(_why_slow(event))
            case Log():
                self._report.log(neutral(event.text), event.level)

    def _tell(self, run: Run, *, traces: bool) -> Run:
        tracker: Tracker = Registry("trackers").get("mlflow")(None if traces else 0)
        tell = sweep.tell_sweep if run.children else batch.tell
        return tell(run, self.store, (tracker,), self._listen)

    def _write(self, run: Run) -> None:
        self._report.end()
        self._report.ended(run)
        written.write(run, self.store, as_json=self._as_json)

    def _say_how_to_resume(self) -> None:
        if self._name in self.store.names():
            self._report.log(f"go on with:  pf run resume {self._name}")

    def _die(self, number: int) -> None:
        """End by the signal that asked for it: what is left does not let go, and what is done is safe."""
        self._say_how_to_resume()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _why_slow(throttle: Throttled) -> str:
    name = neutral(throttle.name) or "the model"
    if throttle.until is not None:
        return f"{name} asks to wait until {datetime.fromtimestamp(throttle.until):%H:%M:%S}"
    rate = f" {throttle.rate:.1f} calls/s" if throttle.rate is not None else ""
    return f"{name} is throttling:{rate} {throttle.waiting} waiting"
