"""Callers of one model slow down together, and give up in the end."""

from __future__ import annotations

import asyncio
import email.utils
import time

import pytest

from promptflow_lite.tools.failure import ModelError, wait_asked_for
from promptflow_lite.tools.pacing import Pacer


class Sleeper:
    """A clock that notes how long it was asked to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def failing(times: int, **error: object) -> tuple[list[int], object]:
    tries: list[int] = []

    async def ask() -> str:
        tries.append(1)
        if len(tries) <= times:
            raise ModelError("busy", code="rate-limited", retryable=True, **error)  # type: ignore[arg-type]
        return "ok"

    return tries, ask


async def test_a_failure_that_may_pass_is_tried_again_after_growing_waits() -> None:
    sleeper = Sleeper()
    tries, ask = failing(4)
    assert await Pacer(sleep=sleeper, jitter=lambda: 1.0).call(ask) == "ok"  # type: ignore[arg-type]
    assert sleeper.slept == [0.5, 1.0, 2.0, 4.0]
    assert len(tries) == 5


async def test_tries_are_bounded() -> None:
    tries, ask = failing(10**6)
    with pytest.raises(ModelError, match="busy"):
        await Pacer(sleep=Sleeper(), jitter=lambda: 0.0).call(ask)  # type: ignore[arg-type]
    assert len(tries) == 8


async def test_a_failure_that_will_not_pass_is_raised_at_once() -> None:
    sleeper = Sleeper()

    async def ask() -> str:
        raise ModelError("no", code="auth")

    with pytest.raises(ModelError, match="no"):
        await Pacer(sleep=sleeper).call(ask)
    assert sleeper.slept == []


async def test_an_absurd_wait_is_not_waited_for() -> None:
    sleeper = Sleeper()
    _, ask = failing(1, wait_s=86_400.0)
    with pytest.raises(ModelError, match="busy"):
        await Pacer(sleep=sleeper).call(ask)  # type: ignore[arg-type]
    assert sleeper.slept == []


async def test_all_callers_wait_when_one_is_asked_to() -> None:
    pacer = Pacer()
    _, limited = failing(1, wait_s=0.3)
    started: list[float] = []
    began = time.monotonic()

    async def other() -> str:
        started.append(time.monotonic() - began)
        return "ok"

    async def late() -> None:
        await asyncio.sleep(0.05)
        await pacer.call(other)

    async with asyncio.TaskGroup() as group:
        group.create_task(pacer.call(limited))  # type: ignore[arg-type]
        group.create_task(late())
    assert started[0] >= 0.3


async def test_no_more_calls_than_slots_are_under_way() -> None:
    pacer = Pacer(2)
    under_way = most = 0

    async def ask() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(pacer.call(ask))
    assert most == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "9", "retry-after-ms": "100"}, 0.1),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, None),
    ],
)
def test_the_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_asked_for(headers.get) == seconds


def test_a_date_to_come_is_seconds_from_now() -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    wait_s = wait_asked_for({"retry-after": date}.get)
    assert wait_s is not None
    assert 28 < wait_s <= 30
