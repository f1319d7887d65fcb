"""So many in flight, so many waiting, and a clear no to the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.serving.gate import Gate
from promptflow_lite.serving.refusal import Refusal


async def test_the_first_come_go_first() -> None:
    gate, order = Gate(in_flight=2, queue=10), []

    async def run(number: int) -> None:
        async with gate:
            order.append(number)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(run(number))
    assert order == [0, 1, 2, 3, 4, 5]
    assert (gate.inside, gate.queued) == (0, 0)


async def test_a_full_queue_says_when_to_come_back() -> None:
    gate = Gate(in_flight=1, queue=0)
    async with gate:
        with pytest.raises(Refusal) as refused:
            gate.check()
        assert refused.value.status == 429
        assert dict(refused.value.headers)[b"retry-after"].isdigit()
        with pytest.raises(Refusal):
            await gate.__aenter__()
    gate.check()


async def test_a_wait_that_is_too_long_ends() -> None:
    gate = Gate(in_flight=1, queue=5, wait_s=0.01)
    async with gate:
        with pytest.raises(Refusal, match=r"waited 0\.01 s"):
            await gate.__aenter__()
        assert gate.queued == 0
    async with gate:
        assert gate.inside == 1


@given(cancelled=st.sets(st.integers(0, 11)), limit=st.integers(1, 4))
def test_whoever_leaves_early_holds_no_place(cancelled: Iterable[int], limit: int) -> None:
    async def scene() -> None:
        gate, inside, most = Gate(in_flight=limit, queue=100), 0, 0

        async def run() -> None:
            nonlocal inside, most
            async with gate:
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(run()) for _ in range(12)]
        await asyncio.sleep(0)
        for number in cancelled:
            tasks[number].cancel()
            await asyncio.sleep(0)
        await asyncio.wait(tasks)
        assert most <= limit
        assert (gate.inside, gate.queued) == (0, 0)
        async with gate:
            assert gate.inside == 1

    asyncio.run(scene())
