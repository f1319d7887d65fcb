# mypy: disable-error-code="import-not-found"
"""The original's side: its own executor over each case. Runs under a Python that holds promptflow 1.18."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import promptflow.tools.aoai
import promptflow.tools.openai  # noqa: F401
from promptflow._sdk._orchestrator.test_submitter import TestSubmitter
from promptflow._sdk._orchestrator.utils import SubmitterHelper
from promptflow._sdk.entities._flows import FlowContext
from promptflow.client import load_flow
from promptflow.executor import FlowExecutor

from tests.compat.sides import forked, original_code
from tests.compat.sides.scripted import SECRETS, Scripted, configs, kind_of, surround


def connections(names: Any, url: str) -> dict[str, Any]:
    """A connection for each name, to the scripted model."""
    return {name: _connection(kind_of(name), url) for name in names}


def _connection(kind: str, url: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "custom": ("CustomConnection", {**configs(url), **SECRETS}),
        "azure": ("AzureOpenAIConnection", {"api_key": "k", "api_base": url, "api_version": "2024-02-01"}),
        "serverless": ("ServerlessConnection", {"api_key": "k", "api_base": url}),
        "serp": ("SerpConnection", {"api_key": "k"}),
        "openai": ("OpenAIConnection", {"api_key": "k", "base_url": f"{url}/v1"}),
    }
    name, value = made[kind]
    secret = list(SECRETS) if kind == "custom" else []
    return {"type": name, "value": value, "module": "promptflow.connections", "secret_keys": secret}


def dag(case: dict[str, Any]) -> dict[str, Any]:
    """What came of a flow.dag.yaml: lines, then the aggregation over the completed ones."""
    server = Scripted(case.get("answer"), case.get("status", 200))
    surround(server.url)
    SubmitterHelper.resolve_connection_names = staticmethod(
        lambda connection_names, client, *args, **how: connections(connection_names, server.url)
    )
    flow = load_flow(case["path"])
    context = FlowContext(variant=case.get("variant"))
    output = tempfile.mkdtemp()
    with TestSubmitter(flow, context).init(stream_log=False, output_path=output) as submitter:
        executor = FlowExecutor.create(
            Path(submitter.flow.path),
            submitter._connections,
            working_dir=Path(submitter.flow.code),
            raise_ex=False,
        )
        history = _history(submitter.dataplane_flow)
        lines: list[dict[str, Any]] = []
        done: list[Any] = []
        for index, given in enumerate(case["lines"]):
            try:
                inputs, _ = submitter.resolve_data(inputs=given, chat_history_name=history)
                result = executor.exec_line(inputs, index=index)
            except Exception as error:
                lines.append({"status": "Failed", "error": f"{type(error).__name__}: {error}"})
                continue
            line = _line(result)
            lines.append(line)
            if line["status"] == "Completed":
                done.append((inputs, result))
        outcome = {"lines": lines, **(_aggregation(executor, done) if executor.has_aggregation_node else {})}
    return {**outcome, "wire": server.requests}


def _history(flow: Any) -> str | None:
    marked = [name for name, spec in flow.inputs.items() if spec.is_chat_history]
    if marked:
        return str(marked[-1])
    is_chat = any(spec.is_chat_input for spec in flow.inputs.values())
    plain = flow.inputs.get("chat_history")
    return "chat_history" if is_chat and plain is not None and plain.is_chat_history is not False else None


def _line(result: Any) -> dict[str, Any]:
    status = result.run_info.status.value
    outputs = {name: value for name, value in (result.output or {}).items() if name != "line_number"}
    line = {
        "status": status,
        "outputs": outputs,
        "nodes": {name: [run.status.value, run.output] for name, run in result.node_run_infos.items()},
    }
    return line if status == "Completed" else {**line, "error": (result.run_info.error or {}).get("message")}


def _aggregation(executor: Any, done: list[Any]) -> dict[str, Any]:
    keys = executor._aggregation_inputs_references
    given = {key: [result.aggregation_inputs.get(key) for _, result in done] for key in keys}
    inputs = {key: [values.get(key) for values, _ in done] for key in executor._flow.inputs}
    try:
        result = executor.exec_aggregation(inputs, given)
    except Exception as error:
        return {"aggregation": {"": ["Failed", f"{type(error).__name__}: {error}"]}}
    runs = result.node_run_infos
    return {
        "metrics": result.metrics,
        "aggregation": {name: [run.status.value, run.output] for name, run in runs.items()},
    }


KINDS = {"dag": dag, **original_code.KINDS}
"""By a case's `kind`, what runs it."""


def refused(error: BaseException) -> str:
    """What the original says where it refuses a flow as a whole."""
    return f"{type(error).__name__}: {str(error)[:600]}"


if __name__ == "__main__":
    os.environ.update(PF_DISABLE_TRACING="true", PF_TRACING_SKIP_LOCAL_SETUP="true")
    forked.main(lambda case: KINDS[case["kind"]](case), refused)
