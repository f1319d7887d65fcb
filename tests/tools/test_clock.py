"""Clocks: each ends what is done within it at its own time, though all share one alarm."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from promptflow_lite.tools.clock import Clock


async def _rest(seconds: float, limit_s: float | None) -> str:
    loop = asyncio.get_running_loop()
    try:
        with Clock(None if limit_s is None else loop.time() + limit_s):
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "over"
    return "done"


async def test_each_clock_ends_its_own_task() -> None:
    limits = [5.0, 0.02, None, 0.05, 5.0]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_rest(0.3, limit)) for limit in limits]
    assert [task.result() for task in tasks] == ["done", "over", "done", "over", "done"]


async def test_of_two_clocks_around_each_other_the_one_that_is_over_says_so() -> None:
    with Clock.after(5) as outer:
        with pytest.raises(TimeoutError), Clock.after(0.01) as inner:
            await asyncio.sleep(1)
        await asyncio.sleep(0)
    assert (outer.is_over, inner.is_over) == (False, True)
    with pytest.raises(TimeoutError), Clock.after(0.01) as outer, Clock.after(5) as inner:
        await asyncio.sleep(1)
    assert (outer.is_over, inner.is_over) == (True, False)


async def test_time_that_is_over_at_the_start_ends_the_first_wait() -> None:
    assert await _rest(0.3, 0.0) == "over"


async def test_a_clock_can_be_stopped_and_set_again() -> None:
    with Clock.after(0.02) as clock:
        clock.reschedule(None)
        await asyncio.sleep(0.05)
        assert clock.when is None
        with pytest.raises(asyncio.CancelledError):
            clock.reschedule(clock.loop.time())
            await asyncio.sleep(1)
        clock.reschedule(clock.loop.time() + 1)  # too late: it is over
    assert clock.is_over


async def test_a_cancellation_from_outside_is_no_end_of_time() -> None:
    task = asyncio.create_task(_rest(1, 5))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_within_is_the_error() -> None:
    with pytest.raises(ValueError, match="mine"), Clock.after(0.01):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise ValueError("mine") from None


def test_a_loop_that_is_closed_is_let_go() -> None:
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(_rest(0, 600)) == "done"
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
