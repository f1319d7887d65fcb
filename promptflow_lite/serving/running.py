"""What comes of one request's run? Its result or its parts; no longer than the caller waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any

from promptflow_lite.engine.events import Chunk, Event, NodeEnded, NodeStarted
from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.errors import InputError
from promptflow_lite.serving.call import Call, Receive
from promptflow_lite.serving.deployment import Deployment
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.refusal import ClientGone, Refusal, of_failure
from promptflow_lite.serving.traffic.watch import Audience, Traffic
from promptflow_lite.tools.clock import Clock

__all__ = ["Part", "Runs", "log"]

log = logging.getLogger("promptflow_lite.serving")

_BEAT_S = 15.0
_LEAVING_S = 5.0
_SHORT_S = 0.1
"""A run that is over by then has nobody watch for a caller who leaves: a task costs more than such a run."""

Part = Chunk | NodeStarted | NodeEnded
Tell = Callable[[Sequence[Part]], Awaitable[None]]


class Runs:
    """Runs flows for requests: through the gate, counted, logged where they fail.

    Args:
        metrics: where they are counted.
        traffic: is told of each that was answered; `None` where nobody wants to know.
    """

    def __init__(self, metrics: Metrics, traffic: Traffic | None = None) -> None:
        self._metrics = metrics
        self._traffic = traffic

    async def result(
        self, call: Call, deployment: Deployment, inputs: Mapping[str, Any], receive: Receive
    ) -> LineResult:
        """The line, completed.

        Raises:
            Refusal: an input is wrong, there is no room, or the run failed.
            ClientGone: the caller left; the run is cancelled.
        """
        call.deployment = deployment.name
        told = self._traffic.draw(deployment) if self._traffic is not None else None
        with _WhileWanted(receive):
            line = await self._run(deployment, inputs, told)
        return self._checked(call, deployment, inputs, line, told)

    async def streamed(
        self, call: Call, deployment: Deployment, inputs: Mapping[str, Any], receive: Receive, tell: Tell
    ) -> LineResult:
        """The line, completed, after `tell` was told each part of it as it came.

        Args:
            call: the request.
            deployment: who answers.
            inputs: by name.
            receive: the request's.
            tell: is given the parts as they come; none where nothing came for a while.

        Raises:
            Refusal, ClientGone: as `result`.
        """
        call.deployment = deployment.name
        told = self._traffic.draw(deployment) if self._traffic is not None else None
        began, is_first = perf_counter(), True
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        with _WhileWanted(receive):
            run = asyncio.create_task(self._run(deployment, inputs, told, events))
            run.add_done_callback(lambda _: events.put_nowait(None))
            try:
                while not (run.done() and events.empty()):
                    parts, is_silent = await _next(events)
                    if is_first and any(isinstance(part, Chunk) for part in parts):
                        is_first = False
                        self._metrics.first_part(deployment.name, call.path, perf_counter() - began)
                    if parts or is_silent:
                        await tell(parts)
                line = run.result()
            finally:
                if not run.done():
                    run.cancel()
                    await asyncio.wait([run], timeout=_LEAVING_S)
        return self._checked(call, deployment, inputs, line, told)

    async def _run(
        self,
        deployment: Deployment,
        inputs: Mapping[str, Any],
        told: Audience | None,
        events: asyncio.Queue[Event | None] | None = None,
    ) -> LineResult:
        gate = deployment.gate
        whole = told is not None and told.whole
        if not gate.has_room:
            self._metrics.busy(deployment.name, in_flight=gate.inside, queued=gate.queued + 1)
        try:
            async with gate:
                self._metrics.busy(deployment.name, in_flight=gate.inside, queued=gate.queued)
                if events is None:
                    return await deployment.answer(inputs, whole=whole)
                return await deployment.answer(inputs, stream=True, whole=whole, emit=events.put_nowait)
        except InputError as error:
            raise Refusal(400, error.code, str(error), param="inputs") from None
        finally:  # outside of the gate: whoever left the queue never came in
            self._metrics.busy(deployment.name, in_flight=gate.inside, queued=gate.queued)

    def _checked(
        self,
        call: Call,
        deployment: Deployment,
        inputs: Mapping[str, Any],
        line: LineResult,
        told: Audience | None,
    ) -> LineResult:
        deployment.gate.took(line.seconds)
        self._metrics.spent(deployment.name, line)
        if told is not None:
            told.answered(call, deployment, inputs, line)
        about = {"deployment": deployment.name}
        if line.logs:
            log.info("%s printed:\n%s", call.request_id, line.logs.rstrip("\n"), extra=about)
        if line.status is Status.Completed:
            return line
        if line.error is not None:
            trace = f"\n{line.error.traceback.rstrip()}" if line.error.traceback else ""
            where = f"node {line.error.node!r}" if line.error.node else "the flow"
            said = (call.request_id, where, line.error.code, line.error.message, trace)
            log.error("%s %s failed [%s]: %s%s", *said, extra=about)
        raise of_failure(line.error)


async def _next(events: asyncio.Queue[Event | None]) -> tuple[list[Part], bool]:
    """The parts that came since the last look, at least one event; and whether none came for a while."""
    try:
        if events.empty():
            with Clock.after(_BEAT_S):
                found = [await events.get()]
        else:
            found = []
    except TimeoutError:
        return [], True
    while not events.empty():
        found.append(events.get_nowait())
    return [event for event in found if isinstance(event, Chunk | NodeStarted | NodeEnded)], False


class _WhileWanted:
    """Cancels what is inside when the caller leaves.

    Args:
        receive: the request's.

    Raises:
        ClientGone: the caller left.
    """

    __slots__ = ("_inside", "_is_gone", "_receive", "_timer", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._inside: asyncio.Task[Any] | None = None
        self._is_gone = False
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._inside = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(_SHORT_S, self._begin)

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._inside is not None:
            self._is_gone = True
            self._inside.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        inside, self._inside = self._inside, None
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._is_gone and inside is not None and isinstance(error, asyncio.CancelledError):
            inside.uncancel()
            raise ClientGone from None
