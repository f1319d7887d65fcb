"""What does the endpoint know of one process of a deployment? How to start it, ask it, end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from typing import Any

from promptflow_lite.engine.events import Chunk, Emit, NodeEnded, NodeStarted
from promptflow_lite.engine.results import LineResult, NodeRun, Status
from promptflow_lite.errors import InputError, PromptflowError
from promptflow_lite.runs.frames import Message
from promptflow_lite.runs.records import decode
from promptflow_lite.runs.spawned import Spawned
from promptflow_lite.serving.plan import Plan
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.tools.scope import Usage

__all__ = ["Process"]

_MODULE = "promptflow_lite.serving.endpoints.answering"
_CALLERS_KEY = "PF_SERVE_KEY"
"""What flows have no use for."""
_READY_S = 600.0
"""Seconds that loading may take: weights and indexes are large."""
_END_S = 3.0

Write = Callable[[bytes], None]


class Process:
    """A process of a deployment; made by `start`.

    Args:
        child: the process.
    """

    def __init__(self, child: Spawned) -> None:
        self.in_flight: dict[int, _Asked] = {}
        """What it was asked and has not answered."""
        self.is_retired = False
        """Whether its end was asked for."""
        self.is_gone = False
        """Whether it says nothing any more."""
        self._child = child
        self._numbers = count(1)
        self._pongs: dict[int, asyncio.Future[None]] = {}

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
        made = cls(Spawned.spawn(_MODULE, without=(_CALLERS_KEY,)))
        try:
            await made._child.open(write)
            made._child.send({"plan": asdict(plan)})
            async with asyncio.timeout(_READY_S):
                match await made._child.frames.queue.get():
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

    async def ask(
        self, inputs: Mapping[str, Any], *, stream: bool, whole: bool, emit: Emit, timeout_s: float
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
            self._child.send({"ask": number, "inputs": dict(inputs), "stream": stream, "whole": whole})
            async with asyncio.timeout(timeout_s):
                message = await asked.answer
        except TimeoutError:
            raise Refusal(504, "timeout", "the deployment took too long") from None
        finally:
            if not asked.answer.done() or asked.answer.cancelled():
                self._child.send({"cancel": number})
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
        while (message := await self._child.frames.queue.get()) is not None:
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
        self.is_gone = True  # before its exit is waited for: nobody may ask it meanwhile
        for asked in self.in_flight.values():
            asked.settle({})
        return await self.ended()

    async def lives(self, timeout_s: float) -> bool:
        """Whether it answers at all."""
        number = next(self._numbers)
        pong = self._pongs[number] = asyncio.get_running_loop().create_future()
        self._child.send({"ping": number})
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
        code = await self._child.exited()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def end(self) -> None:
        """Ask it to end, and see to it that it does."""
        self.is_retired = True
        self._child.send({"end": True})
        with suppress(TimeoutError):
            await self._child.exited(_END_S)
        await self.abandon()

    def kill(self) -> None:
        """End it at once, with every program that it started."""
        self._child.kill()

    async def abandon(self) -> None:
        """End it at once and let go of what this side holds."""
        self.kill()
        await self._child.exited()
        self._child.read_output()
        self._child.close()


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
