"""What does a worker process do? Runs the lines that it is sent, beside each other, and ends with its run.

It is a fresh interpreter (`runs.child` starts it), so it inherits no thread, no lock and no signal handler of
the run's process. What comes over its socket is first one message with the job.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from traceback import format_exc
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.connections.passing import received
from promptflow_lite.connections.store import provider
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.threads import left_behind
from promptflow_lite.errors import FlowError, UserError
from promptflow_lite.runs.frames import Frames, Message, pack
from promptflow_lite.runs.garbage import seldom_collected
from promptflow_lite.runs.images import KeptImages
from promptflow_lite.runs.job import FlowJob, Line, flow_of
from promptflow_lite.runs.lifeline import attach
from promptflow_lite.runs.local import result_of
from promptflow_lite.runs.records import decode
from promptflow_lite.settings import settings
from promptflow_lite.tools.bind import bind, close
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.scope import caching, within
from promptflow_lite.tools.shared import listening
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["main"]


def main() -> None:
    """Be a worker until the run says that it is enough, or is gone."""
    channel = attach()
    faulthandler.enable()  # the stack of a crash goes to the run, as the reason of its line
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(_serve(channel))


async def _serve(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    transport, frames = await loop.create_connection(Frames, sock=channel)

    def send(message: Message) -> None:
        transport.write(pack(message))

    try:
        first = await frames.queue.get()
        if first is None:
            return
        job = FlowJob.model_validate(first["job"])
        try:
            bound = _bound(job, received(first["connections"], provider(settings())))
        except UserError as error:
            send(_refusal(error))
            return
        send({"ready": list(bound.notes)})
        throttled = listening(lambda told: send({"throttled": asdict(told)}), board=job.board)
        here = within(bound.connections)
        with Home(bound.folder), here, caching(job.cache), throttled, seldom_collected():
            await _work(bound, frames, job, send)
        await close(bound)
    finally:
        transport.close()
        await asyncio.sleep(0)  # what was sent goes out before the loop ends


def _bound(job: FlowJob, connections: ConnectionProvider) -> BoundFlow:
    if job.memory_mb is not None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (job.memory_mb * 1024 * 1024, most))
    return bind(flow_of(job), connections, overrides=job.connections)


async def _work(bound: BoundFlow, frames: Frames, job: FlowJob, send: Callable[[Message], None]) -> None:
    """Do what comes, each thing in a task of its own, until the end is asked for and everything is done."""
    images = KeptImages(Path(job.folder), bound.flow.message_format)

    async def line(message: Mapping[str, Any]) -> None:
        result = images.keep(await result_of(bound, Line(**message), job))
        _flush()  # what was printed is in the pipe before the result is told
        send({"result": result, "left_behind": left_behind()})

    async def summary(lines: list[Mapping[str, Any]]) -> None:
        given = images.revived([decode(line) for line in lines])
        result = images.kept(await aggregate(bound, given))
        _flush()
        send({"aggregation": result})

    async def done(work: Any) -> None:
        try:
            await work
        except OSError as error:  # an image that cannot be kept: tools' own errors are in the result
            send({"disk": [error.errno, str(error)]})
        except Exception:
            send({"bug": format_exc()})

    async with asyncio.TaskGroup() as group:
        while (message := await frames.queue.get()) is not None:
            match message:
                case {"line": body}:
                    group.create_task(done(line(body)))
                case {"aggregate": lines}:
                    group.create_task(done(summary(lines)))
                case _:  # the end
                    return


def _refusal(error: UserError) -> Message:
    """What is wrong with the flow, so that the run's process can say it in its own name."""
    if isinstance(error, FlowError):
        return {"refused": {"diagnostics": list(error.diagnostics)}}
    return {"refused": {"message": error.message, "code": error.code, "hint": error.hint}}


def _flush() -> None:
    """Give what Python and C have buffered to the run."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the user's code may have closed it
            stream.flush()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
