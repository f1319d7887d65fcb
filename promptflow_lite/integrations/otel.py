"""How does a run look as OpenTelemetry spans? A trace a line, a span a node, named by GenAI's conventions.

Spans are made once a line is safe, from its record, so lines of worker processes and of a Ray cluster look
the same. They wait in a bounded queue and are sent by a thread; a collector that is slow or away costs spans
and nothing else. Where they go, the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`, ...).

Names: `integrations.otel_names`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.engine.events import LineEnded
from promptflow_lite.engine.results import Failure, LineResult, NodeRun, Status
from promptflow_lite.errors import UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.flow.variants import choose_variants, parse_choices
from promptflow_lite.integrations.otel_names import as_text, of_model
from promptflow_lite.runs.events import RunEvent, RunStarted
from promptflow_lite.runs.run import Run

__all__ = ["Spans", "listen"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_FLUSH_S = 3.0
"""Seconds that the end of a run waits at most for spans to be sent."""


def listen() -> Spans | None:
    """The listener, if the environment names a collector or the program has set up tracing itself."""
    environ = os.environ
    if (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    ):
        return None
    if not any(environ.get(name) for name in _ENDPOINTS):
        return _of_the_program()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        text = "a collector is named, but spans cannot be sent: pip install 'promptflow_lite[otel]'"
        logging.getLogger("promptflow_lite").warning(text)
        return None
    return Spans.to(OTLPSpanExporter())


def _of_the_program() -> Spans | None:
    """Spans to the provider that the program has set up, if it has."""
    import sys

    if "opentelemetry.sdk.trace" not in sys.modules:  # not imported for the sake of finding nothing
        return None
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    return Spans(provider) if isinstance(provider, TracerProvider) else None


class Spans:
    """Makes spans of lines.

    Args:
        provider: takes them.
        close: ends what `to` has set up; gives what a person should know.
    """

    def __init__(self, provider: Any, close: Callable[[], str | None] = lambda: None) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._tracer = provider.get_tracer("promptflow_lite")
        self._close = close
        self._with_content = os.environ.get(_CONTENT, "").lower() in (
            "true",
            "1",
            "span_only",
            "span_and_event",
        )
        self._nodes: Mapping[str, Node] = {}
        self._common: dict[str, Any] = {}
        self._name = "flow"

    @classmethod
    def to(cls, exporter: Any) -> Spans:
        """Spans that go to an exporter, through a queue of 2,048 (`OTEL_BSP_MAX_QUEUE_SIZE`)."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        service = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "promptflow_lite"}
        # No handler at exit: it would wait for a collector that is away.
        provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
        watched = _watched(exporter)
        provider.add_span_processor(BatchSpanProcessor(watched))
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # one line at the end says it

        def close() -> str | None:
            thread = threading.Thread(target=provider.shutdown, daemon=True)
            thread.start()
            thread.join(_FLUSH_S)
            if not (thread.is_alive() or watched.lost):
                return None
            lost = f"{watched.lost} spans" if watched.lost else "the last spans"
            return f"telemetry: {lost} could not be sent"

        return cls(provider, close)

    def __call__(self, event: RunEvent) -> None:
        """Take note of the run, and make spans of each line."""
        match event:
            case RunStarted():
                self._begin(event.run)
            case LineEnded():
                self._line(event.result)
            case _:
                return

    def close(self) -> str | None:
        """Have the last spans sent."""
        return self._close()

    def request(
        self, flow: Flow, line: LineResult, about: Mapping[str, Any], traceparent: str | None
    ) -> None:
        """Make spans of a request that was answered.

        Args:
            flow: what answered.
            line: what came of it.
            about: further attributes of its span.
            traceparent: the caller's, whose trace goes on; `None` begins one.
        """
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._name, self._common = flow.name, dict(about)
        self._nodes = {node.name: node for node in flow.nodes}
        within = None
        if traceparent is not None:
            within = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        self._line(line, within)

    def _begin(self, run: Run) -> None:
        self._name = run.display_name or Path(run.flow).stem
        self._common = {"promptflow.run": run.name}
        if run.variant:
            self._common["promptflow.variant"] = run.variant
        try:
            flow: Flow = choose_variants(load_flow(run.flow), parse_choices(run.variant))
        except UserError:  # it was there when the run began: spans do without the nodes' kinds
            return
        self._nodes = {node.name: node for node in flow.nodes}

    def _line(self, line: LineResult, within: Any = None) -> None:
        attributes = {
            **self._common,
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": self._name,
            "promptflow.line_number": line.line_number,
            "promptflow.repeat": line.repeat,
        }
        if self._with_content:
            attributes["promptflow.inputs"] = as_text(line.inputs)
            attributes["promptflow.outputs"] = as_text(line.outputs)
        kind = self._trace.SpanKind
        of_what = kind.INTERNAL if within is None else kind.SERVER
        root = self._span(f"invoke_workflow {self._name}", attributes, line, within, of_what)
        within = self._trace.set_span_in_context(root)
        for run in line.node_runs.values():
            if run.started and run.status in (Status.Completed, Status.Failed, Status.Canceled):
                self._node(run, within)
        root.end(_nanoseconds(line.started + line.seconds))

    def _node(self, run: NodeRun, within: Any) -> None:
        node = self._nodes.get(run.node)
        kind = self._trace.SpanKind
        if run.model is not None or run.usage is not None or (node is not None and node.type == "llm"):
            name, attributes = of_model(run, node, with_content=self._with_content)
            span = self._span(name, attributes, run, within, kind.CLIENT)
        elif node is not None and node.type == "retrieval":
            attributes = {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": run.node}
            span = self._span(f"retrieval {run.node}", attributes, run, within, kind.CLIENT)
        else:
            attributes = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": run.node,
                "gen_ai.tool.type": "function",
            }
            if self._with_content:
                attributes["gen_ai.tool.call.arguments"] = as_text(run.inputs)
                attributes["gen_ai.tool.call.result"] = as_text(run.output)
            span = self._span(f"execute_tool {run.node}", attributes, run, within, kind.INTERNAL)
        span.end(_nanoseconds(run.started + run.seconds))

    def _span(
        self,
        name: str,
        attributes: Mapping[str, Any],
        of: LineResult | NodeRun,
        within: Any,
        kind: Any,
    ) -> Any:
        began = _nanoseconds(of.started)
        known = {key: value for key, value in attributes.items() if value is not None}
        # A line is a trace of its own, whatever span the program is in.
        context = within if within is not None else self._trace.set_span_in_context(self._trace.INVALID_SPAN)
        span = self._tracer.start_span(name, context=context, kind=kind, attributes=known, start_time=began)
        if of.error is not None:
            self._mark(span, of.error)
        return span

    def _mark(self, span: Any, error: Failure) -> None:
        span.set_attribute("error.type", error.code)
        # The message may quote a prompt or an answer.
        text = error.message if self._with_content else None
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, text))


def _watched(exporter: Any) -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Watched(SpanExporter):
        """Counts what could not be sent."""

        lost = 0

        def export(self, spans: Sequence[Any]) -> Any:
            result = exporter.export(spans)
            if result is not SpanExportResult.SUCCESS:
                self.lost += len(spans)
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Watched()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
