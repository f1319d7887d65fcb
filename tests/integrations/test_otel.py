"""Runs as OpenTelemetry spans, sent to a collector over loopback, or to none."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="needs pip install 'promptflow_lite[otel]'"
)

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Status
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.model_server import ModelServer
from tests.runs.flows import Connections, shout_flow, write_rows

LLM = """\
inputs:
  text: {type: string}
outputs:
  answer: {type: string, reference: "${ask.output}"}
nodes:
- name: ask
  type: llm
  api: chat
  connection: mine
  source: {type: code, path: ask.jinja2}
  inputs: {model: scripted, temperature: 0.5, text: "${inputs.text}"}
"""


class _Collector(BaseHTTPRequestHandler):
    spans: list[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    found: list[Any] = []
    handler = type("Collector", (_Collector,), {"spans": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield found
        server.shutdown()
        thread.join()


def _attributes(span: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


async def _ask(folder: Path) -> Run:
    flow = folder / "ask"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(LLM)
    (flow / "ask.jinja2").write_text("user:\n{{text}}\n")
    data = write_rows(folder / "data.jsonl", [{"text": "a secret of mine"}])
    asked = Run(name="a", flow=str(flow), data=str(data))
    with ModelServer() as server:
        mine = OpenAIConnection("mine", api_key="not-a-real-key", base_url=server.base_url)
        return await run_batch(asked, store=RunStore(folder / "runs"), connections=Connections(mine))


async def test_a_line_is_a_trace_and_a_model_call_has_the_conventions_names(
    tmp_path: Path, spans: list[Any]
) -> None:
    run = await _ask(tmp_path)
    assert run.status is Status.Completed, run.error
    by_name = {span.name: span for span in spans}
    assert set(by_name) == {"invoke_workflow ask", "chat scripted"}
    line, call = by_name["invoke_workflow ask"], by_name["chat scripted"]
    assert call.trace_id == line.trace_id
    assert call.parent_span_id == line.span_id
    assert not line.parent_span_id
    assert line.start_time_unix_nano <= call.start_time_unix_nano <= call.end_time_unix_nano
    known = _attributes(call)
    assert known["gen_ai.operation.name"] == "chat"
    assert known["gen_ai.provider.name"] == "openai"
    assert known["gen_ai.request.model"] == "scripted"
    assert known["gen_ai.request.temperature"] == 0.5
    assert known["gen_ai.usage.input_tokens"] == run.usage["prompt_tokens"] > 0
    assert known["gen_ai.usage.output_tokens"] == run.usage["completion_tokens"] > 0
    assert [one.string_value for one in known["gen_ai.response.finish_reasons"].values] == ["stop"]
    assert known["server.address"] == "127.0.0.1"
    assert known["server.port"] > 0
    assert _attributes(line)["promptflow.run"] == "a"
    assert "secret of mine" not in str(spans)


async def test_every_name_and_value_is_the_conventions(tmp_path: Path, spans: list[Any]) -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as conventions

    await _ask(tmp_path)
    known = {value for name, value in vars(conventions).items() if name.startswith("GEN_AI_")}
    used = {key for span in spans for key in _attributes(span) if key.startswith("gen_ai.")}
    assert used <= known
    operations = {each.value for each in conventions.GenAiOperationNameValues}
    assert {_attributes(span)["gen_ai.operation.name"] for span in spans} <= operations


async def test_content_is_told_when_it_is_asked_for(
    tmp_path: Path, spans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    await _ask(tmp_path)
    assert "secret of mine" in str(spans)


async def test_a_failed_node_is_an_error_with_its_code(tmp_path: Path, spans: list[Any]) -> None:
    flow = shout_flow(tmp_path / "shout")
    data = write_rows(tmp_path / "d.jsonl", [{"text": "a"}, {"text": "bad"}])
    asked = Run(name="a", flow=str(flow), data=str(data))
    await run_batch(asked, store=RunStore(tmp_path / "runs"), connections=Connections())
    failed = [span for span in spans if span.status.code == 2]
    assert sorted(span.name for span in failed) == ["execute_tool shout", "invoke_workflow shout"]
    assert {_attributes(span)["error.type"] for span in failed} == {"node-error"}
    assert len(spans) == 4
    assert "cannot shout" not in str(spans)


async def test_a_collector_that_is_away_or_silent_fails_and_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = shout_flow(tmp_path / "shout")
    data = write_rows(tmp_path / "d.jsonl", [{"text": f"t{number}"} for number in range(3000)])
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        for name, port in (("silent", silent.getsockname()[1]), ("away", 1)):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
            said: list[str] = []
            began = time.monotonic()
            run = await run_batch(
                Run(name=name, flow=str(flow), data=str(data)),
                store=RunStore(tmp_path / "runs"),
                connections=Connections(),
                emit=lambda event, said=said: said.append(event.text) if isinstance(event, Log) else None,  # type: ignore[misc]
            )
            assert (run.status, run.lines.completed) == (Status.Completed, 3000)
            assert any("could not be sent" in text for text in said)
            # the wait for the last spans is bounded; the lines themselves take a second or two
            assert time.monotonic() - began < 30
