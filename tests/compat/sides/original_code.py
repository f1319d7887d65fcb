# mypy: disable-error-code="import-not-found"
"""The original's side for flex flows and prompty files: its own executors, its own `Prompty`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from promptflow._sdk._orchestrator.test_submitter import TestSubmitter
from promptflow._sdk._orchestrator.utils import SubmitterHelper
from promptflow._sdk.entities._flows import FlowContext
from promptflow._utils.utils import AttrDict
from promptflow.client import load_flow
from promptflow.connections import AzureOpenAIConnection, ConnectionProvider, OpenAIConnection
from promptflow.core import Prompty, _flow, _prompty_utils
from promptflow.executor import FlowExecutor

from tests.compat.sides.asked import UNLIKE, code_kind, without_usage
from tests.compat.sides.scripted import Scripted, surround

_TOKENS = 100


class _Provider(ConnectionProvider):  # type: ignore[misc]
    """A connection for each name, to the scripted model."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def _init_from_env(cls, **how: Any) -> Any:
        raise NotImplementedError

    def get(self, name: str, **how: Any) -> Any:
        if "not_exist" in name:
            raise ValueError(f"Connection {name} is not found")
        if code_kind(name) == "azure":
            return AzureOpenAIConnection(api_key="k", api_base=self.url, api_version="2024-02-01")
        return OpenAIConnection(api_key="k", base_url=f"{self.url}/v1")

    def list(self, **how: Any) -> Any:
        return []


def _begin(case: Mapping[str, Any]) -> Scripted:
    server = Scripted(case.get("answer"), case.get("status", 200))
    surround(server.url)
    provider = _Provider(server.url)
    ConnectionProvider._instance = provider

    def by_name(name: str) -> tuple[dict[str, Any], str]:
        connection = provider.get(name)
        fields = (
            ("api_key", "api_base", "api_version") if code_kind(name) == "azure" else ("api_key", "base_url")
        )
        return {field: getattr(connection, field) for field in fields}, connection.TYPE

    _prompty_utils.get_connection_by_name = by_name
    _flow.num_tokens_from_messages = lambda *given, **how: _TOKENS  # its vocabulary is on the web
    SubmitterHelper.resolve_connection_names = staticmethod(
        lambda connection_names, client, *args, **how: {
            name: {
                "type": "AzureOpenAIConnection",
                "value": {
                    "api_key": "k",
                    "api_base": server.url,
                    "api_version": "2024-02-01",
                    "api_type": "azure",
                },
                "module": "promptflow.connections",
            }
            for name in connection_names
            if "not_exist" not in name
        }
    )
    return server


def flex(case: dict[str, Any]) -> dict[str, Any]:
    """What came of a flex flow or a prompty as a flow: lines, then the aggregation over them."""
    server = _begin(case)
    flow = load_flow(case["path"])
    output = tempfile.mkdtemp()
    with TestSubmitter(flow, FlowContext()).init(
        stream_log=False, output_path=output, init_kwargs=case.get("init") or {}
    ) as submitter:
        executor = FlowExecutor.create(
            Path(submitter.flow.path),
            submitter._connections,
            working_dir=Path(submitter.flow.code),
            init_kwargs=case.get("init") or {},
        )
        lines: list[dict[str, Any]] = []
        done: list[Any] = []
        for index, given in enumerate(case["lines"]):
            try:
                result = executor.exec_line(dict(given), index=index)
            except Exception as error:
                lines.append({"status": "Failed", "error": f"{type(error).__name__}: {error}"})
                continue
            status = result.run_info.status.value
            outputs = _outputs(result.output) if status == "Completed" else {}
            why = (result.run_info.error or {}).get("message")
            lines.append({"status": status, "outputs": outputs, "nodes": {}, "error": why})
            if status == "Completed":
                value = result.output
                done.append(AttrDict(value) if isinstance(value, dict) else value)
        outcome: dict[str, Any] = {"lines": lines}
        if executor.has_aggregation_node and hasattr(executor, "_aggr_func"):
            outcome["metrics"] = executor.exec_aggregation({}, done).metrics
    return {**outcome, "wire": without_usage(server.requests)}


def _outputs(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    found = value if isinstance(value, dict) else {"output": value}
    return {name: part for name, part in found.items() if name not in ("line_number", *UNLIKE)}


def asked(case: dict[str, Any]) -> dict[str, Any]:
    """What Python code gets of a prompty: the answer, and the prompt as it would be sent."""
    server = _begin(case)
    prompty = Prompty.load(source=case["path"])
    lines = []
    for given in case["lines"]:
        lines.append(_line(partial(prompty, **given), partial(prompty.render, **given)))
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


KINDS = {"flex": flex, "prompty": flex, "asked": asked}
"""By a case's `kind`, what runs it."""
