"""How does this process execute lines? Many in flight, on its one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, Status
from promptflow_lite.engine.turns import run_conversation, run_each
from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import Flow
from promptflow_lite.runs.drain import Done, drained
from promptflow_lite.runs.images import KeptImages
from promptflow_lite.runs.job import FlowJob, Line, flow_of
from promptflow_lite.runs.room import Room
from promptflow_lite.tools.bind import bind, close
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.scope import Printed, within
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["LocalExecutor", "result_of"]


_LOOK_EVERY_S = 1.0
"""How often lines are looked for that go on after their time."""
_GRACE_S = 2.0
"""Seconds after a line's time in which it may end by itself."""

_TURN_S = 0.05
"""Seconds that lines which wait for nothing may keep the loop from everything else."""

_UnderWay = dict[asyncio.Task[None], tuple[Line, float]]
"""Who works at which line, and since when."""


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
        self.keep: Callable[[LineResult], Awaitable[None]] | None = None
        """Where results go at once, before their desk takes the next line; `None`: `run` yields them.

        So a kill repeats only what is in flight, and the desk's connection is in use again before it is seen
        to be idle: clients go through all idle ones at each call (0.2 ms of CPU a call at 64 in flight)."""
        self.advice = ""
        """What would make another run like this one faster; empty where nothing is known."""
        self._left: set[asyncio.Task[None]] = set()
        """Those who work at lines that were given up."""

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
        """One result for each line, as it ends, but for those that go to `keep`.

        At most `job.concurrency` lines are held at a time.
        """
        bound, job, images = self._flow_in_use, self._job, self._images
        source = iter(lines)
        done: Done = asyncio.Queue(job.concurrency)
        under_way: _UnderWay = {}
        clock = asyncio.get_running_loop().time

        async def work() -> None:
            me = cast(asyncio.Task[None], asyncio.current_task())
            turn = _Turn(_TURN_S / job.concurrency)
            for line in source:
                under_way[me] = line, clock()
                result = images.keep(await result_of(bound, line, job))
                if under_way.pop(me, None) is None:
                    return  # its line was given up, and somebody else works in its place
                await self._hand_in(result, done)
                await turn.give()

        async def everyone() -> None:
            with within(bound.connections):  # here, so that no line is first in and last out
                await self._staff(work, under_way, done)

        strays = Printed()
        with Home(bound.folder, strays):  # entered once, for the same reason
            try:
                async with aclosing(drained(everyone, done)) as results:
                    async for result in results:
                        yield result
            finally:
                if text := str(strays):
                    log(f"printed by threads that tools started:\n{text.rstrip()}")

    async def _staff(
        self, work: Callable[[], Coroutine[Any, Any, None]], under_way: _UnderWay, done: Done
    ) -> None:
        """Keep desks at work until there are no more lines: as many as asked for, or as there is room for."""
        stubborn = _Stubborn()
        room = Room(self._job.concurrency, time.monotonic(), time.thread_time())
        desks = {asyncio.create_task(work()) for _ in range(room.desks)}
        opening = asyncio.create_task(_open(room, desks, work))
        try:
            while desks:
                ended, _ = await asyncio.wait(
                    desks, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
                desks -= ended
                for failure in [desk.exception() for desk in ended]:  # look at all: the first counts
                    if failure is not None:
                        raise failure  # of the disk, of the data, of our own
                for desk, line, seconds in stubborn.among(under_way):
                    del under_way[desk]
                    desks.remove(desk)
                    self._left.add(desk)
                    desks.add(asyncio.create_task(work()))
                    await self._hand_in(_given_up(line, self._job, seconds), done)
        finally:
            self.advice = room.advice(time.monotonic())
            await _cancel({opening, *desks})

    async def _hand_in(self, result: LineResult, done: Done) -> None:
        if self.keep is not None:
            await self.keep(result)
            return
        await done.put(result)
        # Whoever keeps results goes first, so that a kill repeats only what is in flight.
        await asyncio.sleep(0)

    async def aggregate(self, lines: Sequence[LineResult], emit: Emit = ignore) -> AggregationResult:
        """What came of the aggregation nodes over `lines`."""
        bound, images = self._flow_in_use, self._images
        return images.kept(await aggregate(bound, images.revived(lines), emit=emit))

    async def close(self) -> None:
        """Let go of what the flow holds."""
        left, self._left = self._left, set()
        await _cancel(left)
        bound, self._bound = self._bound, None
        if bound is not None:
            await close(bound)

    @property
    def _flow_in_use(self) -> BoundFlow:
        if self._bound is None:
            raise RuntimeError("the executor is not open")
        return self._bound


async def _open(
    room: Room, desks: set[asyncio.Task[None]], work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Open desks for as long as there is room for more."""
    while (pause_s := room.look_in_s) is not None:
        due = time.monotonic() + pause_s
        await asyncio.sleep(pause_s)
        for _ in range(room.more(due, time.monotonic(), time.thread_time())):
            desks.add(asyncio.create_task(work()))


class _Turn:
    """Gives the loop its turn where a desk's lines wait for nothing, such as those that a cache answers.

    A desk whose lines wait by themselves goes on at once: else it would wait for all that are ready, and its
    idle connection would cost each of them.

    Args:
        seconds: how long the desk may go on without.
    """

    __slots__ = ("_is_awaited", "_loop", "_seconds", "_since")

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._since = self._loop.time()
        self._is_awaited = False

    async def give(self) -> None:
        """Wait for the loop's turn if it was due at an earlier line, and none has waited since."""
        if self._is_awaited:
            await asyncio.sleep(0)
        elif self._loop.time() - self._since >= self._seconds:
            self._is_awaited = True
            self._loop.call_soon(self._had)

    def _had(self) -> None:
        self._is_awaited = False
        self._since = self._loop.time()


class _Stubborn:
    """Finds the tasks that were cancelled, for their line's time is over, and go on all the same."""

    def __init__(self) -> None:
        self._seen: dict[tuple[asyncio.Task[None], float], float] = {}
        """When a task, and its line by its start, was first seen to have been cancelled."""

    def among(self, under_way: _UnderWay) -> list[tuple[asyncio.Task[None], Line, float]]:
        """Those who had time enough to let go, with the line and how long it took."""
        now = asyncio.get_running_loop().time()
        told = {(desk, began): line for desk, (line, began) in under_way.items() if desk.cancelling()}
        self._seen = {which: self._seen.get(which, now) for which in told}
        return [
            (desk, line, now - began)
            for (desk, began), line in told.items()
            if now - self._seen[desk, began] >= _GRACE_S
        ]


_RUN: Mapping[str, Callable[..., Awaitable[LineResult]]] = {
    "": partial(run_line, is_entered=True),
    "talk": run_conversation,
    "each": run_each,
}
"""Who runs a line, by the mode of the job: one line, or a conversation."""


async def result_of(bound: BoundFlow, line: Line, job: FlowJob) -> LineResult:
    """What came of one line, where all lines have entered; wrong inputs are its failure."""
    try:
        return await _RUN[job.mode](
            bound,
            line.inputs,
            line_number=line.number,
            repeat=line.repeat,
            timeout_s=job.line_timeout_s,
            folders=_paths(job.folders),
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


@lru_cache(maxsize=8)
def _paths(folders: tuple[str, ...]) -> tuple[Path, ...]:
    """The same for every line of a job: to make a path costs as much as a node."""
    return tuple(map(Path, folders))


def _given_up(line: Line, job: FlowJob, seconds: float) -> LineResult:
    """The result of a line whose code catches its cancellation and goes on: left behind, as threads are."""
    message = f"the line took longer than {job.line_timeout_s:g} s and did not let go; it is left behind"
    return LineResult(
        line.number,
        Status.Failed,
        dict(line.inputs),
        error=Failure("timeout", message),
        started=time.time() - seconds,
        seconds=seconds,
        repeat=line.repeat,
    )


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait for those that let go."""
    for task in tasks:
        task.cancel()
    if tasks:
        ended, _ = await asyncio.wait(tasks, timeout=_GRACE_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # it was seen, and matters to nobody
