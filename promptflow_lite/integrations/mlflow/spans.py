"""How does a record look as spans? One for the line or the request, one for each of its turns and nodes.

The times are the record's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from promptflow_lite.engine.results import Status
from promptflow_lite.engine.turns import turn_of
from promptflow_lite.evaluation.page.prompts import Prompts
from promptflow_lite.flow.builtin import EMBEDDING
from promptflow_lite.flow.conversation import TURNS
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.runs.records import dumps

if TYPE_CHECKING:
    from mlflow.entities import Span
    from opentelemetry.trace import SpanContext

__all__ = ["Ids", "Teller", "spans_of", "usage_of"]

_PREVIEW = 1000
"""Characters of a preview, as MLflow's own."""
_ENDED = (Status.Completed, Status.Failed, Status.Canceled)
_NODE_TYPES = {
    "llm": "LLM",
    "prompty": "LLM",
    "custom_llm": "LLM",
    "retrieval": "RETRIEVER",
    "flex": "CHAIN",
}
_PARAMETERS = ("model", "deployment_name", "temperature", "top_p", "max_tokens", "seed", "response_format")


class Ids(NamedTuple):
    """What the spans of one record are told by."""

    trace: int
    """128 bits."""
    first: int = 1
    """The root's; the others follow it."""
    caller: int | None = None
    """The span that the root is within."""


@dataclass(frozen=True)
class Teller:
    """What is known of a flow beside the records of its lines, and how their values get out."""

    name: str
    """What the roots are called."""
    flow: Flow | None
    prompts: Prompts
    redact: Callable[[bytes], bytes]
    """Takes secrets out."""

    def text(self, value: Any) -> str:
        """JSON without secrets."""
        return self.redact(dumps(value)).decode()

    def plain(self, text: str) -> str:
        """Text without secrets."""
        return self.redact(text.encode("utf-8", "replace")).decode()

    def request(self, inputs: Mapping[str, Any]) -> str:
        """The start of what was asked."""
        return self._preview(inputs, self.flow.chat_input if self.flow is not None else None)

    def response(self, outputs: Mapping[str, Any]) -> str:
        """The start of what was answered."""
        return self._preview(outputs, self.flow.chat_output if self.flow is not None else None)

    def _preview(self, values: Mapping[str, Any], chief: str | None) -> str:
        """The chief value, or the only one, as text; else all of them."""
        value = values.get(chief) if chief is not None else None
        if value is None and len(values) == 1:
            value = next(iter(values.values()))
        whole = value if value is not None else values
        text = self.plain(whole) if isinstance(whole, str) else self.text(whole)
        return text if len(text) <= _PREVIEW else f"{text[: _PREVIEW - 3]}..."

    def node(self, name: str) -> Node | None:
        """A node of the flow."""
        nodes = self.flow.nodes if self.flow is not None else ()
        return next((node for node in nodes if node.name == name), None)


def spans_of(record: Mapping[str, Any], root: Mapping[str, Any], ids: Ids, teller: Teller) -> list[Span]:
    """The spans of a record, the root first.

    Args:
        record: a line's, as journals have it.
        root: attributes of the root besides what it was asked and what it answered.
        ids: the spans'.
        teller: of its flow.
    """
    make = _Maker(teller, ids)
    facts = {
        "mlflow.spanType": "CHAIN",
        "mlflow.spanInputs": record["inputs"],
        "mlflow.spanOutputs": record["outputs"] or None,
        **root,
    }
    top = make.span(teller.name, None, facts, record)
    spans = [top]
    turns: dict[int, Span] = {}
    said = (record["outputs"] or {}).get(TURNS)
    ran = list(_ran(record))
    for key, run in ran:
        number = turn_of(key)[1]
        within = top
        if number is not None:
            if number not in turns:
                runs = [run for name, run in ran if turn_of(name)[1] == number]
                turns[number] = make.span(f"turn {number}", top, _of_turn(said, number), _together(runs))
                spans.append(turns[number])
            within = turns[number]
        spans.append(make.span(run["node"], within, _of_node(run, teller), run))
    return spans


