from __future__ import annotations

import threading
from typing import Any

from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import AggregationResult, LineResult, NodeRun, Status
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.tools.scope import log_metric
from tests.engine.flows import flow, node


def line(number: int | None, output: Any, status: Status = Status.Completed) -> LineResult:
    return LineResult(number, status, {"x": number}, node_runs={"n": NodeRun("n", status, output=output)})


async def test_lists_are_in_line_number_order() -> None:
    seen: list[Any] = []
    bound = flow(
        node("n", lambda: 1),
        node(
            "all", lambda ns, xs: seen.append((ns, xs)), aggregation=True, ns="${n.output}", xs="${inputs.x}"
        ),
        inputs={"x": FlowInput("int")},
    )
    await aggregate(bound, [line(2, "c"), line(0, "a"), line(1, "b", Status.Failed)])
    assert seen == [(["a", "c"], [0, 2])]


async def test_a_flow_without_aggregation_has_no_metrics() -> None:
    assert await aggregate(flow(node("n", lambda: 1)), [line(0, 1)]) == AggregationResult()


async def test_independent_aggregations_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2)

    def meet(ns: list[int]) -> None:
        barrier.wait(5)
        log_metric(f"m{sum(ns)}", 1)

    bound = flow(
        node("n", lambda: 1),
        node("a", meet, aggregation=True, ns="${n.output}"),
        node("b", meet, aggregation=True, ns="${n.output}"),
    )
    result = await aggregate(bound, [line(0, 1)])
    assert (result.error, result.metrics) == (None, {"m1": 1})


async def test_a_property_that_a_line_lacks_is_an_error_of_the_aggregation() -> None:
    bound = flow(node("n", lambda: 1), node("a", lambda k: k, aggregation=True, k="${n.output.k}"))
    result = await aggregate(bound, [line(0, {"k": 1}), line(1, {})])
    assert result.error is not None
    assert result.error.code == "bad-property"


async def test_aggregations_of_bypassed_aggregations_are_bypassed() -> None:
    bound = flow(
        node("a", lambda: 1, aggregation=True, activate=("${inputs.x}", "never")),
        node("b", lambda a: a, aggregation=True, a="${a.output}"),
        inputs={"x": FlowInput("int")},
    )
    result = await aggregate(bound, [line(0, 1)])
    assert {name: run.status for name, run in result.node_runs.items()} == {
        "a": Status.Bypassed,
        "b": Status.Bypassed,
    }


async def test_what_was_printed_is_kept() -> None:
    bound = flow(node("a", lambda: print("done"), aggregation=True))
    assert (await aggregate(bound, [])).logs == "done\n"


async def test_a_line_does_not_run_aggregation_nodes() -> None:
    bound = flow(node("n", lambda: 1), node("a", lambda n: n, aggregation=True, n="${n.output}"))
    assert list((await run_line(bound, {})).node_runs) == ["n"]
