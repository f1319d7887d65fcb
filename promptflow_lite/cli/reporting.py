"""What is said while a run goes on? To a terminal a bar, to a file a line now and then, to programs JSON."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from promptflow_lite.cli.console import is_interactive, neutral, paint, progress, say
from promptflow_lite.cli.progress import Progress
from promptflow_lite.cli.showing import dollars
from promptflow_lite.engine.results import LineResult
from promptflow_lite.runs.records import key_text
from promptflow_lite.runs.run import Run
from promptflow_lite.tools.scope import Usage
from promptflow_lite.values import to_plain

__all__ = ["JsonReport", "Report", "TextReport", "report_of"]

_PLAIN_EVERY_S = 30.0
"""Seconds between lines about the progress where no bar can be drawn."""
_SLOW_S = 5.0
"""How long a word about a slow endpoint stays on the bar."""


class Report(Protocol):
    """Tells somebody how a run goes on."""

    def begin(self, run: Run, todo: int) -> None:
        """The first line is about to start."""
        ...

    def line(self, result: LineResult) -> None:
        """A line is done and safe."""
        ...

    def ended_line(self, result: LineResult) -> None:
        """How a line ended."""
        ...

    def counts(self, run: Run, usage: Usage) -> None:
        """How far the run is by now, for whoever does not count each line."""
        ...

    def ended(self, run: Run) -> None:
        """The run has ended."""
        ...

    def slow(self, why: str) -> None:
        """An endpoint lets fewer calls in."""
        ...

    def log(self, text: str, level: str = "info") -> None:
        """Something for people."""
        ...

    def end(self) -> None:
        """Nothing follows; does nothing the second time."""
        ...


def report_of(log_format: str, *, each_line: bool, name: str = "") -> Report:
    """The report of a format, `text` or `json`, of the run `name` where that is known before it begins."""
    if log_format == "json":
        return JsonReport(each_line=each_line, name=name)
    return TextReport(each_line=each_line)


class TextReport:
    """For people, on stderr.

    Args:
        each_line: say how each line ended.
    """

    def __init__(self, *, each_line: bool) -> None:
        self._each_line = each_line
        self._bar: Progress | None = None
        self._usage = Usage()
        self._slow = ("", float("-inf"))
        self._said = 0.0

    def begin(self, run: Run, todo: int) -> None:
        """Say what is about to happen, and draw the bar."""
        done = run.lines.completed + run.lines.failed
        flow = paint(neutral(run.display_name or Path(run.flow).stem), "bold")
        earlier = f", {done} done before" if done else ""
        skipped = f", {run.lines.skipped} skipped" if run.lines.skipped else ""
        lines = "1 line" if todo == 1 else f"{todo} lines"
        say(f"run {run.name}: {lines} of {flow}{earlier}{skipped}, {run.concurrency} in flight")
        self._usage = _so_far(run)
        self._bar = progress("lines", todo)
        self._bar.__enter__()
        self._said = time.monotonic()

    def line(self, result: LineResult) -> None:
        """Count the line; with `each_line` say how it ended."""
        if self._bar is None:
            return
        if result.usage.calls or result.usage.prompt_tokens:
            self._usage.add(result.usage)
        if self._bar.is_due:
            self._bar.note = self._note()
        self._bar.advance(failed=1 if result.error else 0)
        if self._each_line:
            self.ended_line(result)
        else:
            self._say_now_and_then()

    def ended_line(self, result: LineResult) -> None:
        """Say how a line ended."""
        why = f": {neutral(result.error.code)}: {neutral(result.error.message)}" if result.error else ""
        which = key_text((result.line_number or 0, result.repeat))
        self.log(f"line {which} {result.status} in {result.seconds:.2f} s{why}")

    def ended(self, run: Run) -> None:
        """Nothing: the summary says it."""

    def counts(self, run: Run, usage: Usage) -> None:
        """Bring the bar to where the run is."""
        bar = self._bar
        if bar is None:
            return
        self._usage = usage
        bar.note = self._note()
        done = run.lines.completed + run.lines.failed
        bar.total = run.lines.total - run.lines.skipped
        if not bar.done and not bar.earlier:
            bar.earlier = bar.done = done
        bar.advance(done - bar.done, failed=run.lines.failed - bar.failed)
        self._say_now_and_then()

    def slow(self, why: str) -> None:
        """Show it on the bar for a while."""
        self._slow = (why, time.monotonic())
        if self._bar is not None:
            self._bar.note = self._note()
            self._bar.advance(0)
            self._say_now_and_then()

    def log(self, text: str, level: str = "info") -> None:
        """Say something above the bar."""
        if self._bar is not None:
            self._bar.clear()
        say(text if level == "info" else f"{level}: {text}")

    def end(self) -> None:
        """Finish the bar."""
        if self._bar is not None:
            self._bar.note = self._note()
            self._bar.__exit__(None, None, None)
            self._bar = None

    def _note(self) -> str:
        why, since = self._slow
        tokens, cost = self._usage.total_tokens, self._usage.cost
        parts = [f"{_short(tokens)} tokens"] if tokens else []
        parts += [dollars(cost)] if cost else []
        parts += [why] if time.monotonic() - since < _SLOW_S else []
        return "  ".join(parts)

    def _say_now_and_then(self) -> None:
        if self._bar is None or time.monotonic() - self._said < _PLAIN_EVERY_S or is_interactive():
            return
        self._said = time.monotonic()
        self._bar.note = self._note()
        say(self._bar.text(self._bar.elapsed_s))


class JsonReport:
    """For programs: a JSON object a line on stderr, with `time` and `event`.

    Args:
        each_line: an event for each line.
        name: the run's, until another begins.
    """

    def __init__(self, *, each_line: bool, name: str = "") -> None:
        self._each_line = each_line
        self._bar = Progress("lines", 0, stream=None)
        self._usage = Usage()
        self._name = name
        self._said = 0.0

    def begin(self, run: Run, todo: int) -> None:
        """The event `started`."""
        self._name, self._said = run.name, time.monotonic()
        self._bar = Progress("lines", todo, stream=None)
        self._usage = _so_far(run)
        counts = run.lines.model_dump()
        self._tell("started", lines=counts, todo=todo, concurrency=run.concurrency, flow=run.flow)

    def line(self, result: LineResult) -> None:
        """Count the line; with `each_line` the event `line`."""
        self._usage.add(result.usage)
        self._bar.advance(failed=1 if result.error else 0)
        if self._each_line:
            self.ended_line(result)
        self._progress()

    def ended_line(self, result: LineResult) -> None:
        """The event `line`."""
        error = result.error
        self._tell(
            "line",
            line_number=result.line_number,
            repeat=result.repeat,
            status=result.status.value,
            seconds=round(result.seconds, 3),
            tokens=result.usage.total_tokens,
            cost=result.usage.cost,
            error=None if error is None else {"code": error.code, "message": error.message},
        )

    def ended(self, run: Run) -> None:
        """The event `ended`."""
        self._name = run.name
        self._tell(
            "ended",
            status=run.status.value,
            lines=run.lines.model_dump(),
            seconds=round(run.seconds, 3),
            tokens=run.usage.get("total_tokens", 0),
            cost=run.cost,
            metrics=run.metrics,
            error=run.error,
        )

    def counts(self, run: Run, usage: Usage) -> None:
        """The event `progress`, now and then."""
        self._usage = usage
        done = run.lines.completed + run.lines.failed
        self._bar.total = run.lines.total - run.lines.skipped
        if not self._bar.done and not self._bar.earlier:
            self._bar.earlier = self._bar.done = done
        self._bar.advance(done - self._bar.done, failed=run.lines.failed - self._bar.failed)
        self._progress()

    def slow(self, why: str) -> None:
        """The event `throttled`."""
        self._tell("throttled", message=why)

    def log(self, text: str, level: str = "info") -> None:
        """The event `log`."""
        self._tell("log", level=level, message=text)

    def end(self) -> None:
        """The last `progress`."""
        if self._bar.total:
            self._progress(last=True)
            self._bar.total = 0

    def _progress(self, *, last: bool = False) -> None:
        if not last and time.monotonic() - self._said < _PLAIN_EVERY_S:
            return
        self._said = time.monotonic()
        bar = self._bar
        rate = bar.rate(bar.elapsed_s)
        self._tell(
            "progress",
            done=bar.done,
            total=bar.total,
            failed=bar.failed,
            per_second=round(rate, 3),
            seconds_left=round((bar.total - bar.done) / rate, 1) if rate else None,
            tokens=self._usage.total_tokens,
            cost=self._usage.cost,
        )

    def _tell(self, event: str, **facts: Any) -> None:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        record = to_plain({"time": now, "event": event, "run": self._name, **facts})
        say(neutral(json.dumps(record, ensure_ascii=False)))


def _so_far(run: Run) -> Usage:
    return Usage(run.usage.get("prompt_tokens", 0), run.usage.get("completion_tokens", 0), cost=run.cost)


def _short(count: int) -> str:
    return f"{count / 1000:.1f}k" if count >= 10_000 else str(count)
