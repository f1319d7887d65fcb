"""How does a line look as a trace? A span for the line and one for each node, from the line's record.

The times are the journal's. The identity of a trace follows from the run, the line and when the line began,
so that whoever tells it again makes the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from promptflow_lite.engine.results import Status
from promptflow_lite.evaluation.page.prompts import Prompts
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.runs.records import dumps, key_of, key_text
from promptflow_lite.runs.run import Run

if TYPE_CHECKING:
    from mlflow.entities import Span, TraceInfo
    from opentelemetry.trace import SpanContext

__all__ = ["CREATED_TAG", "LINE_TAG", "RUN_TAG", "Shared", "Trace", "trace_of"]

RUN_TAG = "promptflow_lite.run"
CREATED_TAG = "promptflow_lite.run.created"
LINE_TAG = "promptflow_lite.line"
"""Tags of a trace: which run's, when that was made, which line (`7`, or `7/2` for a repeat)."""

_PREVIEW = 1000
"""Characters of a preview, as MLflow's own."""
_ENDED = (Status.Completed, Status.Failed, Status.Canceled)
_API_TYPES = {"embedding": "EMBEDDING"}
_NODE_TYPES = {
    "llm": "LLM",
    "prompty": "LLM",
    "custom_llm": "LLM",
    "retrieval": "RETRIEVER",
    "flex": "CHAIN",
}
_PARAMETERS = ("model", "deployment_name", "temperature", "top_p", "max_tokens", "seed", "response_format")


class Trace(NamedTuple):
    """A line, ready to be told."""

    info: TraceInfo
    spans: list[Span]


@dataclass(frozen=True)
class Shared:
    """What the traces of a run have in common."""

    run: Run
    name: str
    """The flow's."""
    experiment: str
    source_run: str | None
    """The MLflow run in which they happened; `None` for what a scorer did, which is no line of a run."""
    prompts: Prompts
    redact: Callable[[bytes], bytes]
    flow: Flow | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def nodes(self) -> dict[str, Node]:
        """The flow's nodes by name."""
        return {node.name: node for node in self.flow.nodes} if self.flow is not None else {}

    def text(self, value: Any) -> str:
        """JSON without the secrets of connections."""
        return self.redact(dumps(value)).decode()

    def plain(self, text: str) -> str:
        """Text without the secrets of connections."""
        return self.redact(text.encode("utf-8", "replace")).decode()

    def identity(self, record: Mapping[str, Any]) -> int:
        """The 128 bits of a line's trace."""
        told = (self.run.name, self.run.created, key_text(key_of(record)), record["started"])
        return int.from_bytes(hashlib.sha256(dumps(told)).digest()[:16], "big")

    def row(self, record: Mapping[str, Any]) -> str | None:
        """What a line of these data is told by in every run over them; `None` where it has no data file."""
        data = self.run.fingerprint.get("data")
        return None if data is None else hashlib.sha256(dumps((data, key_of(record)))).hexdigest()[:32]


def trace_of(record: Mapping[str, Any], shared: Shared) -> Trace:
    """The trace of a line's record."""
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    flow = shared.flow
    number = shared.identity(record)
    trace_id = f"tr-{number:032x}"
    usage = _usage(record["usage"])
    row = shared.row(record)
    tags = {
        "mlflow.traceName": shared.name,
        RUN_TAG: shared.run.name,
        CREATED_TAG: str(shared.run.created),
        LINE_TAG: key_text(key_of(record)),
        **({"mlflow.eval.requestId": row} if row is not None and shared.source_run is not None else {}),
        **shared.tags,
    }
    metadata = {
        "mlflow.trace_schema.version": "3",
        **({"mlflow.sourceRun": shared.source_run} if shared.source_run is not None else {}),
        **({"mlflow.trace.tokenUsage": shared.text(usage)} if usage else {}),
        **shared.metadata,
    }
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(shared.experiment),
        request_time=_nanoseconds(record["started"]) // 1_000_000,
        execution_duration=round(record["seconds"] * 1000),
        state=TraceState.OK if record["status"] == Status.Completed else TraceState.ERROR,
        request_preview=_preview(record["inputs"], shared, flow.chat_input if flow is not None else None),
        response_preview=_preview(record["outputs"], shared, flow.chat_output if flow is not None else None),
        trace_metadata=metadata,
        tags=tags,
    )
    return Trace(info, _spans(record, shared, trace_id, number))


def _spans(record: Mapping[str, Any], shared: Shared, trace_id: str, number: int) -> list[Span]:
    root = {
        "mlflow.spanType": "CHAIN",
        "mlflow.spanInputs": record["inputs"],
        "mlflow.spanOutputs": record["outputs"] or None,
        "promptflow_lite.run": shared.run.name,
        "promptflow_lite.line_number": record["line_number"],
        "promptflow_lite.repeat": record.get("repeat", 0) or None,
        "promptflow_lite.variant": shared.run.variant,
        "promptflow_lite.logs": record["logs"] or None,
    }
    make = _Maker(shared, trace_id, number)
    nodes = shared.nodes
    ran = [run for run in record["node_runs"].values() if run["started"] and run["status"] in _ENDED]
    return [
        make.span(shared.name, 1, None, root, record),
        *(
            make.span(run["node"], at, 1, _of_node(run, nodes.get(run["node"]), shared), run)
            for at, run in enumerate(ran, 2)
        ),
    ]


