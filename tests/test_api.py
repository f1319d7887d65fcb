"""The Python front door: flows are called, run and scored, sync and async, in and out of a loop."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import promptflow_lite
from promptflow_lite import FlowError, InputError, NodeError, UserError, evaluate, load_flow, run
from promptflow_lite.api.loop import wait_for
from promptflow_lite.engine.events import Chunk, Event
from tests import flows_of

ASYNC_DAG = """\
inputs:
  text: {type: string}
outputs:
  text: {type: string, reference: "${wait.output}"}
nodes:
- name: wait
  type: python
  source: {type: code, path: wait.py}
  inputs:
    text: ${inputs.text}
"""

ASYNC_TOOL = """\
import asyncio
from promptflow_lite import tool

@tool
async def wait(text: str) -> str:
    await asyncio.sleep(0.01)
    return text.upper()
"""

GRADE_DAG = """\
type: evaluation
inputs:
  text: {type: string}
  wanted: {type: string}
outputs:
  right: {type: bool, reference: "${grade.output}"}
nodes:
- name: grade
  type: python
  source: {type: code, path: grade.py}
  inputs: {text: "${inputs.text}", wanted: "${inputs.wanted}"}
- name: score
  type: python
  aggregation: true
  source: {type: code, path: score.py}
  inputs: {right: "${grade.output}"}
"""

GRADE = """\
from promptflow_lite import tool
@tool
def grade(text: str, wanted: str) -> bool:
    return text == wanted
"""
SCORE = """\
from promptflow_lite import log_metric, tool
@tool
def score(right: list) -> None:
    log_metric("right", sum(right) / len(right))
