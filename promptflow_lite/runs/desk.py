"""What becomes of the lines that one worker after the other is given?

When a worker dies, or hangs past its lines' time, nobody knows which of its lines did it. So each of them is
tried once more, alone in a new worker; the one that ends its worker again is failed with how it ended, and
the others are as if nothing had been. A line is thus started twice at most, by its own fault or by another's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from promptflow_lite.engine.results import Failure, LineResult, Status
from promptflow_lite.runs.child import CRASH, Child, Sent
from promptflow_lite.runs.drain import Done
from promptflow_lite.runs.job import Line
from promptflow_lite.runs.records import Key, decode

__all__ = ["Desk", "Hiring"]

_GRACE_S = 2.0
"""Seconds after a line's time in which its worker may say so itself."""
_LOGGED = 2000
"""Characters of what a worker printed that go to the run's log at a time."""


class Hiring(Protocol):
    """Who gives workers."""

    @property
    def line_timeout_s(self) -> float:
        """Seconds one line may take."""

    async def hire(self) -> Child:
        """A worker that is ready."""

    def release(self, child: Child) -> None:
        """Give back a worker that has nothing to do."""

    def dismiss(self, child: Child) -> None:
        """Let go of a worker that has ended."""


class Desk:
    """One worker after the other, and their share of the lines.

    Args:
        executor: has the workers.
        share: lines in flight at most.
        source: lines, shared by all desks.
        done: takes the results.
        log: takes what belongs in the run's log.
    """

    def __init__(
        self,
        executor: Hiring,
        share: int,
        source: Iterator[Line],
        done: Done,
        log: Callable[[str], None],
    ) -> None:
        self._executor = executor
        self._share = share
        self._source = source
        self._done = done
        self._log = log
        self._alone: deque[Line] = deque()
        """Lines that a worker may have died of: each is tried once more, with no other beside it."""
        self._tried: set[Key] = set()

    async def work(self) -> None:
        """Take lines until there are no more."""
        while (line := self._next()) is not None:
            child = await self._executor.hire()
            try:
                if await self._with(child, line):
                    self._executor.release(child)
                else:
                    await child.end()
                    self._executor.dismiss(child)
            except BaseException:
                child.kill()
                raise

    def _next(self) -> Line | None:
        return self._alone.popleft() if self._alone else next(self._source, None)

    async def _with(self, child: Child, line: Line | None) -> bool:
        """Have `child` do `line` and others after it; whether it is still good for something."""
        while True:
            while line is not None:
                child.give(line)
                line = self._another(child)
            if not child.in_flight:
                return not child.is_retired
            first = min(sent.began for sent in child.in_flight.values())
            try:
                message = await child.receive(first + self._executor.line_timeout_s + _GRACE_S)
            except TimeoutError:
                await self._hangs(child)
                return False
            match message:
                case {"result": body, "left_behind": count}:
                    await self._take(child, decode(body), count)
                case {"bug": text}:
                    raise RuntimeError(text)
                case {"throttled": _}:  # its lines have more time now
                    continue
                case {"disk": [number, text]}:
                    raise OSError(number, text)
                case _:
                    await self._died(child)
                    return False
            self._log_output(child)
            line = self._another(child)

    def _another(self, child: Child) -> Line | None:
        """The next line for `child`, if it may have one now."""
        if child.is_retired or len(child.in_flight) >= self._share:
            return None
        if child.in_flight and (self._alone or self._tried.intersection(child.in_flight)):
            return None
        return self._next()

    async def _take(self, child: Child, result: LineResult, left_behind: int) -> None:
        key = (result.line_number or 0, result.repeat)
        sent = child.take(key)
        result.logs += str(sent.printed)
        if left_behind:
            child.is_retired = True
            self._log(f"worker {child.number} gets no more lines: a tool that took too long still runs in it")
        if result.error is not None and result.error.code == "out-of-memory":
            child.is_retired = True  # what has leaked stays with it
            if key not in self._tried:
                self._suspect([sent], f"worker {child.number} ran out of memory")
                return
        await self._done.put(result)
        await asyncio.sleep(0)  # it is kept before the next line begins: a kill repeats what is in flight

    async def _died(self, child: Child) -> None:
        reason, trace = await child.ended()
        await self._lost(child, "worker-died", f"the worker process ended with {reason}", trace)

    async def _hangs(self, child: Child) -> None:
        await child.where()
        _, trace = await child.ended()
        seconds = self._executor.line_timeout_s
        message = f"the line took longer than {seconds:g} s and did not let go; its worker process was killed"
        await self._lost(child, "timeout", message, trace, is_certain=len(child.in_flight) == 1)

    async def _lost(
        self, child: Child, code: str, message: str, trace: str | None, *, is_certain: bool = False
    ) -> None:
        """Decide what becomes of the lines of a worker that is gone."""
        self._log_output(child)
        self._executor.dismiss(child)
        lost = list(child.in_flight.values())
        if is_certain or (len(lost) == 1 and lost[0].line.key in self._tried):
            await self._done.put(_failed(lost[0], Failure(code, message, None, trace)))
            return
        self._suspect(lost, f"worker {child.number}: {message}")

    def _suspect(self, lost: list[Sent], what: str) -> None:
        names = ", ".join(str(sent.line.number) for sent in lost)
        self._log(f"{what}; tried again, each alone in a new worker: line {names}")
        self._tried.update(sent.line.key for sent in lost)
        self._alone.extend(sent.line for sent in lost)

    def _log_output(self, child: Child) -> None:
        text, _, _ = child.take_printed().partition(CRASH)  # a stack is kept with its line
        if text.strip():
            more = f" [{len(text) - _LOGGED} more characters]" if len(text) > _LOGGED else ""
            self._log(f"worker {child.number} printed: {text[:_LOGGED].rstrip()}{more}")


def _failed(sent: Sent, error: Failure) -> LineResult:
    line = sent.line
    seconds = asyncio.get_running_loop().time() - sent.began
    return LineResult(
        line.number,
        Status.Failed,
        dict(line.inputs),
        error=error,
        started=sent.started,
        seconds=seconds,
        logs=str(sent.printed),
        repeat=line.repeat,
    )
