from __future__ import annotations

import asyncio
import gc
import pickle
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from promptflow_lite.connections.base import Connection, Field
from promptflow_lite.engine.events import (
    Chunk,
    Event,
    LineEnded,
    LineStarted,
    Log,
    NodeEnded,
    NodeStarted,
)
from promptflow_lite.engine.line import run_line, run_node
from promptflow_lite.engine.results import Failure, Status
from promptflow_lite.errors import InputError, NodeError
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.tools.scope import NodeScope, Printed, current, is_streaming
from tests.engine.flows import flow, node


def scope() -> NodeScope:
    found = current.get()
    assert found is not None
    return found


def meeting(parties: int) -> Any:
    """A function that returns once `parties` of it run at the same time, and fails after five seconds."""
    barrier = threading.Barrier(parties)
    return lambda: barrier.wait(5) >= 0


def ameeting(parties: int) -> Any:
    """The same, as a coroutine function."""
    here = 0
    all_here = asyncio.Event()

    async def meet() -> bool:
        nonlocal here
        here += 1
        if here == parties:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 5)
        return True

    return meet


async def test_independent_sync_nodes_run_at_the_same_time() -> None:
    meet = meeting(3)
    result = await run_line(flow(*[node(f"n{i}", meet) for i in range(3)]), {})
    assert result.status is Status.Completed, result.error


async def test_independent_async_nodes_run_at_the_same_time() -> None:
    meet = ameeting(3)
    result = await run_line(flow(*[node(f"n{i}", meet) for i in range(3)]), {})
    assert result.status is Status.Completed, result.error


async def test_a_fork_in_the_middle_runs_at_the_same_time_too() -> None:
    meet, join = meeting(2), ameeting(2)

    async def after(x: bool) -> Any:
        return await join()

    def left(top: int) -> Any:
        return meet()

    bound = flow(
        node("top", lambda: 1),
        node("l", left, top="${top.output}"),
        node("r", left, top="${top.output}"),
        node("l2", after, x="${l.output}"),
        node("r2", after, x="${r.output}"),
        outputs={"y": "${r2.output}"},
    )
    result = await run_line(bound, {})
    assert (result.status, result.outputs) == (Status.Completed, {"y": True})


async def test_many_lines_share_the_threads() -> None:
    meet = meeting(8)
    bound = flow(node("n", meet))
    results = await asyncio.gather(*[run_line(bound, {}, line_number=i) for i in range(8)])
    assert [r.status for r in results] == [Status.Completed] * 8
    before = threading.active_count()
    await asyncio.gather(*[run_line(bound, {}, line_number=i) for i in range(8)])
    assert threading.active_count() <= before


async def test_a_failing_node_cancels_its_running_siblings() -> None:
    stopped = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def broken() -> None:
        await asyncio.sleep(0)
        raise LookupError("nothing there")

    async with asyncio.timeout(60):
        result = await run_line(flow(node("slow", slow), node("broken", broken)), {})
    assert stopped.is_set()
    assert {name: run.status for name, run in result.node_runs.items()} == {
        "slow": Status.Canceled,
        "broken": Status.Failed,
    }
    assert result.error is not None
    assert (result.error.code, result.error.node) == ("node-error", "broken")
    assert result.error.message == "LookupError: nothing there"


async def test_a_failure_keeps_the_frames_of_the_user_only() -> None:
    def deep() -> int:
        return 1 // 0

    def broken() -> int:
        return deep()

    result = await run_line(flow(node("n", broken)), {})
    assert result.error is not None
    assert result.error.traceback is not None
    assert [
        line.split('", line')[0].strip() for line in result.error.traceback.splitlines() if "File" in line
    ] == [f'File "{__file__}'] * 2
    assert result.error.traceback.rstrip().endswith("ZeroDivisionError: integer division or modulo by zero")


async def test_a_node_error_keeps_its_code_and_details() -> None:
    def refused() -> None:
        error = NodeError("too many requests", code="rate-limited")
        error.details = {"status": 429}  # type: ignore[attr-defined]  # what tools.llm adds
        raise error

    error = (await run_line(flow(node("n", refused)), {})).error
    assert error is not None
    assert error == Failure("rate-limited", "too many requests", "n", error.traceback, {"status": 429})


async def test_an_exception_that_cannot_say_what_it_is_is_a_failure_like_any_other() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def broken(size: int) -> None:
        raise ValueError("x" * size) if size else Broken

    async def message(size: int) -> str:
        result = await run_line(flow(node("n", broken, size=size)), {})
        assert result.error is not None
        return result.error.message

    assert (await message(0)).startswith("Broken: <")
    assert len(await message(10_000_000)) < 20_000


async def test_a_node_error_of_the_house_has_no_traceback() -> None:
    bound = flow(node("a", dict), node("n", lambda k: k, k="${a.output.k}"))
    result = await run_line(bound, {})
    assert result.error is not None
    assert (result.error.code, result.error.traceback) == ("bad-property", None)


