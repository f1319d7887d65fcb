"""How does this process execute lines? As many in flight as asked for, on its one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from pathlib import Path

from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import Failure, LineResult, Status
from promptflow_lite.errors import InputError
from promptflow_lite.runs.job import FlowJob, Line
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["LocalExecutor"]


class LocalExecutor:
    """The Executor of this process.

    Args:
        bound: the job's flow; it stays the caller's, who closes it.
    """

    def __init__(self, bound: BoundFlow) -> None:
        self._bound = bound

    async def run(self, job: FlowJob, lines: Iterable[Line]) -> AsyncGenerator[LineResult, None]:
        """One result for each line, as it ends. At most `job.concurrency` lines are held at a time."""
        source = iter(lines)
        done: asyncio.Queue[LineResult | Exception | None] = asyncio.Queue(job.concurrency)

        async def work() -> None:
            for line in source:
                try:
                    result = await self._line(line, job)
                except Exception as bug:
                    await done.put(bug)
                    return
                await done.put(result)
                # Whoever keeps results goes first, so that a kill repeats only what is in flight.
                await asyncio.sleep(0)

        async def everyone() -> None:
            with Home(self._bound.folder):  # entered once, so that no line is first in and last out
                async with asyncio.TaskGroup() as group:
                    for _ in range(job.concurrency):
                        group.create_task(work())
            await done.put(None)

        working = asyncio.create_task(everyone())
        try:
            while (result := await done.get()) is not None:
                if isinstance(result, Exception):
                    raise result
                yield result
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def _line(self, line: Line, job: FlowJob) -> LineResult:
        try:
            return await run_line(
                self._bound,
                line.inputs,
                line_number=line.number,
                repeat=line.repeat,
                timeout_s=job.line_timeout_s,
                folders=[Path(folder) for folder in job.folders],
            )
        except InputError as error:
            failure = Failure(code=error.code, message=str(error))
            return LineResult(
                line.number,
                Status.Failed,
                dict(line.inputs),
                error=failure,
                started=time.time(),
                repeat=line.repeat,
            )
