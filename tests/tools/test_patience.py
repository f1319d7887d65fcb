"""A whole answer that does not come is given up once the node's other answers show that it is overdue."""

from __future__ import annotations

import asyncio

import pytest

from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.patience import Patience
from tests import virtual_time


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "yes"


async def outcome(patience: Patience, seconds: float, overdue: int = 0) -> tuple[str, float]:
    """What came of an answer that takes so long, and when."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        said = await patience.wait(lambda: after(seconds), overdue=overdue, name="mine")
    except ModelError as error:
        assert error.retryable
        said = error.code
    return said, round(clock() - began, 3)


async def known(seconds: float, answers: int = 10) -> Patience:
    patience = Patience(300.0)
    for _ in range(answers):
        await outcome(patience, seconds)
    return patience


@pytest.mark.parametrize(("usual_s", "limit_s"), [(1.0, 60.0), (20.0, 80.0)])
def test_an_answer_is_overdue_after_a_minute_and_four_times_the_slowest(
    usual_s: float, limit_s: float
) -> None:
    async def scene() -> tuple[str, float]:
        return await outcome(await known(usual_s), 290.0)

    assert virtual_time.run(scene()) == ("timeout", limit_s)


def test_a_slow_answer_in_time_is_taken_and_makes_the_next_one_no_exception() -> None:
    async def scene() -> list[tuple[str, float]]:
        patience = await known(1.0)
        return [await outcome(patience, 59.0), await outcome(patience, 200.0)]

    assert virtual_time.run(scene()) == [("yes", 59.0), ("yes", 200.0)]


def test_a_call_that_was_given_up_may_take_twice_as_long_the_next_time() -> None:
    async def scene() -> list[tuple[str, float]]:
        patience = await known(1.0)
        return [await outcome(patience, 100.0, overdue) for overdue in (0, 1)]

    assert virtual_time.run(scene()) == [("timeout", 60.0), ("yes", 100.0)]


def test_nothing_is_overdue_before_anything_is_known() -> None:
    async def scene() -> tuple[str, float]:
        return await outcome(await known(1.0, answers=9), 290.0)

    assert virtual_time.run(scene()) == ("yes", 290.0)


def test_calls_that_left_before_anything_was_known_are_given_up_too() -> None:
    async def scene() -> tuple[str, float]:
        patience = Patience(300.0)
        lost = asyncio.create_task(outcome(patience, 290.0))
        for _ in range(10):
            await outcome(patience, 2.0)
        return await lost

    assert virtual_time.run(scene()) == ("timeout", 60.0)


def test_who_waits_for_less_is_not_told_that_an_answer_is_overdue() -> None:
    async def scene() -> None:
        patience = await known(1.0)
        async with asyncio.timeout(5):
            await outcome(patience, 290.0)

    with pytest.raises(TimeoutError):
        virtual_time.run(scene())
