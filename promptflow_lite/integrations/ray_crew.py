"""How do the lines of a run share Ray actors, and what becomes of those whose actor is gone?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from promptflow_lite.engine.results import Failure, LineResult, Status
from promptflow_lite.runs.drain import Done
from promptflow_lite.runs.job import FlowJob, Line
from promptflow_lite.runs.records import Key, decode, dumps, loads

__all__ = ["NODES_LOST", "Actor", "Crew", "Hiring", "first_line"]

_GRACE_S = 10.0
"""Seconds after a line's time in which its actor may say so itself."""
NODES_LOST = 5
"""How often a line may lose its node before it is given up."""


class Hiring(Protocol):
    """Who gives actors."""

    @property
    def job(self) -> FlowJob:
        """What is executed."""

    @property
    def dead(self) -> tuple[type[Exception], ...]:
        """What a call raises whose actor is gone."""

    async def hire(self) -> Actor:
        """An actor that is ready."""

    def release(self, actor: Actor) -> None:
        """Give back an actor that has nothing to do."""

    def dismiss(self, actor: Actor) -> None:
        """End an actor."""

    def keep_images(self, images: dict[str, bytes]) -> None:
        """Put images where the run keeps them."""

    def has_lost_its_node(self, error: Exception) -> bool:
        """Whether an actor is away because of its machine or the network."""


class Actor:
    """A handle of an actor.

    Args:
        handle: Ray's.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.notes: list[str] = []
        self.is_gone = False

    async def call(self, method: str, *arguments: Any) -> Any:
        """What a method of the actor gives."""
        return await getattr(self.handle, method).remote(*arguments)


class Crew:
    """The actors of one execution, and the lines that they share.

    An actor that dies by itself was killed by one of its lines, and nobody knows by which: each of them is
    tried once more with no other beside it, and the one that kills again is failed. An actor that went with
    its machine says nothing against its lines: they go back to all.

    Args:
        executor: gives actors.
        source: the lines.
        log: takes what belongs in the run's log.
    """

    def __init__(self, executor: Hiring, source: Iterator[Line], log: Callable[[str], None]) -> None:
        self._executor = executor
        self._source = source
        self._log = log
        self.done: Done = asyncio.Queue(executor.job.concurrency)
        self._again: deque[Line] = deque()
        self._suspects: deque[Line] = deque()
        self._nodes_lost: Counter[Key] = Counter()
        self._in_flight = 0
        self._is_exhausted = False
        self._changed = asyncio.Condition()

    async def work(self, workers: int) -> None:
        """Have every line done."""
        concurrency = self._executor.job.concurrency
        shares = [concurrency // workers + (number < concurrency % workers) for number in range(workers)]
        async with asyncio.TaskGroup() as group:
            desks = [group.create_task(self._desk(share)) for share in shares]
            async with self._changed:
                await self._changed.wait_for(lambda: self._is_done)
            for desk in desks:
                desk.cancel()

    @property
    def _is_done(self) -> bool:
        return self._is_exhausted and not (self._in_flight or self._again or self._suspects)

    async def _desk(self, share: int) -> None:
        while not self._is_done:
            actor = await self._executor.hire()
            try:
                while not (self._is_done or actor.is_gone):
                    while self._suspects and not actor.is_gone:
                        await self._do(actor, self._taken(self._suspects.popleft()), is_alone=True)
                    async with asyncio.TaskGroup() as group:
                        for _ in range(share):
                            group.create_task(self._slot(actor))
            finally:  # at the end desks are cancelled, since one may still wait for room in the cluster
                if actor.is_gone:
                    self._executor.dismiss(actor)
                else:
                    self._executor.release(actor)

    async def _slot(self, actor: Actor) -> None:
        """One line after the other, until the actor is gone or only suspects are left."""
        while not actor.is_gone and not self._is_done:
            line = self._next()
            if line is not None:
                await self._do(actor, line, is_alone=False)
            elif self._suspects:
                return
            else:
                async with self._changed:
                    self._changed.notify_all()  # the source may have ended just now
                    await self._changed.wait_for(
                        lambda: self._is_done or self._again or self._suspects or actor.is_gone
                    )

    def _next(self) -> Line | None:
        if self._again:
            return self._taken(self._again.popleft())
        if self._is_exhausted:
            return None
        line = next(self._source, None)
        self._is_exhausted = line is None
        return None if line is None else self._taken(line)

    def _taken(self, line: Line) -> Line:
        self._in_flight += 1
        return line

    async def _do(self, actor: Actor, line: Line, *, is_alone: bool) -> None:
        started, began = time.time(), time.monotonic()
        body = dumps({"number": line.number, "inputs": line.inputs, "repeat": line.repeat})
        failure: Failure | None = None
        try:
            async with asyncio.timeout(self._executor.job.line_timeout_s + _GRACE_S):
                record, images = await actor.call("run", body)
        except TimeoutError:
            actor.is_gone = True
            self._executor.dismiss(actor)
            seconds = self._executor.job.line_timeout_s
            failure = Failure("timeout", f"the line took longer than {seconds:g} s; its actor was ended")
        except self._executor.dead as error:
            was_hanging, actor.is_gone = actor.is_gone, True
            failure = self._given_up(line, error, is_alone=is_alone, is_innocent=was_hanging)
        else:
            self._executor.keep_images(images)
            await self.done.put(decode(loads(record)))
        if failure is not None:
            seconds = time.monotonic() - began
            await self.done.put(
                LineResult(
                    line.number,
                    Status.Failed,
                    dict(line.inputs),
                    error=failure,
                    started=started,
                    seconds=seconds,
                    repeat=line.repeat,
                )
            )
        self._in_flight -= 1
        async with self._changed:
            self._changed.notify_all()

    def _given_up(self, line: Line, error: Exception, *, is_alone: bool, is_innocent: bool) -> Failure | None:
        """Why the line of a dead actor is failed, or `None`: it is tried again."""
        if is_innocent or self._executor.has_lost_its_node(error):
            self._nodes_lost[line.key] += 1
            if self._nodes_lost[line.key] > NODES_LOST:
                return Failure("worker-died", f"the line's Ray node was lost {NODES_LOST + 1} times")
            self._log(f"line {line.number}: its Ray node or actor is gone; it runs again elsewhere")
            self._again.append(line)
        elif is_alone:
            return Failure("worker-died", f"the line ended its Ray actor: {first_line(error)}")
        else:
            self._log(f"line {line.number}: its Ray actor died; tried again, alone in a new one")
            self._suspects.append(line)
        return None


def first_line(error: Exception) -> str:
    """The cause that Ray tells, without its list of ids."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    return lines[min(1, len(lines) - 1)] if lines else type(error).__name__
