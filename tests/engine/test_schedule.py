from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import Status
from promptflow_lite.engine.schedule import BYPASSED, Schedule, Step, plan_of
from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.tools.tool import BoundFlow
from tests.engine.flows import flow, node
from tests.strategies import bound_graphs


def one(x: Any = None) -> int:
    return 1


def names(steps: list[Step]) -> list[str]:
    return [step.name for step in steps]


def walked(bound: BoundFlow, go: bool, choose: Any) -> dict[str, Any]:
    """The value of every node when ready steps complete in the order that `choose` says."""
    schedule = Schedule(plan_of(bound, aggregation=False), {"go": go})
    values: dict[str, Any] = {}
    waiting: list[Step] = []
    while True:
        ready, bypassed = schedule.advance()
        waiting += ready
        for step in bypassed:
            assert step.name not in values
            values[step.name] = BYPASSED
        if not waiting:
            return values
        step = waiting.pop(choose(len(waiting)))
        assert step.name not in values
        values[step.name] = 1 + sum(value or 0 for value in schedule.arguments(step).values())
        schedule.complete(step, values[step.name])


@given(bound_graphs(), st.booleans(), st.data())
def test_the_outcome_does_not_depend_on_the_order_of_completion(
    bound: BoundFlow, go: bool, data: st.DataObject
) -> None:
    first_come = walked(bound, go, lambda count: 0)
    any_order = walked(bound, go, lambda count: data.draw(st.integers(0, count - 1)))
    assert any_order == first_come
    assert first_come.keys() == bound.nodes.keys()


@given(bound_graphs(), st.booleans())
def test_every_node_of_a_line_ends_in_one_status(bound: BoundFlow, go: bool) -> None:
    result = asyncio.run(run_line(bound, {"go": go}))
    expected = walked(bound, go, lambda count: 0)
    assert result.status is Status.Completed
    assert {name: run.output for name, run in result.node_runs.items()} == {
        name: None if value is BYPASSED else value for name, value in expected.items()
    }
    assert {name for name, run in result.node_runs.items() if run.status is Status.Bypassed} == {
        name for name, value in expected.items() if value is BYPASSED
    }


def test_a_node_is_ready_once_all_it_reads_is_settled() -> None:
    bound = flow(node("a", one), node("b", one), node("c", lambda a, b: a, a="${a.output}", b="${b.output}"))
    schedule = Schedule(plan_of(bound, aggregation=False), {})
    ready, _ = schedule.advance()
    assert names(ready) == ["a", "b"]
    schedule.complete(ready[0], 1)
    assert schedule.advance() == ([], [])
    schedule.complete(ready[1], 2)
    after, _ = schedule.advance()
    assert names(after) == ["c"]
    assert schedule.arguments(after[0]) == {"a": 1, "b": 2}


def test_bypassing_reaches_its_fixed_point_in_one_call() -> None:
    bound = flow(
        node("a", one, activate=("${inputs.go}", True)),
        node("b", one, x="${a.output}"),
        node("c", one, x="${b.output}"),
        inputs={"go": FlowInput("bool")},
    )
    ready, bypassed = Schedule(plan_of(bound, aggregation=False), {"go": False}).advance()
    assert (names(ready), names(bypassed)) == ([], ["a", "b", "c"])


def test_a_condition_that_cannot_be_compared_fails_its_node() -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]  # as arrays have it

    bound = flow(node("a", one), node("b", one, activate=("${a.output}", 1)))
    schedule = Schedule(plan_of(bound, aggregation=False), {})
    ready, _ = schedule.advance()
    schedule.complete(ready[0], Array())
    ready, bypassed = schedule.advance()
    assert (names(ready), bypassed) == (["b"], [])
    with pytest.raises(InputError) as raised:
        schedule.arguments(ready[0])
    assert raised.value.code == "bad-activate"


def test_a_plan_is_compiled_once_a_flow() -> None:
    bound = flow(node("a", one))
    assert plan_of(bound, aggregation=False) is plan_of(bound, aggregation=False)
