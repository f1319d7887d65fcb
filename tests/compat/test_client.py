"""Scripts written against Prompt flow's client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from promptflow_lite.compat.called import CalledFlow
from promptflow_lite.compat.client import PFClient, load_flow, load_run
from promptflow_lite.compat.context import FlowContext
from promptflow_lite.compat.entities import AzureOpenAIConnection, CustomConnection, OpenAIConnection
from promptflow_lite.compat.exceptions import UserErrorException
from promptflow_lite.compat.run import Run
from promptflow_lite.compat.sdk_constants import ListViewType
from promptflow_lite.compat.sdk_errors import (
    ConnectionNotFoundError,
    InvalidRunStatusError,
    RunExistsError,
    RunNotFoundError,
    ToolExecutionError,
)
from tests import flows_of
from tests.model_server import ModelServer

LLM = """\
inputs: {question: {type: string, is_chat_input: true}}
outputs:
  answer: {type: string, reference: "${answer.output}", is_chat_output: true}
  asked: {type: string, reference: "${inputs.question}"}
nodes:
- name: answer
  type: llm
  source: {type: code, path: answer.jinja2}
  inputs: {question: "${inputs.question}", model: m}
  connection: %s
  api: chat
"""


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return flows_of.echo(tmp_path / "echo")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a"}\n{"text": "bad"}\n{"text": "c"}\n')
    return path


def test_a_run_and_its_details_have_prompt_flows_shape(echo: Path, data: Path) -> None:
    client = PFClient()
    run = client.run(
        flow=str(echo), data=str(data), column_mapping={"text": "${data.text}"}, name="r", tags={"a": "b"}
    )
    assert (run.name, run.status, run.tags) == ("r", "Completed", {"a": "b"})
    details = client.get_details(run)
    assert list(details.columns) == ["inputs.text", "inputs.times", "inputs.line_number", "outputs.text"]
    assert details["outputs.text"].tolist() == ["a", "(Failed)", "c"]
    assert len(client.get_details("r", max_results=1)) == 1
    assert run.properties["system_metrics"]["__pf__.lines.failed"] == 1
    assert client.get_metrics(run) == {}


def test_a_run_can_be_scored_put_away_renamed_and_deleted(echo: Path, data: Path) -> None:
    runs = PFClient().runs
    base = runs.create_or_update(Run(flow=echo, data=data, name="base"))
    scored = runs.create_or_update(
        Run(flow=echo, run=base, name="scored", column_mapping={"text": "${run.outputs.text}"})
    )
    assert scored.properties["system_metrics"]["__pf__.lines.completed"] == 2
    runs.archive(base)
    assert [run.name for run in runs.list()] == ["scored"]
    assert [run.name for run in runs.list(list_view_type=ListViewType.ARCHIVED_ONLY)] == ["base"]
    assert {run.name for run in runs.list(list_view_type=ListViewType.ALL)} == {"base", "scored"}
    runs.restore("base")
    assert runs.update("base", display_name="new", tags={"x": "y"}).tags == {"x": "y"}
    assert runs.get("base").display_name == "new"
    runs.delete("base")
    with pytest.raises(RunNotFoundError, match="no run is named 'base'"):
        runs.get("base")


def test_a_run_of_a_file_takes_overrides(echo: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yml"
    file.write_text(
        f"$schema: x\nflow: echo\ndata: {data.name}\ncolumn_mapping:\n  text: ${{data.nothing}}\n"
    )
    run = load_run(file, params_override=[{"column_mapping": {"text": "${data.text}"}}])
    assert PFClient().runs.create_or_update(run).status == "Completed"


def test_a_run_resumes_from_another(echo: Path, data: Path) -> None:
    client = PFClient()
    client.run(flow=echo, data=data, name="first")
    again = client.run(resume_from="first", name="again")
    assert again.properties["system_metrics"]["__pf__.lines.completed"] == 2


def test_the_stream_of_a_run_says_how_it_went(
    echo: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = PFClient()
    run = client.run(flow=echo, data=data, name="told", stream=True)
    out = capsys.readouterr().out
    assert 'Run name: "told"' in out and "cannot echo that" in out
    assert client.stream(run).status == "Completed"


def test_a_report_shows_what_models_said_as_text(echo: Path, tmp_path: Path) -> None:
    data = tmp_path / "evil.jsonl"
    data.write_text('{"text": "<script>alert(1)</script>"}\n')
    client = PFClient()
    run = client.run(flow=echo, data=data, name="shown", display_name="<b>bold</b>")
    page = client.runs.visualize([run], html_path=tmp_path / "report.html").read_text()
    assert r"\u003cscript\u003ealert(1)" in page and "<script>alert" not in page and "<b>" not in page
    assert "default-src 'none'" in page and "src=" not in page and "url(" not in page


def test_flows_are_tried_by_inputs_or_a_file_and_node_by_node(
    echo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = PFClient()
    assert client.test(flow=echo, inputs={"text": "a", "times": 2}) == {"text": "aa"}
    assert capsys.readouterr().out == "echoing\n"
    (tmp_path / "in.jsonl").write_text('{"text": "b"}\n{"text": "c"}\n')
    assert client.test(flow=echo, inputs=tmp_path / "in.jsonl") == {"text": "b"}
    assert client.test(flow=str(echo), node="echo", inputs={"inputs.text": "x", "inputs.times": 3}) == "xxx"
    assert client.flows.validate(echo).passed


def test_what_goes_wrong_is_prompt_flows_exception(echo: Path, data: Path) -> None:
    client = PFClient()
    flow = load_flow(echo)
    with pytest.raises(ToolExecutionError, match="cannot echo that"):
        flow(text="bad")
    with pytest.raises(UserErrorException, match=r"inputs\.text: missing"):
        flow()
    with pytest.raises(UserErrorException, match="there is nothing at"):
        load_flow("nowhere")
    with pytest.raises(ConnectionNotFoundError):
        client.connections.get("nobody")
    client.run(flow=echo, data=data, name="one")
    with pytest.raises(RunExistsError):
        client.run(flow=echo, data=data, name="one")
    with pytest.raises(InvalidRunStatusError, match="has no column 'txt'; it has: text"):
        client.run(flow=echo, data=data, column_mapping={"text": "${data.txt}"})
    with pytest.raises(
        AttributeError, match=r"PFClient\.traces is not part of promptflow_lite; docs/compat\.md"
    ):
        client.traces  # noqa: B018


def test_connections_are_kept_listed_changed_and_deleted() -> None:
    connections = PFClient().connections
    kept = connections.create_or_update(
        AzureOpenAIConnection(name="az", api_key="sk-123", api_base="http://x")
    )
    assert (kept.api_key, kept.api_base, kept.type) == ("sk-123", "http://x", "AzureOpenAI")
    assert "sk-123" not in str(kept)
    kept.api_base = "http://y"
    connections.create_or_update(kept)
    assert connections.get("az").api_base == "http://y"
    custom = CustomConnection(name="mine", secrets={"k": "s"}, configs={"c": "d"})
    assert dict(connections.create_or_update(custom)) == {"c": "d", "k": "s"}
    assert [c.name for c in connections.list()] == ["az", "local", "mine"]
    connections.delete("az")
    with pytest.raises(ConnectionNotFoundError):
        connections.get("az")
    with pytest.raises(UserErrorException, match="placeholder"):
        connections.create_or_update(OpenAIConnection(name="o", api_key="<user-input>"))


def test_a_context_changes_how_a_flow_runs(echo: Path) -> None:
    flow = load_flow(echo)
    assert isinstance(flow, CalledFlow)
    assert flow(text="a") == {"text": "a"}
    flow.context = FlowContext(overrides={"nodes.echo.inputs.times": 3})
    assert flow(text="a") == {"text": "aaa"}
    flow.context.overrides["inputs.text.default"] = "z"
    assert flow() == {"text": "zzz"}
    assert flow.invoke({"text": "b"}).output == {"text": "bbb"}
    flow.context.overrides["outputs.text"] = "no"
    with pytest.raises(UserErrorException, match=r"'outputs\.text' is not taken"):
        flow(text="a")


def test_a_connection_made_in_the_script_answers_and_streams(tmp_path: Path) -> None:
    folder = flows_of.write(tmp_path / "ask", dag=LLM % "nobody", answer__jinja2="user:\n{{question}}\n")
    with ModelServer() as server:
        flow = load_flow(folder)
        assert isinstance(flow, CalledFlow)
        made = OpenAIConnection(name="made", api_key="k", base_url=server.base_url)
        flow.context.connections = {"answer": {"connection": made}}
        whole = flow(question="hello there")
        flow.context.streaming = True
        outputs = flow(question="hello there")
        parts = list(outputs["answer"])
        assert (len(parts) > 1, "".join(parts)) == (True, whole["answer"])
        assert outputs["asked"] == "hello there"


def test_a_script_of_the_client_runs_as_a_program(echo: Path, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom promptflow import PFClient\nfrom promptflow.entities import Run\n"
        "from promptflow._sdk._errors import RunNotFoundError\n"
        f"run = PFClient().run(flow={str(echo)!r}, data={str(data)!r}, name=sys.argv[1])\n"
        "print(run.status)\ntry:\n    PFClient().runs.get('no')\nexcept RunNotFoundError:\n    sys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "promptflow_lite.compat", str(script), "named"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("Completed\n", 7), done.stderr


CALLABLES = """\
from promptflow.client import PFClient


