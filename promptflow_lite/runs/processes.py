"""How do several processes execute lines? Each is done where it may end its worker and harm nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.connections.passing import passed
from promptflow_lite.connections.store import Connections
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult
from promptflow_lite.runs.child import Child
from promptflow_lite.runs.desk import Desk
from promptflow_lite.runs.drain import Done, drained
from promptflow_lite.runs.job import FlowJob, Line
from promptflow_lite.runs.records import decode_aggregation

__all__ = ["ProcessExecutor"]

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
                    group.create_task(Desk(self, share, source, done, log).work())

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
