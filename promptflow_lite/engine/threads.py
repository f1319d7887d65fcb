"""How does a sync function run off the loop? In a daemon thread, with the caller's context.

`asyncio.to_thread` and anyio hold the interpreter's exit behind a stuck tool; a daemon thread leaves at once.
The threads are shared and kept: the one that was busy last is taken first, and a new one starts only when
none is idle, so there are as many as there were sync tools running at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, NamedTuple

__all__ = ["in_thread", "left_behind"]


class _Outcome(NamedTuple):
    value: Any
    error: BaseException | None


class _Job(NamedTuple):
    context: Context
    call: Callable[..., Any]
    arguments: Mapping[str, Any]
    future: asyncio.Future[_Outcome]
    loop: asyncio.AbstractEventLoop


class _Worker(threading.Thread):
    def __init__(self, idle: deque[_Worker]) -> None:
        super().__init__(name="promptflow_lite tool", daemon=True)
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.idle = idle
        self.future: asyncio.Future[_Outcome] | None = None
        """Of the call it works at."""

    def run(self) -> None:
        while True:
            job = self.jobs.get()
            self.future = job.future
            try:
                outcome = _Outcome(job.context.run(job.call, **job.arguments), None)
            except BaseException as error:
                outcome = _Outcome(None, error)
            self.future = None
            self.idle.append(self)  # before the answer is told, so that the next call finds this thread
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                job.loop.call_soon_threadsafe(_tell, job.future, outcome)
            del job, outcome


_idle: deque[_Worker] = deque()  # shared by all loops of the process; append and pop are atomic
_workers: list[_Worker] = []
"""All there are; a thread that is stuck in a tool is one too, and others are started in its place."""


async def in_thread(call: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What `call(**arguments)` returns or raises, run in a daemon thread.

    When the waiting task is cancelled the thread goes on to its end, and what it gives is dropped: Python has
    no way to stop it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Outcome] = loop.create_future()
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker(_idle)
        worker.start()
        _workers.append(worker)
    worker.jobs.put(_Job(copy_context(), call, arguments, future, loop))
    value, error = await future
    if error is not None:
        try:
            raise error
        finally:
            del error  # no cycle through the traceback
    return value


def left_behind() -> int:
    """How many threads work at something that nobody waits for any more."""
    return sum(future.cancelled() for worker in _workers if (future := worker.future) is not None)


def _tell(future: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
