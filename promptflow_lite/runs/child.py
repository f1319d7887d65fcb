"""What does the run's process know of one worker? How to start it, what it was sent, how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, Mark, PromptflowError, UserError
from promptflow_lite.runs.frames import Message
from promptflow_lite.runs.job import FlowJob, Line
from promptflow_lite.runs.records import Key
from promptflow_lite.runs.spawned import Spawned
from promptflow_lite.tools.pacing import Throttled
from promptflow_lite.tools.scope import Printed
from promptflow_lite.tools.shared import tell

__all__ = ["CRASH", "Child", "Sent"]

_MODULE = "promptflow_lite.runs.worker"
CRASH = "Fatal Python error: "
"""What `faulthandler` begins with."""
_OURS = f"{os.sep}promptflow_lite{os.sep}engine{os.sep}"
_LAST_WORDS_S = 1.0
"""Seconds a worker that hangs gets to write where it hangs."""
_END_S = 5.0
"""Seconds a worker gets to end by itself."""


class Sent:
    """A line that a worker was given, when, and what was printed past Python while it ran alone.

    Args:
        line: the line.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.started = time.time()
        self.began = asyncio.get_running_loop().time()
        self.printed = Printed()


class Child:
    """A worker process.

    Args:
        number: for people.
        process: the process.
    """

    def __init__(self, number: int, process: Spawned) -> None:
        self.number = number
        self.in_flight: dict[Key, Sent] = {}
        """The lines in flight."""
        self.is_retired = False
        """Whether it shall get no more lines."""
        self.printed = Printed()
        """What it printed past Python while it had several lines or none."""
        self._process = process

    @classmethod
    async def start(
        cls, number: int, job: FlowJob, connections: Mapping[str, Any]
    ) -> tuple[Child, list[str]]:
        """A worker that is ready for lines, and what it has to say to people.

        Raises:
            UserError: what is wrong with the flow.
            PromptflowError: the process ended before it was ready (code `worker-died`).
        """
        child = cls(number, Spawned.spawn(_MODULE))
        try:
            await child._process.open(child._print)
            child.send({"job": job.model_dump(), "connections": connections})
            match await child.receive():
                case {"ready": notes}:
                    return child, notes
                case {"refused": why}:
                    raise _refused(why)
            reason, trace = await child.ended()
            said = f"\n{trace or child.take_printed()}".rstrip()
            raise PromptflowError(
                f"a worker process ended with {reason} before it was ready{said}", code="worker-died"
            )
        except BaseException:
            child.kill()
            child.close()
            raise

    def give(self, line: Line) -> None:
        """Send it a line."""
        self._process.read_output()
        self.send({"line": {"number": line.number, "inputs": line.inputs, "repeat": line.repeat}})
        self.in_flight[line.key] = Sent(line)

    def take(self, key: Key) -> Sent:
        """The line that it has ended, with what was printed."""
        self._process.read_output()
        return self.in_flight.pop(key)

    def send(self, message: Message) -> None:
        """Send it something else."""
        self._process.send(message)

    async def receive(self, until: float | None = None) -> Message | None:
        """What it says next, `None` once it is gone. That an endpoint makes it wait is passed on.

        Raises:
            TimeoutError: it has said nothing by `until`, on the loop's clock.
        """
        while True:
            async with asyncio.timeout_at(until):
                message = await self._process.frames.queue.get()
            match message:
                case {"throttled": body}:
                    self._excuse(Throttled(**body))
                    if until is None:
                        continue
            return message

    def _excuse(self, throttled: Throttled) -> None:
        """What its lines wait for an endpoint is not their time."""
        tell(throttled)
        pause_s = max(0.0, (throttled.until or 0.0) - time.time())
        for sent in self.in_flight.values():
            sent.began = max(sent.began, asyncio.get_running_loop().time() + pause_s)

    async def ended(self) -> tuple[str, str | None]:
        """How it ended (killed now, if it has not), for people, and the stack that it left."""
        with suppress(TimeoutError):
            await self._process.exited(_LAST_WORDS_S)
        self.kill()
        code = await self._process.exited()
        self._process.read_output()
        text = str(self.printed if len(self.in_flight) != 1 else next(iter(self.in_flight.values())).printed)
        return _how(code), _stack(text)

    async def where(self) -> None:
        """Have it write where it hangs, which ends it."""
        self._process.signal(signal.SIGABRT)
        with suppress(TimeoutError):
            await self._process.exited(_LAST_WORDS_S)

    async def end(self) -> None:
        """Ask it to end, and see to it that it does."""
        if self._process.is_closed:
            return
        try:
            self.send({"end": True})
            with suppress(TimeoutError):
                await self._process.exited(_END_S)
        finally:
            self.kill()
            self.close()

    def kill(self) -> None:
        """End it at once, with every program that it started."""
        self._process.kill()

    def close(self) -> None:
        """Let go of what this side holds; does nothing the second time."""
        self._process.close()

    def take_printed(self) -> str:
        """What it printed past Python that is no single line's, since it was last asked."""
        self._process.read_output()
        text, self.printed = str(self.printed), Printed()
        return text

    def _print(self, text: bytes) -> None:
        """What it printed belongs to its only line, if it has one."""
        alone = next(iter(self.in_flight.values())).printed if len(self.in_flight) == 1 else self.printed
        alone.write(text.decode(errors="replace"))


def _refused(why: Mapping[str, Any]) -> UserError:
    if "diagnostics" not in why:
        return UserError(why["message"], code=why["code"], hint=why["hint"])
    return FlowError([_diagnostic(body) for body in why["diagnostics"]])


def _diagnostic(body: Mapping[str, Any]) -> Diagnostic:
    return Diagnostic(**{**body, "mark": Mark(**body["mark"]) if body["mark"] else None})


def _stack(text: str) -> str | None:
    """The user's frames, innermost first, of what `faulthandler` wrote: of the threads that ran a tool."""
    _, mark, stacks = text.rpartition(CRASH)
    found = []
    for stack in stacks.split("\n\n")[1:] if mark else ():
        head, *frames = stack.splitlines()
        ours = next((at for at, frame in enumerate(frames) if _OURS in frame), 0)
        if ours and head.startswith(("Thread", "Current thread")):
            found.append("\n".join([head, *frames[:ours]]))
    return "\n\n".join(found) or None


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    said = signal.strsignal(-code)
    memory = "; did the system run out of memory?" if -code == signal.SIGKILL else ""
    return f"{name} ({said}{memory})"