"""


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return flows_of.echo(tmp_path / "echo")


@pytest.fixture
def grade(tmp_path: Path) -> Path:
    return flows_of.write(tmp_path / "grade", dag=GRADE_DAG, grade__py=GRADE, score__py=SCORE)


def test_a_flow_is_called_like_a_function(echo: Path) -> None:
    assert load_flow(echo)(text="ab", times="2") == {"text": "abab"}


def test_a_flow_is_bound_once_for_many_calls(echo: Path) -> None:
    flow = load_flow(str(echo))
    flow(text="a")
    bound = flow.bound
    flow(text="b")
    assert flow.bound is bound


async def test_a_flow_is_awaited_on_the_running_loop(tmp_path: Path) -> None:
    flow = load_flow(flows_of.write(tmp_path, dag=ASYNC_DAG, wait__py=ASYNC_TOOL))
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(flow.acall(text=word)) for word in ("a", "b")]
    assert [call.result() for call in calls] == [{"text": "A"}, {"text": "B"}]
    await flow.aclose()


async def test_a_sync_call_works_inside_a_running_loop(tmp_path: Path) -> None:
    flow = load_flow(flows_of.write(tmp_path, dag=ASYNC_DAG, wait__py=ASYNC_TOOL))
    assert flow(text="in jupyter") == {"text": "IN JUPYTER"}


def test_sync_calls_from_many_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    flow = load_flow(flows_of.write(tmp_path, dag=ASYNC_DAG, wait__py=ASYNC_TOOL))
    flow(text="bind")
    found: list[object] = []
    threads = [threading.Thread(target=lambda n=n: found.append(flow(text=f"t{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(str(one) for one in found) == sorted(str({"text": f"T{n}"}) for n in range(8))


def test_waiting_on_our_own_loop_is_refused_instead_of_hanging() -> None:
    async def inner() -> None:
        return None

    async def outer() -> None:
        wait_for(inner())

    with pytest.raises(UserError, match="async tool"):
        wait_for(outer())


def test_a_failing_node_raises_its_code_and_the_users_frames(echo: Path) -> None:
    with pytest.raises(NodeError, match="cannot echo that") as caught:
        load_flow(echo)(text="bad")
    assert "'echo'" in caught.value.message
    assert "echo.py" in str(caught.value)


def test_invoke_tells_of_a_failure_without_raising(echo: Path) -> None:
    line = load_flow(echo).invoke({"text": "bad"})
    assert line.status == "Failed"
    assert line.error is not None and line.error.node == "echo"


def test_a_missing_input_is_an_input_error(echo: Path) -> None:
    with pytest.raises(InputError, match="text"):
        load_flow(echo)()


def test_every_complaint_about_a_file_is_in_one_error(tmp_path: Path) -> None:
    dag = flows_of.ECHO.replace("${inputs.text}", "${inputs.txt}").replace("${echo.output}", "${ecko.output}")
    with pytest.raises(FlowError) as caught:
        load_flow(flows_of.write(tmp_path, dag=dag, echo__py=flows_of.ECHO_TOOL))
    assert {d.code for d in caught.value.diagnostics} >= {"unknown-input", "unknown-node"}


def test_test_gives_outputs_or_one_nodes_output(echo: Path) -> None:
    assert promptflow_lite.test(echo, {"text": "a"}) == {"text": "a"}
    assert promptflow_lite.test(echo, {"text": "a", "times": 3}, node="echo") == "aaa"
    with pytest.raises(NodeError):
        promptflow_lite.test(echo, {"text": "bad"}, node="echo")


def test_environment_variables_hold_while_the_flow_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CITY", raising=False)
    dag = "environment_variables: {CITY: Kyoto}\n" + flows_of.ECHO
    tool = flows_of.ECHO_TOOL.replace("return text * times", "return __import__('os').environ['CITY']")
    source = flows_of.write(tmp_path, dag=dag, echo__py=tool)
    flow = load_flow(source, environment_variables={"CITY": "Osaka"})
    assert flow(text="") == {"text": "Osaka"}
    wait_for(flow.aclose())
    assert load_flow(source)(text="") == {"text": "Kyoto"}


def test_a_run_keeps_every_line(echo: Path) -> None:
    done = run(echo, [{"text": "a"}, {"text": "bad"}, {"text": "c", "times": 2}], name="first")
    assert (done.name, done.status, done.lines.completed, done.lines.failed) == ("first", "Completed", 2, 1)
    first, bad, last = done.details
    assert (first["status"], first["outputs"]) == ("Completed", {"text": "a"})
    assert (bad["status"], bad["error"]["message"]) == ("Failed", "ValueError: cannot echo that")
    assert last["outputs"] == {"text": "cc"}


def test_a_run_reads_a_data_file_with_a_column_mapping(echo: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("word\nx\ny\n")
    done = run(echo, data, column_mapping={"text": "${data.word}", "times": 2})
    assert [detail["outputs"] for detail in done.details] == [{"text": "xx"}, {"text": "yy"}]


def test_details_as_a_data_frame(echo: Path) -> None:
    frame = run(echo, [{"text": "a"}, {"text": "bad"}]).to_pandas()
    assert list(frame.columns) == ["inputs.text", "inputs.times", "outputs.text", "status", "error"] or set(
        frame.columns
    ) == {"inputs.text", "inputs.times", "outputs.text", "status", "error"}
    assert frame.loc[0, "outputs.text"] == "a" and frame.loc[1, "status"] == "Failed"


async def test_a_run_works_inside_a_running_loop(echo: Path) -> None:
    assert run(echo, [{"text": "a"}]).lines.completed == 1


def test_evaluate_joins_the_flow_and_its_scores(echo: Path, grade: Path) -> None:
    rows = [{"text": "a", "wanted": "a"}, {"text": "bad", "wanted": "x"}, {"text": "c", "wanted": "d"}]
    scored = evaluate(rows, {"grade": grade}, target=echo)
    assert scored.metrics == {"grade.right": 0.5}
    assert [row["grade.right"] for row in scored.rows] == [True, None, False]
    assert [row["status"] for row in scored.rows] == ["Completed", "Failed", "Completed"]
    assert scored.rows[0]["outputs.text"] == "a"
    assert set(scored.runs) == {"target", "grade"}
    assert len(scored.to_pandas()) == 3


def test_evaluate_scores_data_as_it_is(grade: Path) -> None:
    scored = evaluate([{"text": "a", "wanted": "a"}, {"text": "b", "wanted": "c"}], {"grade": grade})
    assert scored.metrics == {"grade.right": 0.5}
    assert scored.rows[1] == {
        "line_number": 1,
        "inputs.text": "b",
        "inputs.wanted": "c",
        "grade.right": False,
    }


def test_evaluate_takes_shipped_evaluators_by_name_and_columns_by_mapping(echo: Path) -> None:
    scored = evaluate(
        [{"text": "a", "truth": "a"}],
        ["qa_text"],
        target=echo,
        column_mapping={"qa_text": {"answer": "${run.outputs.text}", "ground_truth": "${data.truth}"}},
    )
    assert scored.metrics["qa_text.exact_match"] == 1.0


def test_a_mapping_for_an_evaluator_that_is_not_there_is_refused(grade: Path) -> None:
    with pytest.raises(InputError, match="'grad'"):
        evaluate([{"text": "a", "wanted": "a"}], {"grade": grade}, column_mapping={"grad": {}})


async def test_parts_of_an_answer_come_while_the_model_still_writes(tmp_path: Path, home: Path) -> None:
    seen, in_time = threading.Event(), threading.Event()

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self._say({"role": "assistant", "content": "one "}, None)
            if seen.wait(timeout=60):
                in_time.set()
            self._say({"content": "two"}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")

        def _say(self, delta: dict[str, str], finish: str | None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            event = {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (home / "connections").mkdir()
    (home / "connections" / "mine.yaml").write_text(
        f"type: open_ai\napi_key: k\nbase_url: http://127.0.0.1:{server.server_port}/v1\n"
    )
    dag = ASYNC_DAG.replace("type: python", "type: llm\n  api: chat\n  connection: mine").replace(
        "wait.py", "wait.jinja2"
    )
    flow = load_flow(flows_of.write(tmp_path / "f", dag=dag, wait__jinja2="user:\n{{text}}\n"))
    parts: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Chunk):
            parts.append(event.text)
            seen.set()

    try:
        line = await flow.ainvoke({"text": "count"}, stream=True, emit=listen)
    finally:
        await flow.aclose()
        server.shutdown()
        server.server_close()
    assert line.outputs == {"text": "one two"}, line.error
    assert (parts, in_time.is_set()) == (["one ", "two"], True)


def test_a_run_takes_the_options_of_the_command(tmp_path: Path) -> None:
    flow = flows_of.echo(tmp_path / "echo")
    rows = [{"text": str(number)} for number in range(10)]
    done = run(flow, rows, sample=0.4, repeats=2, workers=1, error_threshold=-1)
    assert done.lines.completed == 8
    assert [detail["repeat"] for detail in done.details] == [0, 1] * 4
    assert list(done.to_pandas().columns[:1]) == ["repeat"]


def test_every_wrong_option_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run(flows_of.echo(tmp_path / "echo"), [{"text": "a"}], sample=1.5, repeats=0, concurrency=0)
    assert caught.value.code == "bad-option"
    assert [line.split(":")[0] for line in caught.value.message.splitlines()] == [
        "sample",
        "repeats",
        "concurrency",
    ]
