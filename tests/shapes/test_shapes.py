"""Every shape of graph: a flow, its lines, and what has to come of them.

A shape is a folder: `flow.dag.yaml` with its tools, `lines.jsonl`, and `expected.json`:

    lines         for each line its status, the status of each node, and its outputs or its error
    chunks        for each line the parts that were streamed (optional)
    variants      the variants to choose (optional)
    aggregation   metrics, the status and output of each node, the error (optional)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.events import Chunk, Event
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, Status
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.variants import choose_variants
from promptflow_lite.tools.bind import bind, close
from tests.strategies import NoConnections

SHAPES = sorted(path.parent for path in Path(__file__).parent.glob("*/flow.dag.yaml"))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda path: path.name)
async def test_a_shape_gives_what_it_says(shape: Path) -> None:
    expected = json.loads((shape / "expected.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (shape / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    flow = choose_variants(load_flow(shape), expected.get("variants", {}))
    bound = bind(flow, NoConnections())
    try:
        results, chunks = [], []
        for number, inputs in enumerate(lines):
            events: list[Event] = []
            results.append(await run_line(bound, inputs, line_number=number, emit=events.append))
            chunks.append([event.text for event in events if isinstance(event, Chunk)])
        assert [_told(result) for result in results] == expected["lines"]
        assert chunks == expected.get("chunks", [[] for _ in lines])
        if "aggregation" in expected:
            assert _aggregated(await aggregate(bound, results)) == expected["aggregation"]
    finally:
        await close(bound)


def _told(result: LineResult) -> dict[str, Any]:
    told: dict[str, Any] = {"status": result.status.value}
    if result.error is None:
        told["outputs"] = result.outputs
    else:
        told["error"] = _error(result.error)
    told["nodes"] = {name: run.status.value for name, run in sorted(result.node_runs.items())}
    return told


def _aggregated(result: AggregationResult) -> dict[str, Any]:
    told: dict[str, Any] = {
        "metrics": result.metrics,
        "nodes": {name: run.status.value for name, run in sorted(result.node_runs.items())},
    }
    if result.error is None:
        runs = result.node_runs.values()
        told["outputs"] = {run.node: run.output for run in runs if run.status is Status.Completed}
    else:
        told["error"] = _error(result.error)
    return told


def _error(error: Failure) -> dict[str, Any]:
    return {"code": error.code, "node": error.node}
