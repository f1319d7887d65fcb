"""Callers of one model slow down together, at the rate that it bears, and give up in the end."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from promptflow_lite.tools.clock import Clock
from promptflow_lite.tools.failure import ModelError, seconds_of, wait_asked_for
from promptflow_lite.tools.limit import Limit
from promptflow_lite.tools.pacing import Pacer, Throttled
from tests import virtual_time


def failing(times: int, **error: object) -> tuple[list[float], Callable[[], Awaitable[str]]]:
    """A call that fails so often, and when it was tried."""
    tries: list[float] = []
    facts = {"code": "server-error", "retryable": True, **error}

    async def ask() -> str:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) <= times:
            raise ModelError("busy", **facts)  # type: ignore[arg-type]
        return "ok"

    return tries, ask


def refusing(times: int, wait_s: float | None = None) -> tuple[list[float], Callable[[], Awaitable[str]]]:
    return failing(times, code="rate-limited", slows=True, wait_s=wait_s, details={"status": 429})


def gaps(times: list[float]) -> list[float]:
    return [round(later - sooner, 3) for sooner, later in pairwise(times)]


def test_a_failure_that_may_pass_is_tried_again_after_growing_waits() -> None:
    tries, ask = failing(4)
    assert virtual_time.run(Pacer(jitter=lambda: 1.0).call(ask)) == "ok"
    assert gaps(tries) == [0.5, 1.0, 2.0, 4.0]


def test_tries_are_bounded_in_number_and_in_time() -> None:
    tries, ask = failing(10**6)
    with pytest.raises(ModelError, match="busy"):
        virtual_time.run(Pacer(jitter=lambda: 0.0).call(ask))
    assert len(tries) == 24
    tries, ask = failing(10**6)
    with pytest.raises(ModelError, match="busy"):
        virtual_time.run(Pacer(jitter=lambda: 1.0).call(ask))
    assert 500 < tries[-1] - tries[0] <= 600


def test_who_waits_for_an_endpoint_that_fails_is_told_why(caplog: pytest.LogCaptureFixture) -> None:
    _, ask = failing(2)
    virtual_time.run(Pacer(jitter=lambda: 1.0).call(ask))
    assert not caplog.messages
    _, ask = failing(6)
    virtual_time.run(Pacer(jitter=lambda: 1.0).call(ask))
    assert caplog.messages == ["busy; trying again, for 10 minutes at most"]


def test_refusals_are_bounded_in_number() -> None:
    tries, ask = refusing(10**6)
    with pytest.raises(ModelError, match="busy"):
        virtual_time.run(Pacer().call(ask))
    assert len(tries) == 40


def test_a_failure_that_will_not_pass_is_raised_at_once() -> None:
    tries, ask = failing(1, retryable=False, code="auth")
    with pytest.raises(ModelError, match="busy"):
        virtual_time.run(Pacer().call(ask))
    assert len(tries) == 1


def test_a_pause_is_never_shorter_than_the_endpoint_asked() -> None:
    tries, ask = refusing(3, wait_s=7.0)
    virtual_time.run(Pacer(jitter=lambda: 0.0).call(ask))
    assert all(gap >= 7.0 for gap in gaps(tries))


def test_a_pause_of_more_than_ten_minutes_is_not_waited_for_where_nobody_is_told() -> None:
    tries, ask = refusing(1, wait_s=3600.0)
    with pytest.raises(ModelError, match="busy"):
        virtual_time.run(Pacer().call(ask))
    assert len(tries) == 1


def test_a_run_waits_an_hour_and_says_until_when() -> None:
    told: list[Throttled] = []
    tries, ask = refusing(1, wait_s=3600.0)
    virtual_time.run(Pacer(name="mine", listeners=[told.append]).call(ask))
    assert 3600 <= gaps(tries)[0] <= 3601.1
    assert told[0].name == "mine"
    assert told[0].until == pytest.approx(time.time() + 3600, abs=5)


def test_an_absurd_pause_is_not_waited_for() -> None:
    tries, ask = refusing(1, wait_s=1e12)
    with pytest.raises(ModelError, match="busy"):
        virtual_time.run(Pacer(listeners=[lambda throttled: None]).call(ask))
    assert len(tries) == 1


def test_all_callers_wait_when_one_is_asked_to() -> None:
    async def both() -> list[float]:
        pacer = Pacer()
        _, limited = refusing(1, wait_s=3.0)
        others, other = failing(0)

        async def late() -> None:
            await asyncio.sleep(0.5)
            await pacer.call(other)

        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            group.create_task(pacer.call(limited))
            group.create_task(late())
        return [at - began for at in others]

    assert virtual_time.run(both())[0] >= 3.0


def learned(now: float) -> Limit:
    """A limit that was refused twice, half a minute ago and a little later."""
    limit = Limit()
    for sent_at in (now - 30.0, now - 20.0):
        limit.take(sent_at)
        limit.refused(sent_at + 0.1, sent_at, 1.0)
        limit.admitted(sent_at + 2.0)
    return limit


def test_a_lone_short_pause_is_the_refused_calls_once_the_rate_is_known() -> None:
    limit = learned(100.0)
    assert limit.refused(100.2, 100.0, 1.0) == 1.0
    assert limit.closed_until() <= 100.2
    assert limit.refused(100.3, 100.1, 1.0) == 1.0, "it had left before the first was heard"
    assert limit.closed_until() <= 100.3


def test_what_is_sure_of_a_rounded_pause_is_everybodys() -> None:
    limit = learned(100.0)
    assert limit.refused(100.2, 100.0, 2.0) == 2.0
    assert limit.closed_until() == pytest.approx(101.2)
    assert limit.take(100.5) > 0.0


def test_a_short_pause_that_is_exact_is_everybodys() -> None:
    limit = learned(100.0)
    assert limit.refused(100.2, 100.0, 0.9) == 0.0
    assert limit.closed_until() == pytest.approx(101.1)


@pytest.mark.parametrize(("admitted", "is_cut"), [(60, False), (5, True)])
def test_a_refusal_in_fifty_is_chance_and_more_are_not(admitted: int, is_cut: bool) -> None:
    limit, now = learned(100.0), 100.0
    for calls in (60, admitted):
        now += 1.0
        for _ in range(calls):
            while wait_s := limit.take(now):
                now += wait_s
            limit.admitted(now)
        before = limit.rate(now + 0.2)
        limit.refused(now + 0.2, now, None)
    assert (limit.rate(now + 0.2) < 0.98 * before) == is_cut


def test_a_second_refusal_within_a_lone_pause_makes_all_wait() -> None:
    limit = learned(100.0)
    limit.refused(100.2, 100.0, 1.0)
    assert limit.refused(100.7, 100.5, 1.0) == 0.0
    assert limit.closed_until() == pytest.approx(101.7)


def test_a_longer_pause_is_everybodys() -> None:
    limit = learned(100.0)
    assert limit.refused(100.2, 100.0, 5.0) == 0.0
    assert limit.closed_until() == pytest.approx(105.2)


def test_a_call_that_waits_alone_leaves_no_earlier_than_asked_and_the_others_before() -> None:
    async def scene() -> tuple[list[float], list[float]]:
        clock = asyncio.get_running_loop().time
        pacer = Pacer(limit=learned(clock()), jitter=lambda: 0.0)
        tries, limited = refusing(1, wait_s=1.0)
        others, other = failing(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(pacer.call(limited))
            group.create_task(pacer.call(other))
        return tries, others

    tries, others = virtual_time.run(scene())
    assert gaps(tries)[0] >= 1.0
    assert others[0] < tries[1]


def test_what_an_endpoint_makes_a_line_wait_is_not_the_lines_time() -> None:
    async def line() -> str:
        _, ask = refusing(2, wait_s=100.0)
        with Clock.after(5, stops=True):
            return await Pacer().call(ask)

    assert virtual_time.run(line()) == "ok"


def test_a_call_that_is_cancelled_in_line_leaves_its_place_to_the_next() -> None:
    async def scene() -> list[str]:
        pacer = Pacer(limit=Limit(requests_per_minute=60))
        done: list[str] = []

        async def ask(name: str) -> None:
            async def say() -> None:
                done.append(name)

            await pacer.call(say)

        tasks = [asyncio.create_task(ask(name)) for name in "abcd"]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        await asyncio.sleep(1.0)
        seen = list(done)
        await asyncio.sleep(5.0)
        assert done == ["a", "c", "d"]
        return seen

    assert virtual_time.run(scene()) == ["a", "c"]


def test_calls_that_are_cancelled_in_line_together_say_only_that() -> None:
    async def scene() -> set[str]:
        pacer = Pacer(limit=Limit(requests_per_minute=6))
        _, ask = failing(0)
        tasks = [asyncio.create_task(pacer.call(ask)) for _ in range(32)]
        await asyncio.sleep(1.0)
        for task in tasks:
            task.cancel()
        return {type(said).__name__ for said in await asyncio.gather(*tasks, return_exceptions=True)}

    assert virtual_time.run(scene()) == {"str", "CancelledError"}


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


class Endpoint:
    """Admits `rate` calls a second: a bucket that holds `burst` of them, or windows of so many seconds."""

    def __init__(
        self,
        rate: float,
        *,
        burst: float = 0.0,
        window_s: float = 0.0,
        sliding_s: float = 0.0,
        late_s: float = 0.0,
        asks: str,
    ) -> None:
        self.rate, self.burst, self.window_s, self.asks = rate, burst, window_s, asks
        self.late_s = late_s
        self.level, self.at, self.window = burst, 0.0, -1
        self.sliding_s = sliding_s
        self.let_in: deque[float] = deque()
        self.heard: list[tuple[float, bool]] = []
        self._random = random.Random(7)

    async def ask(self) -> None:
        await asyncio.sleep(0.002)
        now = asyncio.get_running_loop().time()
        if self.window_s:
            window = int(now / self.window_s)
            if window != self.window:
                self.window, self.level = window, self.rate * self.window_s
            opens_s = (window + 1) * self.window_s - now
        elif self.sliding_s:
            while self.let_in and self.let_in[0] <= now - self.sliding_s:
                self.let_in.popleft()
            self.level = self.rate * self.sliding_s - len(self.let_in)
            opens_s = (self.let_in[0] if self.let_in else now) + self.sliding_s - now
        else:
            self.level = min(self.burst, self.level + (now - (self.at or now)) * self.rate)
            self.at = now
            opens_s = (1 - self.level) / self.rate
        is_in = self.level >= 1
        self.heard.append((now, is_in))
        if not is_in:
            await asyncio.sleep(self.late_s)
            wait_s = {"none": None, "seconds": float(-(-opens_s // 1)), "ms": opens_s}[self.asks]
            raise ModelError(
                "slow down",
                code="rate-limited",
                retryable=True,
                slows=True,
                wait_s=wait_s,
                details={"status": 429},
            )
        self.level -= 1
        self.let_in.append(now)
        await asyncio.sleep(self._random.uniform(0.1, 0.5))


async def run_for(seconds: float, endpoint: Endpoint, in_flight: int) -> tuple[float, float]:
    """What share of the rate was reached after ten seconds, and what share of calls was refused."""
    clock = asyncio.get_running_loop().time
    began, pacer = clock(), Pacer(jitter=random.Random(3).random)

    async def work() -> None:
        while True:
            await pacer.call(endpoint.ask)

    tasks = [asyncio.create_task(work()) for _ in range(in_flight)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    late = [is_in for at, is_in in endpoint.heard if at - began > 10]
    return sum(late) / (seconds - 10) / endpoint.rate, 1 - sum(late) / len(late)


@pytest.mark.parametrize("asks", ["none", "seconds", "ms"])
@pytest.mark.parametrize("shape", ["small bucket", "bucket", "window"])
@pytest.mark.parametrize(("rate", "in_flight"), [(5, 16), (20, 64), (100, 64)])
def test_nine_tenths_of_a_rate_are_reached_and_few_calls_refused(
    asks: str, shape: str, rate: float, in_flight: int
) -> None:
    shapes = {
        "small bucket": {"burst": max(1.0, rate / 10)},
        "bucket": {"burst": rate},
        "window": {"window_s": 1.0},
    }
    endpoint = Endpoint(rate, asks=asks, **shapes[shape])
    reached, refused = virtual_time.run(run_for(70, endpoint, in_flight))
    assert reached >= 0.9
    assert refused <= 0.05


@pytest.mark.parametrize("asks", ["none", "seconds", "ms"])
@pytest.mark.parametrize("burst", [0.1, 1.0])
@pytest.mark.parametrize("rate", [20, 50])
def test_refusals_that_are_heard_late_do_not_hide_the_next_ones(asks: str, burst: float, rate: float) -> None:
    endpoint = Endpoint(rate, asks=asks, burst=burst * rate, late_s=0.2)
    reached, refused = virtual_time.run(run_for(70, endpoint, 64))
    assert reached >= 0.9
    assert refused <= 0.05


@pytest.mark.parametrize("asks", ["none", "seconds", "ms"])
@pytest.mark.parametrize("shape", ["small bucket", "bucket", "sliding window"])
@pytest.mark.parametrize("rate", [20, 50])
def test_a_machine_that_stands_still_now_and_then_holds_the_rate(asks: str, shape: str, rate: float) -> None:
    """Calls that have piled up come together, and are refused for chance and not for the rate."""
    shapes: dict[str, dict[str, float]] = {
        "small bucket": {"burst": rate / 10},
        "bucket": {"burst": rate},
        "sliding window": {"sliding_s": 1.0},
    }
    endpoint = Endpoint(rate, asks=asks, late_s=0.2, **shapes[shape])
    reached, refused = virtual_time.run(run_for(40, endpoint, 64), stops=(1.0, 0.01, 0.06))
    assert reached >= 0.9
    assert refused <= 0.05


@pytest.mark.parametrize("asks", ["none", "seconds", "ms"])
@pytest.mark.parametrize("burst", [0.1, 1.0])
def test_a_start_from_which_too_little_is_learned_is_soon_made_up_for(asks: str, burst: float) -> None:
    endpoint = Endpoint(20, asks=asks, burst=burst * 20, late_s=0.7)
    reached, _ = virtual_time.run(run_for(40, endpoint, 64))
    assert reached >= 0.9


@pytest.mark.parametrize("asks", ["none", "seconds", "ms"])
@pytest.mark.parametrize("shape", ["window_s", "sliding_s"])
@pytest.mark.parametrize("rate", [5, 20, 50])
def test_windows_of_ten_seconds_are_used_evenly_also_where_they_do_not_say_when_they_end(
    asks: str, shape: str, rate: float
) -> None:
    endpoint = Endpoint(rate, asks=asks, late_s=0.2, **{shape: 10.0})
    reached, refused = virtual_time.run(run_for(70, endpoint, 64))
    assert reached >= 0.9
    assert refused <= 0.05


@pytest.mark.parametrize("shape", ["window_s", "sliding_s"])
def test_a_minute_that_does_not_say_when_it_ends_is_found(shape: str) -> None:
    endpoint = Endpoint(5, asks="none", late_s=0.2, **{shape: 60.0})
    began, end = 130.0, 310.0
    virtual_time.run(run_for(end, endpoint, 64))
    late = [is_in for at, is_in in endpoint.heard if at - 1000 > began]
    assert sum(late) / (end - began) / endpoint.rate >= 0.9
    assert 1 - sum(late) / len(late) <= 0.05


def left(limit: Limit, now: float) -> float:
    """When the next call leaves."""
    while wait_s := limit.take(now):
        now += wait_s
    return now


def shut(now: float) -> tuple[Limit, float]:
    """A limit that has heard four refusals in a row that said nothing, and when the last one was."""
    limit = Limit()
    for _ in range(20):
        limit.take(now)
        limit.admitted(now)
    for _ in range(4):
        sent_at = left(limit, now)
        now = sent_at + 0.05
        limit.refused(now, sent_at, None)
    return limit, now


def test_an_endpoint_that_stays_shut_is_asked_by_one_call_at_a_time() -> None:
    limit, now = shut(100.0)
    probe = left(limit, now)
    assert limit.take(probe) >= 0.1  # it has not been refused yet, and may be


def test_answers_to_calls_that_had_left_before_do_not_open_an_endpoint_that_is_shut() -> None:
    limit, now = shut(100.0)
    assert not limit.admitted(100.0)
    probe = left(limit, now)
    assert limit.take(probe) > 0.0
    assert limit.admitted(probe)
    assert limit.take(probe + 0.05) == 0.0


def test_a_call_that_is_not_refused_by_the_time_the_next_one_may_ask_was_let_in() -> None:
    """A model may think for minutes, and a refusal comes at once."""
    limit, now = shut(100.0)
    second = left(limit, left(limit, now))
    assert left(limit, second) - second < 0.05


def test_what_the_connection_allows_is_not_exceeded() -> None:
    async def scene() -> int:
        calls, ask = failing(0)
        pacer = Pacer(limit=Limit(requests_per_minute=120))

        async def work() -> None:
            while True:
                await pacer.call(ask)

        tasks = [asyncio.create_task(work()) for _ in range(8)]
        await asyncio.sleep(30)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return len(calls)

    assert 55 <= virtual_time.run(scene()) <= 61


def test_tokens_a_minute_are_not_exceeded() -> None:
    limit = Limit(tokens_per_minute=6000)
    now, calls = 100.0, 0
    while now < 160.0:
        if wait_s := limit.take(now):
            now += wait_s
        else:
            calls += 1
            limit.spent(200)
    assert 6000 / 200 <= calls <= 6000 / 200 + 4


def test_headers_that_say_nothing_is_left_make_callers_wait_for_what_they_need() -> None:
    limit = Limit()
    limit.observed(100.0, remaining=0, limit=60, reset_s=60.0, need=1.0)
    assert limit.take(100.0) == pytest.approx(1.0)
    limit = Limit()
    limit.observed(100.0, remaining=0, limit=None, reset_s=8.0, need=1.0)
    assert limit.take(100.0) == pytest.approx(8.0)
    limit = Limit()
    limit.observed(100.0, remaining=5, limit=60, reset_s=55.0, need=1.0)
    assert limit.take(100.0) == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("17ms", 0.017),
        ("1h2m3.5s", 3723.5),
        ("2", 2.0),
        ("soon", None),
        (None, None),
    ],
)
def test_lengths_of_time_are_read_as_the_headers_write_them(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))


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
