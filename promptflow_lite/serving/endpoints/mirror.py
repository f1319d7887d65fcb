"""How is a request copied to another deployment? Beside the caller's own, and not at any price."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.serving.endpoints.remote import Remote
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.refusal import Refusal, of_failure
from promptflow_lite.serving.traffic.seen import MIRRORED
from promptflow_lite.serving.traffic.watch import Traffic

__all__ = ["Mirror"]

_log = logging.getLogger("promptflow_lite.serving.mirror")
_MOST = 64


class Mirror:
    """Sends copies of requests, whose answers are counted, kept where the deployment says so, and dropped.

    Args:
        metrics: where they are counted, under the path `mirror`.
    """

    traffic: Traffic | None = None
    """Is told of answers; `None` where nobody wants to know."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()

    def send(self, remote: Remote, inputs: Mapping[str, Any]) -> None:
        """Copy a request to `remote`, unless that is busy, or too many copies are on their way."""
        if len(self._running) >= _MOST or remote.gate.queued or not remote.gate.has_room:
            self._metrics.answered(remote.name, MIRRORED, 429, "too-many-requests", 0.0)
            return
        task = asyncio.create_task(self._run(remote, inputs))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, remote: Remote, inputs: Mapping[str, Any]) -> None:
        began, status, code = perf_counter(), 200, ""
        about = {"deployment": remote.name}
        told = self.traffic.draw_copy(remote) if self.traffic is not None else None
        try:
            async with remote.gate:
                line = await remote.answer(inputs, whole=told is not None and told.whole)
            self._metrics.spent(remote.name, line)
            if told is not None:
                told.copied(remote, inputs, line)
            if line.error is not None:
                refusal = of_failure(line.error)
                status, code = refusal.status, refusal.code
                said = (line.error.node, line.error.code, line.error.message)
                _log.error("mirrored: node %r failed [%s]: %s", *said, extra=about)
        except Refusal as refusal:
            status, code = refusal.status, refusal.code
        except InputError as error:  # the two flows take different inputs
            status, code = 400, error.code
        except RuntimeError as error:
            status, code = 500, "internal"
            _log.error("mirrored: %s", error, extra=about)
        self._metrics.answered(remote.name, MIRRORED, status, code, perf_counter() - began)

    async def close(self) -> None:
        """Give up what is on its way."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
