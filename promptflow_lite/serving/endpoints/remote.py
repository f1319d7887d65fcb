"""Who answers in other processes? A deployment whose processes are started, asked, probed and replaced."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.results import LineResult
from promptflow_lite.errors import PromptflowError
from promptflow_lite.flow.spec import Flow
from promptflow_lite.serving.endpoints.logs import Log
from promptflow_lite.serving.endpoints.process import Process
from promptflow_lite.serving.endpoints.spec import DeploymentSpec, Probe
from promptflow_lite.serving.gate import Gate
from promptflow_lite.serving.plan import Plan
from promptflow_lite.serving.refusal import Refusal

__all__ = ["Remote"]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_STABLE_S = 60.0
"""A process that has lived so long is started again at once when it ends."""
_OVERTIME_S = 5.0
"""What a process gets beyond the time of a request to say itself that it is over."""
_QUEUE = 256

Changed = Callable[[], None]


class Remote:
    """One revision of a deployment.

    Args:
        spec: what it is.
        flow: what it takes and gives.
        log: where its processes print.
        changed: called when one of its processes comes or goes.
    """

    def __init__(self, spec: DeploymentSpec, flow: Flow, log: Log, changed: Changed) -> None:
        settings = spec.request_settings
        self.spec = spec
        self.name = spec.name
        self.log = log
        self.flow = flow
        self._timeout_s = settings.request_timeout_ms / 1000
        self.gate = Gate(
            in_flight=settings.max_concurrent_requests_per_instance * spec.instance_count,
            queue=_QUEUE,
            wait_s=settings.max_queue_wait_ms / 1000,
        )
        plan = Plan(
            source=spec.source,
            name=spec.name,
            variants=spec.variants,
            overrides=spec.connections,
            environment_variables=spec.environment_variables,
            init=spec.init,
            timeout_s=self._timeout_s,
        )
        labels = [f"[{n}] " for n in range(spec.instance_count)] if spec.instance_count > 1 else [""]
        self._instances = [_Instance(plan, spec, log, changed, label) for label in labels]
        self._keeping: asyncio.Task[None] | None = None

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Start its processes, and see to it from now on that they are there.

        Raises:
            PromptflowError: the first of them does not get ready; it is tried again all the same.
        """
        self._keeping = group.create_task(self._keep())
        first, *others = (instance.tried for instance in self._instances)
        await asyncio.shield(first)
        for tried in others:
            await asyncio.shield(tried)

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as group:
            for instance in self._instances:
                group.create_task(instance.keep())

    async def answer(
        self, inputs: Mapping[str, Any], *, stream: bool = False, whole: bool = False, emit: Emit = ignore
    ) -> LineResult:
        """What came of one line, by the process that has least to do.

        Raises:
            InputError: an input is missing or of the wrong type.
            Refusal: 502, 503 or 504, the process is gone, is being started, or is silent.
        """
        held = [i.process for i in self._instances if i.is_ready]
        ready = [process for process in held if process is not None and not process.is_gone]
        if not ready:
            seconds = max(1, math.ceil(min(i.pause for i in self._instances)))
            message = f"deployment {self.name!r} is not ready"
            retry = [(b"retry-after", b"%d" % seconds)]
            raise Refusal(503, "deployment-unavailable", message, headers=retry)
        process = min(ready, key=lambda process: len(process.in_flight))
        within = self._timeout_s + _OVERTIME_S
        return await process.ask(inputs, stream=stream, whole=whole, emit=emit, timeout_s=within)

    @property
    def in_flight(self) -> int:
        """Lines that its processes run."""
        return sum(len(i.process.in_flight) for i in self._instances if i.process is not None)

    @property
    def is_healthy(self) -> bool:
        """Whether it can answer."""
        return any(instance.is_ready for instance in self._instances)

    def status(self) -> dict[str, Any]:
        """What can be said of it."""
        said = next((i.message for i in self._instances if i.message and not i.is_ready), "")
        processes = [i.process.pid for i in self._instances if i.process is not None]
        state = "Healthy" if self.is_healthy else "Unhealthy"
        restarts = sum(i.restarts for i in self._instances)
        return {
            "revision": self.spec.revision,
            "state": state,
            "message": said,
            "processes": processes,
            "restarts": restarts,
        }

    async def retire(self, grace_s: float) -> None:
        """End it, once what it runs is done, or after `grace_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self.in_flight:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.05)
        for instance in self._instances:
            instance.is_retired = True
            if instance.process is not None:
                await instance.process.end()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    async def close(self) -> None:
        """End it now."""
        await self.retire(0)


class _Instance:
    """The place of one process; when that ends unasked, another takes it."""

    def __init__(self, plan: Plan, spec: DeploymentSpec, log: Log, changed: Changed, label: str) -> None:
        self.process: Process | None = None
        self.is_ready = False
        self.is_retired = False
        self.restarts = 0
        self.message = ""
        """Why it is not ready."""
        self.pause = _FIRST_PAUSE_S
        """Seconds until the next try."""
        self.tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Is done when the first try is."""
        self._plan = plan
        self._spec = spec
        self._log = log
        self._changed = changed
        self._label = label

    async def keep(self) -> None:
        """Keep a process in the place."""
        try:
            while not self.is_retired:
                await self._live()
                self._changed()
                if not self.is_retired:
                    await asyncio.sleep(self.pause)
                    self.pause = min(2 * self.pause, _LONGEST_PAUSE_S)
                    self.restarts += 1
        finally:
            if self.process is not None:
                await self.process.abandon()
            if not self.tried.done():
                self.tried.cancel()

    async def _live(self) -> None:
        """One process, from its start to its end."""
        loop = asyncio.get_running_loop()
        printed = self._log.printed(self._label)
        try:
            process, notes = await Process.start(self._plan, printed.write)
        except (PromptflowError, OSError) as error:
            printed.end()
            self.message = str(error)
            self._log.note(f"did not start: {error}")
            if not self.tried.done():
                self.tried.set_exception(error)
                self.tried.exception()  # whoever waits hears it; nobody need
            return
        for note in notes:
            self._log.note(f"{self._label}{note}")
        self._log.note(f"{self._label}process {process.pid} is ready")
        began = loop.time()
        self.process, self.is_ready, self.message = process, True, ""
        if not self.tried.done():
            self.tried.set_result(None)
        self._changed()
        probing = loop.create_task(self._probe(process))
        try:
            how = await process.listen()
        finally:
            probing.cancel()
            self.is_ready = False
            printed.end()
        self.process = None
        if loop.time() - began > _STABLE_S:
            self.pause = _FIRST_PAUSE_S
        if not self.is_retired:
            self.message = f"its process ended with {how}"
            self._log.note(f"{self._label}process {process.pid} ended with {how}; another takes its place")

    async def _probe(self, process: Process) -> None:
        """Ask both probes' questions for as long as the process lives."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe_liveness(process, self._spec.liveness_probe))
            group.create_task(self._probe_readiness(process, self._spec.readiness_probe))

    async def _probe_liveness(self, process: Process, probe: Probe) -> None:
        """End a process that no longer answers; another takes its place."""
        failed = 0
        await asyncio.sleep(probe.initial_delay)
        while failed < probe.failure_threshold:
            failed = 0 if await process.lives(probe.timeout) else failed + 1
            await asyncio.sleep(probe.period)
        self._log.note(f"process {process.pid} did not answer {failed} times: it is ended")
        process.kill()

    async def _probe_readiness(self, process: Process, probe: Probe) -> None:
        """Give no requests to a process that does not answer, until it does again."""
        failed = succeeded = 0
        await asyncio.sleep(probe.initial_delay)
        while True:
            if await process.lives(probe.timeout):
                failed, succeeded = 0, succeeded + 1
                turns = not self.is_ready and succeeded >= probe.success_threshold
            else:
                failed, succeeded = failed + 1, 0
                turns = self.is_ready and failed >= probe.failure_threshold
            if turns:
                self.is_ready = not self.is_ready
                self.message = "" if self.is_ready else "it does not answer"
                self._changed()
            await asyncio.sleep(probe.period)
