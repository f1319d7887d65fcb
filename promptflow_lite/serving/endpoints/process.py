"""What does the endpoint know of one process of a deployment? How to start it, ask it, end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess  # our own interpreter with our own module
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from typing import Any

from promptflow_lite.engine.events import Chunk, Emit, NodeEnded, NodeStarted
from promptflow_lite.engine.results import LineResult, NodeRun, Status
from promptflow_lite.engine.threads import in_thread
from promptflow_lite.errors import InputError, PromptflowError
from promptflow_lite.runs.frames import Frames, Message, pack
from promptflow_lite.runs.records import decode
from promptflow_lite.serving.plan import Plan
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.tools.scope import Usage

__all__ = ["Process"]

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from promptflow_lite.serving.endpoints.answering import main; main()"
)
_READY_S = 600.0
"""Seconds that loading may take: weights and indexes are large."""
_END_S = 3.0
_AT_ONCE = 65536

Write = Callable[[bytes], None]


class Process:
    """A process of a deployment; made by `start`.

    Args:
        child: the process.
        channel: our end of the socket pair.
        output: our end of the pipe that is its stdout and stderr.
        write: takes what it prints.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], channel: socket.socket, output: int, write: Write
    ) -> None:
        self.in_flight: dict[int, _Asked] = {}
        """What it was asked and has not answered."""
        self.is_retired = False
        """Whether its end was asked for."""
        self._child = child
        self._channel = channel
        self._output = output
        self._write = write
        self._frames = Frames()
        self._numbers = count(1)
        self._pongs: dict[int, asyncio.Future[None]] = {}
        self._transport: asyncio.Transport
        self._exit: asyncio.Task[int]
        self._is_closed = False

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    @classmethod
    async def start(cls, plan: Plan, write: Write) -> tuple[Process, list[str]]:
        """A process that is ready to answer, and what it has to say to people.

        Raises:
            PromptflowError: the flow does not load, or the process ended over it (code `deployment-failed`).
        """
        made = cls._spawn(write)
        try:
            await made._open()
            made._send({"plan": asdict(plan)})
            async with asyncio.timeout(_READY_S):
                match await made._frames.queue.get():
                    case {"ready": notes}:
                        return made, notes
                    case {"refused": why}:
                        raise PromptflowError(why, code="deployment-failed")
            raise PromptflowError(
                f"its process ended with {await made.ended()} before it was ready; its log may say why",
                code="deployment-failed",
            )
        except TimeoutError:
            await made.abandon()
            said = f"it was not ready after {_READY_S:g} s"
            raise PromptflowError(said, code="deployment-failed") from None
        except BaseException:
            await made.abandon()
            raise

    @classmethod
    def _spawn(cls, write: Write) -> Process:
        ours, theirs = socket.socketpair()
        output, printed = os.pipe()
        command = [sys.executable, "-P", "-c", _BOOT, str(theirs.fileno()), str(os.getpid())]
        try:
            child = subprocess.Popen(  # noqa: S603  our own interpreter
                [*command, json.dumps(sys.path)],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if k != "PF_SERVE_KEY"},
            )
        except BaseException:
            ours.close()
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(printed)
        return cls(child, ours, output, write)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        os.set_blocking(self._output, False)
        self._transport, _ = await loop.create_connection(lambda: self._frames, sock=self._channel)
        loop.add_reader(self._output, self._read_output)
        # Its exit is waited for too: a program that it forked may hold the socket open behind it.
        self._exit = loop.create_task(in_thread(self._child.wait, {}))
        self._exit.add_done_callback(lambda _: self._frames.queue.put_nowait(None))

    async def ask(
        self, inputs: Mapping[str, Any], *, stream: bool, emit: Emit, timeout_s: float
    ) -> LineResult:
        """What came of one line; cancelling the caller's task cancels the run.

        Raises:
            InputError: an input is missing or of the wrong type.
            Refusal: 502, the process ended; 504, it did not answer in time.
        """
        number = next(self._numbers)
        asked = _Asked(emit)
        self.in_flight[number] = asked
        try:
            self._send({"ask": number, "inputs": dict(inputs), "stream": stream})
            async with asyncio.timeout(timeout_s):
                message = await asked.answer
        except TimeoutError:
            raise Refusal(504, "timeout", "the deployment took too long") from None
        finally:
            if not asked.answer.done() or asked.answer.cancelled():
                self._send({"cancel": number})
            self.in_flight.pop(number, None)
        match message:
            case {"result": body}:
                return decode(body)
            case {"wrong": _, "message": text, "hint": hint, "code": code}:
                raise InputError(text, code=code, hint=hint)
            case {"bug": _, "trace": trace}:
                raise RuntimeError(f"in the deployment's process:\n{trace}")
        raise Refusal(502, "deployment-died", "the process of the deployment ended before it had an answer")

    async def listen(self) -> str:
        """Hand out what it says until it is gone; how it ended."""
        while (message := await self._frames.queue.get()) is not None:
            match message:
                case {"part": number}:
                    if number in self.in_flight:
                        self.in_flight[number].tell(message)
                case {"done": number} | {"wrong": number} | {"bug": number}:
                    if number in self.in_flight:
                        self.in_flight[number].settle(message)
                case {"pong": number} if number in self._pongs:
                    pong = self._pongs.pop(number)
                    if not pong.done():
                        pong.set_result(None)
        for asked in self.in_flight.values():
            asked.settle({})
        return await self.ended()

    async def lives(self, timeout_s: float) -> bool:
        """Whether it answers at all."""
        number = next(self._numbers)
        pong = self._pongs[number] = asyncio.get_running_loop().create_future()
        self._send({"ping": number})
        try:
            async with asyncio.timeout(timeout_s):
                await pong
        except TimeoutError:
            return False
        finally:
            self._pongs.pop(number, None)
        return True

    async def ended(self) -> str:
        """How it ended (killed now, if it has not), for people."""
        await self.abandon()
        code = self._exit.result()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def end(self) -> None:
        """Ask it to end, and see to it that it does."""
        self.is_retired = True
        self._send({"end": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await asyncio.shield(self._exit)
        await self.abandon()

    def kill(self) -> None:
        """End it at once, with every program that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    async def abandon(self) -> None:
        """End it at once and let go of what this side holds."""
        self.kill()
        await asyncio.shield(self._exit)
        if self._is_closed:
            return
        self._is_closed = True
        self._read_output()
        asyncio.get_running_loop().remove_reader(self._output)
        self._transport.abort()
        os.close(self._output)

    def _send(self, message: Message) -> None:
        if not self._transport.is_closing():
            self._transport.write(pack(message))

    def _read_output(self) -> None:
        with suppress(BlockingIOError):
            while text := os.read(self._output, _AT_ONCE):
                self._write(text)
            asyncio.get_running_loop().remove_reader(self._output)  # nobody writes there any more


class _Asked:
    """One line that was sent, and who waits for it."""

    def __init__(self, emit: Emit) -> None:
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._emit = emit

    def settle(self, message: Message) -> None:
        """Give the answer to who waits."""
        if not self.answer.done():
            self.answer.set_result(message)

    def tell(self, message: Message) -> None:
        """Give a part to who waits."""
        match message:
            case {"chunk": body}:
                self._emit(Chunk(body["node"], tuple(body["outputs"]), body["text"]))
            case {"started": node}:
                self._emit(NodeStarted(node, None))
            case {"ended": body}:
                usage = Usage(**body["usage"]) if body["usage"] else None
                run = NodeRun(**{**body, "status": Status(body["status"]), "usage": usage})
                self._emit(NodeEnded(run, None))