async def test_a_line_over_its_time_fails_and_names_who_was_running() -> None:
    async def slow() -> None:
        await asyncio.sleep(30)

    result = await run_line(flow(node("quick", lambda: 1), node("slow", slow)), {}, timeout_s=0.05)
    assert result.status is Status.Failed
    assert result.error is not None
    assert (result.error.code, result.error.node) == ("timeout", "slow")
    assert result.node_runs["slow"].status is Status.Canceled


async def test_a_stuck_thread_does_not_hold_a_line_beyond_its_time() -> None:
    release = threading.Event()
    result = await run_line(flow(node("stuck", lambda: release.wait(30))), {}, timeout_s=0.05)
    release.set()
    assert result.error is not None
    assert result.error.code == "timeout"
    assert result.seconds < 5


async def test_cancelling_a_line_raises_and_stops_its_nodes() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()

    events: list[Event] = []
    line = asyncio.create_task(run_line(flow(node("n", slow), node("m", slow)), {}, emit=events.append))
    await began.wait()
    line.cancel()
    with pytest.raises(asyncio.CancelledError):
        await line
    assert stopped.is_set()
    ended = [event.run.status for event in events if isinstance(event, NodeEnded)]
    assert ended == [Status.Canceled, Status.Canceled]


async def test_events_come_in_order() -> None:
    def parts() -> Iterator[str]:
        yield "a"
        yield "b"

    events: list[Event] = []
    bound = flow(
        node("parts", parts),
        node("quiet", parts),
        inputs={"x": FlowInput("int", default=1)},
        outputs={"y": "${parts.output}", "z": "${parts.output}"},
    )
    result = await run_line(bound, {"other": 1}, line_number=7, emit=events.append)
    parts_run = result.node_runs["parts"]
    assert events[0] == LineStarted(7)
    assert isinstance(events[1], Log)
    assert events[-1] == LineEnded(result)
    assert [
        e for e in events if getattr(e, "node", None) == "parts" or getattr(e, "run", None) is parts_run
    ] == [
        NodeStarted("parts", 7),
        Chunk("parts", ("y", "z"), "a"),
        Chunk("parts", ("y", "z"), "b"),
        NodeEnded(parts_run, 7),
    ]
    assert not [e for e in events if isinstance(e, Chunk) and e.node == "quiet"]


async def test_only_nodes_that_feed_an_output_are_asked_to_stream() -> None:
    async def ask() -> AsyncIterator[str]:
        yield str(is_streaming())

    bound = flow(node("a", ask), node("b", ask), outputs={"y": "${a.output}"})
    streamed = await run_line(bound, {}, stream=True)
    assert {run.node: run.output for run in streamed.node_runs.values()} == {"a": "True", "b": "False"}
    plain = await run_line(bound, {})
    assert plain.outputs == {"y": "False"}


async def test_an_async_generator_that_is_cut_short_is_closed() -> None:
    closed = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(30)
        finally:
            closed.set()

    result = await run_line(flow(node("n", parts)), {}, timeout_s=0.05)
    assert result.error is not None
    assert closed.is_set()


async def test_prints_go_to_the_line_and_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    def sync(x: int) -> int:
        print("sync", x)
        return x

    async def later(x: int) -> int:
        print("async", x, file=sys.stderr)
        return x

    bound = flow(
        node("a", sync, x="${inputs.x}"), node("b", later, x="${a.output}"), inputs={"x": FlowInput("int")}
    )
    out = sys.stdout
    results = await asyncio.gather(*[run_line(bound, {"x": i}) for i in range(5)])
    assert [r.logs for r in results] == [f"sync {i}\nasync {i}\n" for i in range(5)]
    assert sys.stdout is out
    assert capsys.readouterr() == ("", "")


async def test_a_flood_of_prints_is_cut_and_counted() -> None:
    result = await run_line(flow(node("n", lambda: print("x" * 1_000_000))), {})
    assert len(result.logs) < Printed.LIMIT + 100
    assert f"[{1_000_001 - Printed.LIMIT} more characters" in result.logs


async def test_usage_of_the_nodes_adds_up() -> None:
    def asks(model: str) -> str:
        usage = scope().usage
        usage.prompt_tokens += 10
        usage.completion_tokens += 2
        usage.calls += 1
        scope().model = model
        return "answer"

    result = await run_line(
        flow(node("a", asks, model="m1"), node("b", asks, model="m2"), node("c", lambda: 1)), {}
    )
    assert (result.usage.prompt_tokens, result.usage.completion_tokens, result.usage.calls) == (20, 4, 2)
    assert (result.node_runs["a"].model, result.node_runs["c"].usage) == ("m1", None)


