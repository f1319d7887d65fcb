"""How do several processes execute lines? Each line in a worker that may die of it without harm to the run.

When a worker dies, or hangs past its lines' time, nobody knows which of its lines did it. So each of them is
tried once more, alone in a new worker; the one that ends its worker again is failed with how it ended, and
the others are as if nothing had been. A line is thus started twice at most, by its own fault or by another's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.connections.passing import passed
from promptflow_lite.connections.store import Connections
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, Status
from promptflow_lite.runs.child import CRASH, Child, Sent
from promptflow_lite.runs.drain import Done, drained
from promptflow_lite.runs.job import FlowJob, Line
from promptflow_lite.runs.records import Key, decode, decode_aggregation

__all__ = ["ProcessExecutor"]

_GRACE_S = 2.0
"""Seconds after a line's time in which its worker may say so itself."""
_LOGGED = 2000
"""Characters of what a worker printed that go to the run's log at a time."""

Log = Callable[[str], None]


class ProcessExecutor:
    """The Executor of several worker processes.

    Args:
        connections: what the flow's nodes may use. What the home folder and the environment say, a worker
            finds itself; others are sent to it.
        workers: how many processes; the lines in flight are shared among them.
    """

    is_isolated = True

    def __init__(self, connections: ConnectionProvider, *, workers: int) -> None:
        self._connections = connections
        self._workers = workers
        self._job: FlowJob
        self._given: dict[str, Any] = {}
        self._board: Path | None = None
        self._children: list[Child] = []
        self._idle: list[Child] = []
        """Children that no desk has; the first one is started by `open`."""
        self._started = 0

    async def open(self, job: FlowJob) -> Sequence[str]:
        """Start the first worker, which says whether the flow is sound.

        Raises:
            UserError: what is wrong with the flow, its scripts and its connections.
            PromptflowError: the user's code ends the process before the first line (code `worker-died`).
        """
        self._board = _board(Path(job.folder))
        self._job = job.model_copy(update={"board": str(self._board)})
        self._given = {} if isinstance(self._connections, Connections) else passed(self._connections)
        child, notes = await self._start()
        self._idle.append(child)
        return notes

    def run(self, lines: Iterable[Line], log: Log) -> AsyncGenerator[LineResult, None]:
        """One result for each line, as it ends. At most `job.concurrency` lines are in flight."""
        concurrency = self._job.concurrency
        workers = min(self._workers, concurrency)
        shares = [concurrency // workers + (number < concurrency % workers) for number in range(workers)]
        done: Done = asyncio.Queue(concurrency)
        source = iter(lines)

        async def everyone() -> None:
            async with asyncio.TaskGroup() as group:
                for share in shares:
                    group.create_task(_Desk(self, share, source, done, log).work())

        return drained(everyone, done)

    async def aggregate(self, lines: Sequence[LineResult], emit: Emit = ignore) -> AggregationResult:
        """What came of the aggregation nodes over `lines`; a worker that dies of them is tried twice."""
        reason, trace = "", None
        for _ in range(2):
            child = await self.hire()
            child.send({"aggregate": lines})
            match await child.receive():
                case {"aggregation": body}:
                    self.release(child)
                    return decode_aggregation(body)
                case {"bug": text}:
                    raise RuntimeError(text)
                case {"disk": [number, text]}:
                    raise OSError(number, text)
            reason, trace = await child.ended()
            self.dismiss(child)
        message = f"the worker process of the aggregation ended with {reason}, twice"
        return AggregationResult(error=Failure("worker-died", message, None, trace))

    async def close(self) -> None:
        """End all workers."""
        children, self._children = self._children, []
        self._idle.clear()
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.end())
        finally:
            if self._board is not None:
                shutil.rmtree(self._board, ignore_errors=True)
                self._board = None

    @property
    def line_timeout_s(self) -> float:
        """Seconds one line may take."""
        return self._job.line_timeout_s

    async def hire(self) -> Child:
        """A worker that is ready, a new one if none is idle."""
        if self._idle:
            return self._idle.pop()
        child, _ = await self._start()
        return child

    def release(self, child: Child) -> None:
        """Give back a worker that has nothing to do."""
        self._idle.append(child)

    def dismiss(self, child: Child) -> None:
        """Let go of a worker that has ended."""
        child.close()
        with suppress(ValueError):
            self._children.remove(child)

    async def _start(self) -> tuple[Child, list[str]]:
        self._started += 1
        child, notes = await Child.start(self._started, self._job, self._given)
        self._children.append(child)
        return child, notes


class _Desk:
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
        executor: ProcessExecutor,
        share: int,
        source: Iterator[Line],
        done: Done,
        log: Log,
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


def _board(folder: Path) -> Path:
    """A folder for the workers of the run in `folder`; those of processes that were killed go away."""
    name = f".{folder.name}.board-"
    for old in folder.parent.glob(f"{name}*"):
        pid = old.name.removeprefix(name)
        if pid.isdecimal() and not _is_alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    board = folder.parent / f"{name}{os.getpid()}"
    board.mkdir(mode=0o700, parents=True, exist_ok=True)
    return board


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


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
