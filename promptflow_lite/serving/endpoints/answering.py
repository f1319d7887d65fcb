"""A deployment's process: what `serving.endpoints.process` starts.

It loads one flow and answers what it is asked over the socket, in messages of `runs.frames`: first its plan;
then lines to run, lines to cancel, and whether it lives. Whatever is printed goes to the deployment's log.
The end of the socket is its own end, and that of the programs that tools started.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from io import TextIOWrapper
from traceback import format_exc
from typing import Any

from promptflow_lite.engine.events import Chunk, Event, NodeEnded, NodeStarted
from promptflow_lite.engine.results import LineResult, NodeRun
from promptflow_lite.errors import FlowError, InputError, PromptflowError
from promptflow_lite.flow import images
from promptflow_lite.runs.frames import Frames, Message, pack
from promptflow_lite.runs.lifeline import attach
from promptflow_lite.serving.deployment import BoundDeployment
from promptflow_lite.serving.plan import Plan
from promptflow_lite.tools.home import Home

__all__ = ["main"]


def main() -> None:
    """Answer until the endpoint says that it is enough, or is gone."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # what is printed is in the log when it is printed
    asyncio.run(_serve(attach()))


async def _serve(channel: socket.socket) -> None:
    transport, frames = await asyncio.get_running_loop().create_connection(Frames, sock=channel)

    def send(message: Message) -> None:
        transport.write(pack(message))

    try:
        first = await frames.queue.get()
        if first is None:
            return
        plan = Plan(**first["plan"])
        plan.configure_log()
        try:
            deployment = plan.deployment()
        except PromptflowError as error:
            print(error, file=sys.stderr, flush=True)
            send(_refusal(error))
            return
        with Home(deployment.bound.folder):  # entered once, not for each request
            await deployment.warm()
            send({"ready": list(deployment.bound.notes)})
            await _Work(deployment, send).until_the_end(frames)
        await deployment.close()
    finally:
        transport.close()
        await asyncio.sleep(0)  # what was sent goes out before the loop ends


class _Work:
    """The lines that run now."""

    def __init__(self, deployment: BoundDeployment, send: Callable[[Message], None]) -> None:
        self._deployment = deployment
        self._send = send
        self._running: dict[int, asyncio.Task[None]] = {}

    async def until_the_end(self, frames: Frames) -> None:
        """Do what comes, each line in a task of its own."""
        async with asyncio.TaskGroup() as group:
            while (message := await frames.queue.get()) is not None:
                match message:
                    case {"ask": number, "inputs": inputs, "stream": stream, "whole": whole}:
                        task = group.create_task(self._answer(number, inputs, stream=stream, whole=whole))
                        self._running[number] = task
                    case {"cancel": number} if number in self._running:
                        self._running[number].cancel()
                    case {"ping": number}:
                        self._send({"pong": number})
                    case {"end": _}:
                        break
            for task in self._running.values():
                task.cancel()

    async def _answer(self, number: int, inputs: Mapping[str, Any], *, stream: bool, whole: bool) -> None:
        def emit(event: Event) -> None:
            body = _part(event)
            if body is not None:
                self._send({"part": number, **body})

        try:
            answer = self._deployment.answer
            line = await (answer(inputs, stream=True, emit=emit) if stream else answer(inputs))
            self._send({"done": number, "result": self._told(line, whole=whole)})
        except InputError as error:
            self._send({"wrong": number, "message": error.message, "hint": error.hint, "code": error.code})
        except Exception:
            self._send({"bug": number, "trace": format_exc()})
        finally:
            self._running.pop(number, None)

    def _told(self, line: LineResult, *, whole: bool) -> LineResult:
        """What is needed of a line: images with their bytes, nodes' values if asked for."""
        form = self._deployment.flow.message_format
        outputs = {name: images.to_base64(value, form) for name, value in line.outputs.items()}
        runs = line.node_runs
        if not whole:
            runs = {name: _slim_run(run) for name, run in runs.items()}
        return replace(line, inputs={}, outputs=outputs, node_runs=runs)


def _slim_run(run: NodeRun) -> NodeRun:
    return replace(run, inputs={}, output=None, logs="", error=None)


def _part(event: Event) -> Message | None:
    match event:
        case Chunk():
            return {"chunk": asdict(event)}
        case NodeStarted():
            return {"started": event.node}
        case NodeEnded():
            return {"ended": _slim_run(event.run)}
    return None


def _refusal(error: PromptflowError) -> Message:
    """What is wrong with the flow, so that the endpoint can say it."""
    if isinstance(error, FlowError):
        return {"refused": "\n".join(complaint.render() for complaint in error.diagnostics)}
    return {"refused": str(error)}