async def test_a_record_shows_a_connection_by_its_name() -> None:
    class Key(Connection):
        TYPE = "key"
        FIELDS = (Field("api_key", secret=True),)

    def asks(conn: Connection, x: int) -> str:
        return f"{conn.api_key[:2]}{x}"

    bound = flow(node("n", asks, conn=Key("mine", api_key="sk-123"), x=1), outputs={"y": "${n.output}"})
    result = await run_line(bound, {})
    assert result.outputs == {"y": "sk1"}
    assert result.node_runs["n"].inputs == {"conn": "mine", "x": 1}
    alone = await run_node(bound, "n", {})
    assert alone.inputs == {"conn": "mine", "x": 1}


async def test_wrong_inputs_raise_before_anything_runs() -> None:
    bound = flow(
        node("n", lambda x: x, x="${inputs.x}"), inputs={"x": FlowInput("int"), "y": FlowInput("list")}
    )
    with pytest.raises(InputError) as raised:
        await run_line(bound, {"x": "three", "y": 1})
    assert "inputs.x" in str(raised.value)
    assert "inputs.y" in str(raised.value)


async def test_a_thread_has_the_context_of_its_node() -> None:
    def who() -> str:
        return scope().node

    result = await run_line(flow(node("a", who), node("b", who)), {})
    assert {run.node: run.output for run in result.node_runs.values()} == {"a": "a", "b": "b"}
    assert current.get() is None


async def test_a_line_leaves_no_cycles_behind() -> None:
    bound = flow(node("a", lambda: 1), node("b", lambda a: a, a="${a.output}"))
    await run_line(bound, {})
    while gc.collect():  # what others left may take several rounds: SQLAlchemy's registries are a chain
        pass
    gc.disable()
    try:
        for _ in range(20):
            await run_line(bound, {})
        assert gc.collect() < 20  # other threads may leave some; a line leaves none
    finally:
        gc.enable()


class TestRunNode:
    """One node by itself."""

    async def test_values_go_by_any_of_their_names(self) -> None:
        bound = flow(
            node("a", lambda x: {"k": x}, x="${inputs.x}"),
            node("b", lambda p, q, r=0: [p, q, r], p="${a.output.k}", q="${inputs.x}", r=5),
            inputs={"x": FlowInput("int")},
        )
        for given in (
            {"inputs.x": "3", "a.output": '{"k": 1}'},
            {"x": 3, "p": 1},
            {"q": "3", "a.output.k": 1},
        ):
            run = await run_node(bound, "b", given)
            assert (run.status, run.output) == (Status.Completed, [1, 3, 5]), run.error

    async def test_a_literal_can_be_replaced(self) -> None:
        assert (await run_node(flow(node("n", lambda x: x, x=1)), "n", {"x": 2})).output == 2

    async def test_all_that_is_missing_is_named(self) -> None:
        bound = flow(
            node("a", lambda: 1),
            node("b", lambda p, q: p, p="${a.output}", q="${inputs.x}"),
            inputs={"x": FlowInput("int")},
        )
        with pytest.raises(InputError) as raised:
            await run_node(bound, "b", {})
        assert raised.value.code == "missing-input"
        assert "p (a.output), q (inputs.x)" in str(raised.value)

    async def test_an_unknown_node_suggests_the_near_one(self) -> None:
        with pytest.raises(InputError) as raised:
            await run_node(flow(node("classify", lambda: 1)), "clasify", {})
        assert raised.value.hint == "did you mean 'classify'?"

    async def test_its_condition_does_not_count(self) -> None:
        bound = flow(node("n", lambda: 1, activate=("${inputs.go}", True)), inputs={"go": FlowInput("bool")})
        assert (await run_node(bound, "n", {})).status is Status.Completed

    async def test_it_keeps_what_was_printed(self) -> None:
        assert (await run_node(flow(node("n", lambda: print("hi"))), "n", {})).logs == "hi\n"


def counted() -> Iterator[int]:
    yield from range(3)


async def acounted() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@pytest.mark.parametrize("source", [counted, acounted])
async def test_who_reads_a_generator_gets_its_parts_and_the_output_its_text(source: Any) -> None:
    def total(parts: Any) -> int:
        return sum(parts)

    async def asked(parts: Any) -> list[int]:
        return [part async for part in parts]

    bound = flow(
        node("parts", source),
        node("total", total, parts="${parts.output}"),
        node("asked", asked, parts="${parts.output}"),
        outputs={"text": "${parts.output}", "total": "${total.output}", "asked": "${asked.output}"},
    )
    result = await run_line(bound, {})
    assert result.outputs == {"text": "012", "total": 3, "asked": [0, 1, 2]}
    assert pickle.loads(pickle.dumps(result.outputs["text"])) == "012"


async def test_a_generator_in_a_mapping_is_gone_through_too() -> None:
    def answer() -> dict[str, Any]:
        return {"answer": counted(), "from": "python"}

    bound = flow(node("a", answer), outputs={"answer": "${a.output.answer}", "whole": "${a.output}"})
    result = await run_line(bound, {})
    assert result.outputs == {"answer": "012", "whole": {"answer": "012", "from": "python"}}