class Chat:
    def __init__(self, word):
        self.word = word

    def __call__(self, text: str, times: int = 2):
        return {"answer": f"{self.word} {text * times}"}

    def __aggregate__(self, line_results):
        return {"count": len(line_results)}


async def shout(text: str) -> str:
    return text.upper()


if __name__ == "__main__":
    client = PFClient()
    run = client.run(flow=Chat("hey"), data="data.jsonl")
    print(client.get_metrics(run), client.get_details(run)["outputs.answer"].tolist())
    print(client.get_details(client.run(flow=shout, data="data.jsonl"))["outputs.output"].tolist())
    print(client.test(flow=Chat("yo"), inputs={"text": "q"}), client.test(flow=shout, inputs={"text": "q"}))
"""


def test_functions_and_objects_of_a_script_are_flows(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "callables.py"
    script.write_text(CALLABLES)
    done = subprocess.run(
        [sys.executable, "-m", "promptflow_lite.compat", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines() == [
        "{'count': 3} ['hey aa', 'hey badbad', 'hey cc']",
        "['A', 'BAD', 'C']",
        "{'answer': 'yo qq'} Q",
    ], done.stderr


def test_a_function_is_saved_as_a_flow(tmp_path: Path) -> None:
    flows_of.write(tmp_path / "src", go__py="def shout(text: str) -> str:\n    return text.upper()\n")
    client = PFClient()
    file = client.flows.save(
        "go:shout", code=tmp_path / "src", path=tmp_path / "flow", sample={"inputs": {"text": "a"}}
    )
    assert client.test(flow=file, inputs={"text": "b"}) == "B"
    assert client.flows.validate(file).passed
    with pytest.raises(UserErrorException):
        client.flows.save("go:nothing", code=tmp_path / "src")
