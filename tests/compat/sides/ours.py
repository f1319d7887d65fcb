"""Our side: the same cases, by the floors that `pf flow test` and `pf run create` stand on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.files import make
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import LineResult
from promptflow_lite.errors import FlowError, InputError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.variants import choose_variants, parse_choice
from promptflow_lite.tools.bind import bind
from tests.compat.sides import forked
from tests.compat.sides.scripted import SECRETS, Scripted, configs, kind_of, surround


class _Every(list[str]):
    def __contains__(self, name: object) -> bool:
        return True


class Provider:
    """A connection for each name, to the scripted model."""

    def __init__(self, url: str) -> None:
        self._url = url

    def names(self) -> list[str]:
        """Every name is one."""
        return _Every()

    def get(self, name: str) -> Connection:
        """The connection that the name is made to be."""
        url = self._url
        bodies: dict[str, dict[str, Any]] = {
            "custom": {"type": "custom", "configs": configs(url), "secrets": SECRETS},
            "azure": {
                "type": "azure_open_ai",
                "api_key": "k",
                "api_base": url,
                "api_version": "2024-02-01",
            },
            "serverless": {"type": "serverless", "api_key": "k", "api_base": url},
            "serp": {"type": "serp", "api_key": "k"},
            "openai": {"type": "open_ai", "api_key": "k", "base_url": f"{url}/v1"},
        }
        return make(name, bodies[kind_of(name)], os.environ)


def dag(case: dict[str, Any]) -> dict[str, Any]:
    """What came of a flow.dag.yaml: lines, then the aggregation over the completed ones."""
    server = Scripted(case.get("answer"), case.get("status", 200))
    surround(server.url)
    variant = case.get("variant")
    flow = choose_variants(load_flow(case["path"]), dict([parse_choice(variant)]) if variant else {})
    errors = [complaint for complaint in check(flow) if complaint.severity == "error"]
    if errors:
        raise FlowError(errors)
    bound = bind(flow, Provider(server.url))

    async def run() -> dict[str, Any]:
        results: list[LineResult] = []
        lines: list[dict[str, Any]] = []
        for number, inputs in enumerate(case["lines"]):
            try:
                result = await run_line(bound, inputs, line_number=number)
            except InputError as error:
                lines.append({"status": "Failed", "error": str(error)})
                continue
            results.append(result)
            lines.append(_line(result))
        outcome: dict[str, Any] = {"lines": lines}
        if any(node.aggregation for node in flow.nodes):
            over = await aggregate(bound, results)
            outcome["metrics"] = over.metrics
            outcome["aggregation"] = {
                name: [run.status.value, run.output] for name, run in over.node_runs.items()
            }
        return outcome

    return {**asyncio.run(run()), "wire": server.requests}


def _line(result: LineResult) -> dict[str, Any]:
    line: dict[str, Any] = {
        "status": result.status.value,
        "outputs": result.outputs,
        "nodes": {name: [run.status.value, run.output] for name, run in result.node_runs.items()},
    }
    return line if result.error is None else {**line, "error": f"{result.error.code}: {result.error.message}"}


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"dag": dag}
"""By a case's `kind`, what runs it."""


def refused(error: BaseException) -> str:
    """What we say where we refuse a flow as a whole."""
    if isinstance(error, FlowError):
        said = (f"{d.mark.line if d.mark else '?'}: {d.code}: {d.message}" for d in error.diagnostics)
        return "; ".join(said)
    return f"{type(error).__name__}: {str(error)[:600]}"


if __name__ == "__main__":
    from tests.compat.sides import ours_code

    kinds = {**KINDS, **ours_code.KINDS}
    forked.main(lambda case: kinds[case["kind"]](case), refused)