def _of_node(run: Mapping[str, Any], node: Node | None, shared: Shared) -> dict[str, Any]:
    """The attributes of a node's span; a model's has its messages and what it was told beside them."""
    kind = _NODE_TYPES.get(node.type, "TOOL") if node is not None else "TOOL"
    if node is not None and node.api in _API_TYPES:
        kind = _API_TYPES[node.api]
    if kind == "TOOL" and run["model"] is not None:
        kind = "LLM"
    inputs: Any = run["inputs"]
    messages = shared.prompts.of(run["node"], inputs) if kind == "LLM" else []
    if messages:
        given = {key: inputs[key] for key in _PARAMETERS if inputs.get(key) is not None}
        variables = {key: value for key, value in inputs.items() if key not in given}
        inputs = {"messages": messages, **given, "inputs": variables}
    usage = run["usage"] or {}
    cost = usage.get("cost")
    return {
        "mlflow.spanType": kind,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": _documents(run["output"]) if kind == "RETRIEVER" else run["output"],
        "mlflow.chat.tokenUsage": _usage(usage) or None,
        "mlflow.llm.cost": {"total_cost": cost} if cost is not None else None,
        "mlflow.llm.model": run["model"],
        "promptflow_lite.endpoint": run.get("endpoint"),
        "promptflow_lite.finish_reason": run.get("finish_reason"),
        "promptflow_lite.calls": usage.get("calls") or None,
        "promptflow_lite.reused": usage.get("reused") or None,
        "promptflow_lite.logs": run.get("logs") or None,
    }


def _documents(output: Any) -> Any:
    """What a retriever found as MLflow shows documents: `page_content`, `metadata`, `id`."""
    if not isinstance(output, list) or not all(isinstance(one, Mapping) for one in output):
        return output
    if not all(isinstance(one.get("text"), str) for one in output):
        return output
    return [
        {
            "page_content": one["text"],
            "metadata": {k: v for k, v in one.items() if k not in ("text", "id")},
            "id": one.get("id"),
        }
        for one in output
    ]


class _Maker:
    """Makes the spans of one trace."""

    def __init__(self, shared: Shared, trace_id: str, number: int) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.trace import SpanContext, TraceFlags

        self._shared = shared
        self._trace_id = trace_id
        self._resource = Resource.get_empty()
        self._context: Callable[[int], SpanContext] = lambda at: SpanContext(
            number, at, False, TraceFlags(TraceFlags.SAMPLED)
        )

    def span(
        self, name: str, at: int, within: int | None, attributes: Mapping[str, Any], of: Mapping[str, Any]
    ) -> Span:
        from mlflow.entities import Span
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import Status as OtelStatus
        from opentelemetry.trace import StatusCode

        ended = _nanoseconds(of["started"] + of["seconds"])
        error = of["error"]
        told = {"mlflow.traceRequestId": self._trace_id, **attributes}
        events = []
        if error is not None:
            facts = {
                "exception.type": error["code"],
                "exception.message": self._shared.plain(error["message"]),
                "exception.stacktrace": self._shared.plain(error["traceback"] or ""),
            }
            events.append(Event("exception", facts, timestamp=ended))
        return Span(
            ReadableSpan(
                name=name,
                context=self._context(at),
                parent=None if within is None else self._context(within),
                resource=self._resource,
                attributes={k: self._shared.text(v) for k, v in told.items() if v is not None},
                events=events,
                status=OtelStatus(StatusCode.OK)
                if error is None
                else OtelStatus(StatusCode.ERROR, self._shared.plain(f"{error['code']}: {error['message']}")),
                start_time=_nanoseconds(of["started"]),
                end_time=ended,
            )
        )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    """Tokens in MLflow's names; empty where none were counted."""
    prompt, answer = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    if not prompt and not answer:
        return {}
    counted = {"input_tokens": prompt, "output_tokens": answer, "total_tokens": prompt + answer}
    cached = usage.get("cached_tokens", 0)
    return {**counted, "cache_read_input_tokens": cached} if cached else counted


def _preview(values: Mapping[str, Any], shared: Shared, chief: str | None) -> str:
    """The chief value, or the only one, as text; else all of them."""
    value = values.get(chief) if chief is not None else None
    if value is None and len(values) == 1:
        value = next(iter(values.values()))
    whole = value if value is not None else values
    text = shared.plain(whole) if isinstance(whole, str) else shared.text(whole)
    return text if len(text) <= _PREVIEW else f"{text[: _PREVIEW - 3]}..."