def _ran(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, run in record["node_runs"].items():
        if run["started"] and run["status"] in _ENDED:
            yield key, run


def _together(runs: list[Mapping[str, Any]]) -> dict[str, Any]:
    """When the nodes of a turn ran, and what went wrong."""
    started = min(run["started"] for run in runs)
    ended = max(run["started"] + run["seconds"] for run in runs)
    error = next((run["error"] for run in runs if run["error"] is not None), None)
    return {"started": started, "seconds": ended - started, "error": error}


def _of_turn(said: Any, number: int) -> dict[str, Any]:
    """The attributes of a turn's span: what was asked and answered; a turn that failed left nothing."""
    turn = said[number - 1] if isinstance(said, list) and len(said) >= number else None
    facts: dict[str, Any] = {"mlflow.spanType": "CHAIN", "promptflow_lite.turn": number}
    if isinstance(turn, Mapping) and "question" in turn:
        asked = {"question": turn["question"], **turn.get("inputs", {})}
        return {**facts, "mlflow.spanInputs": asked, "mlflow.spanOutputs": turn.get("answer")}
    return {**facts, "mlflow.spanOutputs": turn}


def _of_node(run: Mapping[str, Any], teller: Teller) -> dict[str, Any]:
    """The attributes of a node's span; a model's has its messages and what it was told beside them."""
    kind = _kind(run, teller.node(run["node"]))
    inputs: Any = run["inputs"]
    messages = teller.prompts.of(run["node"], inputs) if kind == "LLM" else []
    if messages:
        given = {key: inputs[key] for key in _PARAMETERS if inputs.get(key) is not None}
        variables = {key: value for key, value in inputs.items() if key not in given}
        inputs = {"messages": messages, **given, "inputs": variables}
    usage = run["usage"] or {}
    cost = usage.get("cost")
    return {
        "mlflow.spanType": kind,
        "mlflow.spanInputs": inputs or None,
        "mlflow.spanOutputs": _documents(run["output"]) if kind == "RETRIEVER" else run["output"],
        "mlflow.chat.tokenUsage": usage_of(usage) or None,
        "mlflow.llm.cost": {"total_cost": cost} if cost is not None else None,
        "mlflow.llm.model": run["model"],
        "promptflow_lite.endpoint": run.get("endpoint"),
        "promptflow_lite.finish_reason": run.get("finish_reason"),
        "promptflow_lite.calls": usage.get("calls") or None,
        "promptflow_lite.reused": usage.get("reused") or None,
        "promptflow_lite.logs": run.get("logs") or None,
    }


def _kind(run: Mapping[str, Any], node: Node | None) -> str:
    """What MLflow calls such a span."""
    if node is not None and node.source is not None and node.source.tool in EMBEDDING:
        return "EMBEDDING"
    kind = _NODE_TYPES.get(node.type, "TOOL") if node is not None else "TOOL"
    return "LLM" if kind == "TOOL" and run["model"] is not None else kind


def _documents(output: Any) -> Any:
    """What a retriever found as MLflow shows documents; what has no `content` is left as it is.

    MLflow: `page_content`, `id` and `metadata`, where `doc_uri` is the document's place.
    """
    if not isinstance(output, list) or not all(
        isinstance(one, Mapping) and isinstance(one.get("content"), str) for one in output
    ):
        return output
    return [
        {"page_content": one["content"], "id": one.get("id"), "metadata": _of_document(one)} for one in output
    ]


def _of_document(document: Mapping[str, Any]) -> dict[str, Any]:
    given = document.get("metadata")
    metadata = dict(given) if isinstance(given, Mapping) else {}
    place = {"doc_uri": metadata["source"]} if "source" in metadata else {}
    return {**metadata, **place, "score": document.get("score")}


class _Maker:
    """Makes the spans of one trace, one after the other."""

    def __init__(self, teller: Teller, ids: Ids) -> None:
        from opentelemetry.sdk.resources import Resource

        self._teller = teller
        self._ids = ids
        self._made = 0
        self._resource = Resource.get_empty()

    def span(
        self, name: str, within: Span | None, attributes: Mapping[str, Any], of: Mapping[str, Any]
    ) -> Span:
        """The next span; `of` says when it was and what went wrong."""
        from mlflow.entities import Span
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import Status as OtelStatus
        from opentelemetry.trace import StatusCode

        teller, ids = self._teller, self._ids
        parent = int(within.span_id, 16) if within is not None else ids.caller
        ended = _nanoseconds(of["started"] + of["seconds"])
        error = of["error"]
        told = {"mlflow.traceRequestId": f"tr-{ids.trace:032x}", **attributes}
        status, events = OtelStatus(StatusCode.OK), []
        if error is not None:
            facts = {
                "exception.type": error["code"],
                "exception.message": teller.plain(error["message"]),
                "exception.stacktrace": teller.plain(error["traceback"] or ""),
            }
            events.append(Event("exception", facts, timestamp=ended))
            status = OtelStatus(StatusCode.ERROR, teller.plain(f"{error['code']}: {error['message']}"))
        own = ids.first + self._made
        self._made += 1
        return Span(
            ReadableSpan(
                name=name,
                context=self._context(own),
                parent=None if parent is None else self._context(parent),
                resource=self._resource,
                attributes={k: teller.text(v) for k, v in told.items() if v is not None},
                events=events,
                status=status,
                start_time=_nanoseconds(of["started"]),
                end_time=ended,
            )
        )

    def _context(self, at: int) -> SpanContext:
        from opentelemetry.trace import SpanContext, TraceFlags

        return SpanContext(self._ids.trace, at, False, TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def usage_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """Tokens in MLflow's names; empty where none were counted."""
    prompt, answer = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    if not prompt and not answer:
        return {}
    counted = {"input_tokens": prompt, "output_tokens": answer, "total_tokens": prompt + answer}
    cached = usage.get("cached_tokens", 0)
    return {**counted, "cache_read_input_tokens": cached} if cached else counted
