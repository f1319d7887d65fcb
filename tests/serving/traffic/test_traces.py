"""A request as a trace: in MLflow with what people said of it, and as spans in the caller's own trace."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from mlflow.tracing.client import TracingClient

from promptflow_lite.integrations.otel import Spans
from promptflow_lite.integrations.otel_served import ServedSpans
from promptflow_lite.serving.app import Options, create_app
from promptflow_lite.serving.deployment import Alone
from promptflow_lite.serving.door import Closing
from promptflow_lite.serving.server import Server
from promptflow_lite.serving.traffic.watch import Traffic
from tests.flows_of import ECHO, ECHO_TOOL, write
from tests.serving.endpoints.desk import Desk
from tests.serving.served import Served
from tests.waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return write(tmp_path / "echo", dag=ECHO, echo__py=ECHO_TOOL)


def traces(uri: str, experiment: str = "echo") -> list[Any]:
    """All traces of the store, the oldest first, whole."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    listed = TracingClient(uri).search_traces(locations=[found.experiment_id], order_by=["timestamp ASC"])
    return list(listed)


@pytest.mark.filterwarnings("ignore")
def test_feedback_becomes_an_assessment_of_the_requests_trace_now_and_later(
    echo: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with Served(echo, mlflow=uri) as server:
        server.score({"text": "one sk-proj-abcdefghijklmnopqrstuv"}, x_request_id="first", traceparent=PARENT)
        server.score({"text": "two"}, x_request_id="second")
        said = {"request_id": "second", "score": 1, "comment": "good"}
        server.call("POST", "/feedback", said)
        until(lambda: len(traces(uri)) == 2)
        until(lambda: any(trace.info.assessments for trace in traces(uri)))
    by_request = {trace.info.client_request_id: trace for trace in traces(uri)}
    first, second = by_request["first"], by_request["second"]
    assert first.info.trace_id == f"tr-{TRACE}"
    parents = {span.parent_id for span in first.data.spans}
    assert len(parents) == len(first.data.spans) == 2
    assert "00f067aa0ba902b7" in parents  # the caller's span goes on in ours
    assert any((span.inputs or {}).get("text") == "one ***" for span in first.data.spans)
    assert (second.info.request_preview, second.info.state.value) == ("two", "OK")
    assert [(span.name, span.span_type) for span in second.data.spans] == [
        ("echo", "CHAIN"),
        ("echo", "TOOL"),
    ]
    (assessment,) = second.info.assessments
    assert (assessment.name, assessment.value, assessment.rationale) == ("user_score", 1, "good")
    assert assessment.source.source_type == "HUMAN"

    with Served(echo, mlflow=uri) as server:  # another process, another day
        server.call("POST", "/feedback", {"request_id": "first", "score": False})
        server.call("POST", "/feedback", {"request_id": "nobody's", "score": 1})
        server.call("POST", "/feedback", {"request_id": "' OR 1=1 --", "score": 1})
        until(lambda: bool({t.info.client_request_id: t for t in traces(uri)}["first"].info.assessments))
    later = {trace.info.client_request_id: trace for trace in traces(uri)}
    assert [one.value for one in later["first"].info.assessments] == [False]
    assert len(later["second"].info.assessments) == 1


@pytest.mark.filterwarnings("ignore")
def test_a_trace_has_what_the_nodes_took_and_gave_in_the_process_of_a_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PF_HOME", str(tmp_path / "home"))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    failing = ECHO_TOOL.replace("return text * times", "return str(1 // len(text))")
    source = write(tmp_path / "flow", dag=ECHO, echo__py=failing)
    assert not traces(uri, "my-endpoint")  # makes the store: two processes at once would meet
    with Desk(tmp_path, options=["--mlflow", uri]) as desk:
        desk.deploy("blue", source, "--all-traffic")
        assert desk.score("hello", x_request_id="good")[0] == 200
        assert desk.score("", x_request_id="bad")[0] == 500
        until(lambda: len(traces(uri, "my-endpoint")) == 2)
    by_request = {trace.info.client_request_id: trace for trace in traces(uri, "my-endpoint")}
    _, node = by_request["good"].data.spans
    assert (node.name, node.inputs, node.outputs) == ("echo", {"text": "hello", "times": 1}, "0")
    root, node = by_request["bad"].data.spans
    assert (root.status.status_code.value, node.status.status_code.value) == ("ERROR", "ERROR")
    assert node.inputs == {"text": "", "times": 1}
    (event,) = node.events
    assert "1 // len(text)" in event.attributes["exception.stacktrace"]


@pytest.mark.filterwarnings("ignore")
def test_a_store_that_is_named_from_here_is_made_here_and_not_in_the_flows_folder(
    echo: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "promptflow_lite", "flow", "serve", "--source", str(echo), "--port", "0"]
    command += ["--mlflow", "sqlite:///traces.db", "--skip-open-browser"]
    served = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert served.stderr is not None
    try:
        address = next(found[1] for line in served.stderr if (found := re.search(r"(http://\S+) ", line)))
        body = {"content-type": "application/json"}
        with urlopen(Request(f"{address}/score", b'{"text": "hi"}', body), timeout=60) as answer:
            assert answer.status == 200
        until(lambda: (tmp_path / "traces.db").exists())
    finally:
        served.terminate()
        served.wait(60)
        served.stderr.close()
    assert not (echo / "traces.db").exists()


@pytest.mark.filterwarnings("ignore")
def test_two_requests_of_one_callers_trace_are_told_both(echo: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with Served(echo, mlflow=uri) as server:
        server.score({"text": "one"}, x_request_id="first", traceparent=PARENT)
        until(lambda: len(traces(uri)) == 1)
        server.score({"text": "two"}, x_request_id="second", traceparent=PARENT)
        server.call("POST", "/feedback", {"request_id": "second", "score": 1})
        server.score({"text": "three"}, x_request_id="third")
        until(lambda: len(traces(uri)) == 2)
        until(lambda: any(trace.info.assessments for trace in traces(uri)))
    (shared,) = [trace for trace in traces(uri) if trace.info.trace_id == f"tr-{TRACE}"]
    assert len(shared.data.spans) == 4
    assert [one.value for one in shared.info.assessments] == [1]


@pytest.mark.filterwarnings("ignore")
def test_an_mlflow_that_is_away_costs_traces_and_no_request(echo: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Served(echo, mlflow=uri) as server:
            assert all(server.score({"text": "hi"})[0] == 200 for _ in range(20))
            assert server.call("POST", "/feedback", {"request_id": "r", "score": 1})[0].status == 200


def test_the_spans_of_a_request_go_on_in_the_callers_trace(echo: Path, tmp_path: Path) -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    observer = ServedSpans("echo", Spans.to(exporter))
    served = _ServedWith(echo, observer, tmp_path)
    with served as server:
        server.score({"text": "hi"}, traceparent=PARENT)
        server.score({"text": "hi"}, traceparent=PARENT.replace("-01", "-00"))  # not sampled by the caller
        server.score({"text": "hi"})
    spans = exporter.get_finished_spans()
    ours = [span for span in spans if format(span.context.trace_id, "032x") == TRACE]
    assert [span.name for span in ours] == ["execute_tool echo", "invoke_workflow echo"]
    node, root = ours
    assert root.parent is not None
    assert format(root.parent.span_id, "016x") == "00f067aa0ba902b7"
    assert node.parent is not None
    assert node.parent.span_id == root.context.span_id
    assert root.attributes is not None
    assert root.attributes["promptflow.endpoint"] == "echo"
    assert len(spans) == 4  # the third begins a trace of its own


class _ServedWith(Served):
    """A server whose requests an observer is told of."""

    def __init__(self, source: Path, observer: ServedSpans, folder: Path) -> None:
        super().__init__(source)
        self._observer = observer
        self._folder = folder

    def __enter__(self) -> Served:
        import asyncio
        import threading

        from promptflow_lite.serving.server import claim

        bound = claim("127.0.0.1", 0)
        self.port = bound.getsockname()[1]
        ready, closing = threading.Event(), Closing()
        traffic = Traffic("echo", [], lambda name: 0.0, always=[self._observer])
        options = Options(feedback=self._folder / "feedback.jsonl", traffic=traffic)
        app = create_app(Alone(self.plan.deployment()), options, closing=closing)
        self.server = Server(app, closing, on_ready=ready.set)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.server.serve(sockets=[bound])), daemon=True
        )
        self._thread.start()
        assert ready.wait(60)
        return self
