"""What is told of runs while callers come and leave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest

from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.results import LineResult
from promptflow_lite.flow.spec import Flow
from promptflow_lite.serving.call import Call, Limits, Message
from promptflow_lite.serving.gate import Gate
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.refusal import ClientGone
from promptflow_lite.serving.running import Runs


class _Slow:
    """A deployment that has not answered yet."""

    name = "slow"
    flow: Flow

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def answer(
        self, inputs: Mapping[str, Any], *, stream: bool = False, whole: bool = False, emit: Emit = ignore
    ) -> LineResult:
        await asyncio.sleep(3600)
        raise AssertionError

    async def close(self) -> None: ...


def _told(metrics: Metrics) -> dict[str, float]:
    found = re.findall(
        r'^promptflow_(in_flight|queued)\{deployment="slow"\} (.+)$', metrics.text().decode(), re.M
    )
    return {name: float(value) for name, value in found}


@pytest.mark.parametrize("later", range(6))
async def test_nobody_is_in_flight_when_all_have_left(later: int) -> None:
    """Those who wait leave so many steps of the loop after those in flight: some as their turn comes."""
    metrics, limit, waiting = Metrics(), 4, 9
    runs, slow = Runs(metrics), _Slow(Gate(in_flight=limit))

    async def call(left: asyncio.Event) -> None:
        async def receive() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        with pytest.raises(ClientGone):
            await runs.result(Call({}, "/score", "id", None, Limits()), slow, {}, receive)

    first, others = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for left in [first] * limit + [others] * waiting:
            group.create_task(call(left))
        await asyncio.sleep(0.2)  # longer than it takes until somebody watches for who leaves
        assert _told(metrics) == {"in_flight": limit, "queued": waiting}
        first.set()
        for _ in range(later):
            await asyncio.sleep(0)
        others.set()
    assert (slow.gate.inside, slow.gate.queued) == (0, 0)
    assert _told(metrics) == {"in_flight": 0, "queued": 0}
