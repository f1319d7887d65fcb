"""Our side for flex flows and prompty files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from promptflow_lite import aliases
from promptflow_lite.connections.base import Connection
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import LineResult
from promptflow_lite.errors import ConnectionNotFound, FlowError, InputError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.init import give
from promptflow_lite.flow.load import load_flow
from promptflow_lite.tools import scope
from promptflow_lite.tools.bind import bind
from tests.compat.sides.asked import UNLIKE, code_kind, without_usage
from tests.compat.sides.ours import Provider
from tests.compat.sides.scripted import Scripted, surround


class _Provider(Provider):
    def get(self, name: str) -> Connection:
        if "not_exist" in name:
            raise ConnectionNotFound(name, ())
        return super().get("azure_open_ai_connection" if code_kind(name) == "azure" else name)


def flex(case: dict[str, Any]) -> dict[str, Any]:
    """What came of a flex flow or a prompty as a flow: lines, then the aggregation over them."""
    server = Scripted(case.get("answer"), case.get("status", 200))
    surround(server.url)
    flow = give(load_flow(case["path"]), case.get("init") or {})
    errors = [complaint for complaint in check(flow) if complaint.severity == "error"]
    if errors:
        raise FlowError(errors)
    bound = bind(flow, _Provider(server.url))

    async def run() -> dict[str, Any]:
        results: list[LineResult] = []
        lines: list[dict[str, Any]] = []
        for number, inputs in enumerate(case["lines"]):
            try:
                result = await run_line(bound, inputs or bound.flow.sample, line_number=number)
            except InputError as error:
                lines.append({"status": "Failed", "error": str(error)})
                continue
            results.append(result)
            outputs = {name: value for name, value in result.outputs.items() if name not in UNLIKE}
            why = f"{result.error.code}: {result.error.message}" if result.error else None
            lines.append({"status": result.status.value, "outputs": outputs, "nodes": {}, "error": why})
        outcome: dict[str, Any] = {"lines": lines}
        if any(node.aggregation for node in bound.flow.nodes):
            outcome["metrics"] = (await aggregate(bound, results)).metrics
        return outcome

    return {**asyncio.run(run()), "wire": without_usage(server.requests)}


def asked(case: dict[str, Any]) -> dict[str, Any]:
    """What Python code gets of a prompty: the answer, and the prompt as it would be sent."""
    server = Scripted(case.get("answer"), case.get("status", 200))
    surround(server.url)
    aliases.install()
    from promptflow_lite.compat.prompty import Prompty

    loop = asyncio.new_event_loop()
    provider = _Provider(server.url)
    scope.around.set(scope.Surroundings(provider, loop))  # not running: only its connections are taken
    prompty = Prompty.load(source=case["path"])
    lines = [
        _line(lambda given=given: prompty(**given), lambda given=given: prompty.render(**given))  # type: ignore[misc]
        for given in case["lines"]
    ]
    return {"lines": lines, "wire": without_usage(server.requests)}


def _line(answer: Callable[[], Any], render: Callable[[], str]) -> dict[str, Any]:
    try:
        said = answer()
        if hasattr(said, "__next__"):
            said = [getattr(part, "id", part) for part in said]
        said = said.model_dump(exclude_none=True) if hasattr(said, "model_dump") else said
        return {"status": "Completed", "outputs": {"said": said, "render": render()}, "nodes": {}}
    except Exception as error:
        return {"status": "Failed", "error": f"{type(error).__name__}: {error}"}


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"flex": flex, "prompty": flex, "asked": asked}
"""By a case's `kind`, what runs it."""
