"""How does this process execute lines? As many in flight as asked for, on its one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, Status
from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import Flow
from promptflow_lite.runs.images import KeptImages
from promptflow_lite.runs.job import FlowJob, Line, flow_of
from promptflow_lite.tools.bind import bind, close
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["LocalExecutor", "result_of"]


class LocalExecutor:
    """The Executor of this process.

    Args:
        connections: what the flow's nodes may use.
        flow: the job's flow, if it is loaded already.
    """

    is_isolated = False

    def __init__(self, connections: ConnectionProvider, flow: Flow | None = None) -> None:
        self._connections = connections
        self._flow = flow
        self._job: FlowJob
        self._images: KeptImages
        self._bound: BoundFlow | None = None

    async def open(self, job: FlowJob) -> Sequence[str]:
        """Import the user's code and find the connections.

        Raises:
            FlowError: everything that is wrong with them.
        """
        self._job = job
        self._bound = bind(self._flow or flow_of(job), self._connections, overrides=job.connections)
        self._images = KeptImages(Path(job.folder), self._bound.flow.message_format)
        return self._bound.notes

    async def run(
        self, lines: Iterable[Line], log: Callable[[str], None]
    ) -> AsyncGenerator[LineResult, None]:
        """One result for each line, as it ends. At most `job.concurrency` lines are held at a time."""
        bound, job, images = self._flow_in_use, self._job, self._images
        source = iter(lines)
        done: asyncio.Queue[LineResult | Exception | None] = asyncio.Queue(job.concurrency)

        async def work() -> None:
            for line in source:
                await done.put(images.keep(await result_of(bound, line, job)))
                # Whoever keeps results goes first, so that a kill repeats only what is in flight.
                await asyncio.sleep(0)

        async def everyone() -> None:
            try:
                with Home(bound.folder):  # entered once, so that no line is first in and last out
                    async with asyncio.TaskGroup() as group:
                        for _ in range(job.concurrency):
                            group.create_task(work())
            except* Exception as failures:  # of the disk, of the data, of our own
                await done.put(failures.exceptions[0])
            else:
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

    async def aggregate(self, lines: Sequence[LineResult], emit: Emit = ignore) -> AggregationResult:
        """What came of the aggregation nodes over `lines`."""
        bound, images = self._flow_in_use, self._images
        return images.kept(await aggregate(bound, images.revived(lines), emit=emit))

    async def close(self) -> None:
        """Let go of what the flow holds."""
        bound, self._bound = self._bound, None
        if bound is not None:
            await close(bound)

    @property
    def _flow_in_use(self) -> BoundFlow:
        if self._bound is None:
            raise RuntimeError("the executor is not open")
        return self._bound


async def result_of(bound: BoundFlow, line: Line, job: FlowJob) -> LineResult:
    """What came of one line; inputs of the wrong type are its failure."""
    try:
        return await run_line(
            bound,
            line.inputs,
            line_number=line.number,
            repeat=line.repeat,
            timeout_s=job.line_timeout_s,
            folders=[Path(folder) for folder in job.folders],
        )
    except InputError as error:
        return LineResult(
            line.number,
            Status.Failed,
            dict(line.inputs),
            error=Failure(code=error.code, message=str(error)),
            started=time.time(),
            repeat=line.repeat,
        )
