"""`pf flow`: init, validate, test, show, as a user types them."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import commands, flows_of

CHAT = """\
inputs:
  question: {type: string, is_chat_input: true}
  chat_history: {type: list, default: [], is_chat_history: true}
outputs:
  answer: {type: string, reference: "${answer.output}", is_chat_output: true}
nodes:
- name: answer
  type: python
  source: {type: code, path: answer.py}
  inputs:
    question: ${inputs.question}
    chat_history: ${inputs.chat_history}
"""

CHAT_TOOL = """\
from promptflow_lite import tool

@tool
def answer(question: str, chat_history: list):
    if question == "bad":
        raise ValueError("no answer")
    said = [turn["inputs"]["question"] + ">" + turn["outputs"]["answer"] for turn in chat_history]
    yield f"{len(said)} before; "
    yield f"you said {question}\\x1b[2J"
"""

AGGREGATE = """\
inputs:
  n: {type: int, default: 3}
outputs:
  n: {type: int, reference: "${twice.output}"}
nodes:
- name: twice
  type: python
  source: {type: code, path: twice.py}
  inputs: {n: "${inputs.n}"}
- name: total
  type: python
  aggregation: true
  source: {type: code, path: total.py}
  inputs: {all: "${twice.output}", factor: 2}
"""
TWICE = "from promptflow_lite import tool\n@tool\ndef twice(n: int) -> int:\n    return 2 * n\n"
TOTAL = """\
from promptflow_lite import log_metric, tool
@tool
def total(all: list, factor: int) -> int:
    if sum(all) > 100:
        raise ValueError("too much")
    log_metric("total", sum(all) * factor)
    return sum(all)
"""


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Pf:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: object) -> Ended:
        code = commands.pf(*args)
        return Ended(code, *self._capsys.readouterr())


@pytest.fixture
def pf(capsys: pytest.CaptureFixture[str]) -> Pf:
    return Pf(capsys)


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return flows_of.echo(tmp_path / "echo")


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return flows_of.write(tmp_path / "chat", dag=CHAT, answer__py=CHAT_TOOL)


@pytest.fixture
def aggregate(tmp_path: Path) -> Path:
    return flows_of.write(tmp_path / "aggregate", dag=AGGREGATE, twice__py=TWICE, total__py=TOTAL)


# init


@pytest.mark.parametrize("template", ["standard", "chat", "evaluation"])
def test_a_new_flow_is_valid(template: str, tmp_path: Path, pf: Pf) -> None:
    flow = tmp_path / "new" / "flow"
    made = pf("flow", "init", "--flow", flow, "--type", template)
    assert (made.code, made.out) == (0, "")
    assert f"pf flow test --flow {flow}" in made.err
    checked = pf("flow", "validate", "--source", flow)
    assert (checked.code, checked.out) == (0, f"{flow}: no complaints\n")


def test_the_evaluation_template_scores_its_data(tmp_path: Path, pf: Pf) -> None:
    pf("flow", "init", "--flow", tmp_path / "grade", "--type", "evaluation")
    ended = pf("flow", "test", "--flow", tmp_path / "grade")
    assert (ended.code, json.loads(ended.out)) == (0, {"grade": "correct"})
    assert "metric accuracy = 1.0" in ended.err


@pytest.mark.model
@pytest.mark.parametrize(("template", "output"), [("standard", "title"), ("chat", "answer")])
def test_a_template_with_a_model_answers(
    template: str, output: str, tmp_path: Path, pf: Pf, monkeypatch: pytest.MonkeyPatch, small_model: str
) -> None:
    monkeypatch.setenv("PF_LOCAL_MODEL", small_model)
    pf("flow", "init", "--flow", tmp_path / "new", "--type", template)
    ended = pf("flow", "test", "--flow", tmp_path / "new")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)[output].strip()


def test_a_folder_with_files_is_not_written_over_without_yes(tmp_path: Path, pf: Pf) -> None:
    (tmp_path / "flow.dag.yaml").write_text("mine")
    refused = pf("flow", "init", "--flow", tmp_path)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert (tmp_path / "flow.dag.yaml").read_text() == "mine"
    (tmp_path / "notes.txt").write_text("mine too")
    assert pf("flow", "init", "--flow", tmp_path, "--yes").code == 0
    assert (tmp_path / "flow.dag.yaml").read_text() != "mine"
    assert (tmp_path / "notes.txt").read_text() == "mine too"


# validate


def test_all_complaints_come_at_once_with_carets(tmp_path: Path, pf: Pf) -> None:
    dag = flows_of.ECHO.replace("${inputs.text}", "${inputs.txt}").replace("${echo.output}", "${ecko.output}")
    flow = flows_of.write(tmp_path / "f", dag=dag, echo__py="raise SystemExit\n" + flows_of.ECHO_TOOL)
    ended = pf("flow", "validate", "--source", flow)
    assert ended.code == 2
    assert "error[unknown-input]" in ended.out and "error[unknown-node]" in ended.out
    assert "^ did you mean 'text'?" in ended.out
    assert ": 2 errors" in ended.out.splitlines()[-1]


def test_complaints_as_json_have_their_places(tmp_path: Path, pf: Pf) -> None:
    dag = flows_of.ECHO.replace("text: ${inputs.text}", "text: ${inputs.txt}")
    ended = pf(
        "flow",
        "validate",
        "--source",
        flows_of.write(tmp_path, dag=dag, echo__py=flows_of.ECHO_TOOL),
        "--output",
        "json",
    )
    (complaint,) = [c for c in json.loads(ended.out) if c["severity"] == "error"]
    assert ended.code == 2
    assert (complaint["code"], complaint["line"]) == ("unknown-input", 11)
    assert Path(complaint["file"]).name == "flow.dag.yaml"


@pytest.mark.parametrize("command", [("validate", "--source"), ("test", "--flow"), ("show", "--source")])
def test_a_path_without_a_flow_is_wrong_use(command: tuple[str, str], tmp_path: Path, pf: Pf) -> None:
    ended = pf("flow", *command, tmp_path / "nowhere")
    assert ended.code == 2
    assert "nowhere" in ended.out + ended.err


# test


def test_the_outputs_are_all_that_stdout_gets(echo: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", echo, "--inputs", "text=日本", "times=2")
    assert (ended.code, ended.out) == (0, '{\n    "text": "日本日本"\n}\n')
    assert "echoing" in ended.err


@pytest.mark.parametrize(
    ("name", "text"), [("in.json", '{"text": "a"}'), ("in.jsonl", '\n{"text": "a"}\n{"text": "b"}\n')]
)
def test_inputs_come_from_a_file(name: str, text: str, echo: Path, tmp_path: Path, pf: Pf) -> None:
    (tmp_path / name).write_text(text)
    assert json.loads(pf("flow", "test", "--flow", echo, "--inputs", tmp_path / name).out) == {"text": "a"}


@pytest.mark.parametrize("text", ["[1]", "{", None])
def test_a_file_of_inputs_that_is_none_is_wrong_use(
    text: str | None, echo: Path, tmp_path: Path, pf: Pf
) -> None:
    if text is not None:
        (tmp_path / "in.json").write_text(text)
    ended = pf("flow", "test", "--flow", echo, "--inputs", tmp_path / "in.json")
    assert (ended.code, "in.json" in ended.err) == (2, True)


def test_a_failed_node_is_shown_with_the_users_frames_only(echo: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", echo, "--inputs", "text=bad")
    assert (ended.code, ended.out) == (1, "")
    assert "node 'echo' failed" in ended.err and "cannot echo that" in ended.err
    assert 'echo.py", line 8' in ended.err
    assert "promptflow_lite/engine" not in ended.err


def test_the_whole_record_as_json(echo: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", echo, "--inputs", "text=bad", "--output", "json")
    record = json.loads(ended.out)
    assert (ended.code, record["flow_runs"][0]["status"], record["node_runs"][0]["node"]) == (
        1,
        "Failed",
        "echo",
    )
    assert record["node_runs"][0]["error"]["message"] == "ValueError: cannot echo that"


@pytest.mark.parametrize(
    ("inputs", "word"), [((), "text"), (("text=a", "times=many"), "times"), (("text",), "name=value")]
)
def test_wrong_inputs_are_wrong_use(inputs: tuple[str, ...], word: str, echo: Path, pf: Pf) -> None:
    options = ["--inputs", *inputs] if inputs else []
    ended = pf("flow", "test", "--flow", echo, *options)
    assert (ended.code, ended.out) == (2, "")
    assert word in ended.err


def test_an_input_the_flow_does_not_have_is_a_warning(echo: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", echo, "--inputs", "text=a", "tiems=2")
    assert ended.code == 0
    assert "tiems" in ended.err


def test_aggregation_nodes_run_on_lists_of_one_and_tell_their_metrics(aggregate: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", aggregate)
    assert (ended.code, json.loads(ended.out)) == (0, {"n": 6})
    assert "metric total = 12" in ended.err
    kept = aggregate / ".promptflow"
    assert json.loads((kept / "flow.metrics.json").read_text()) == {"total": 12}
    assert json.loads((kept / "flow.output.json").read_text()) == {"n": 6}


def test_a_failed_aggregation_is_a_failed_test(aggregate: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", aggregate, "--inputs", "n=60")
    assert (ended.code, json.loads(ended.out)) == (1, {"n": 120})
    assert "too much" in ended.err


def test_a_node_alone_takes_what_is_given_and_the_rest_from_the_last_test(aggregate: Path, pf: Pf) -> None:
    test = ("flow", "test", "--flow", aggregate, "--node")
    assert pf(*test, "twice", "--inputs", "n=5").out == "10\n"
    assert pf(*test, "twice", "--inputs", "inputs.n=6").out == "12\n"
    assert pf(*test, "twice").out == "6\n"
    pf("flow", "test", "--flow", aggregate, "--inputs", "n=4")
    assert pf(*test, "twice").out == "8\n"
    assert pf(*test, "total", "--inputs", "twice.output=[1, 2]").out == "3\n"


def test_a_node_that_lacks_an_input_says_which(aggregate: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", aggregate, "--node", "total")
    assert (ended.code, "twice.output" in ended.err) == (2, True)


def test_a_node_that_is_not_there_gets_the_near_miss(aggregate: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", aggregate, "--node", "twic")
    assert (ended.code, "did you mean 'twice'?" in ended.err) == (2, True)


def test_an_input_the_node_does_not_read_is_a_warning(aggregate: Path, pf: Pf) -> None:
    ended = pf("flow", "test", "--flow", aggregate, "--node", "twice", "--inputs", "n=1", "m=2")
    assert (ended.code, "'m'" in ended.err) == (0, True)


def test_the_record_of_a_test_is_ignored_by_git(echo: Path, pf: Pf) -> None:
    pf("flow", "test", "--flow", echo, "--inputs", "text=a")
    assert (echo / ".promptflow" / ".gitignore").read_text() == "*\n"


def test_a_variant_is_chosen_by_name(tmp_path: Path, pf: Pf) -> None:
    node = "type: python, source: {type: code, path: echo.py}, inputs: {text: '${inputs.text}', times: %d}"
    dag = f"""\
inputs:
  text: {{type: string, default: a}}
outputs:
  text: {{type: string, reference: "${{echo.output}}"}}
nodes:
- {{name: echo, use_variants: true}}
node_variants:
  echo:
    default_variant_id: one
    variants:
      one: {{node: {{{node % 1}}}}}
      three: {{node: {{{node % 3}}}}}
"""
    flow = flows_of.write(tmp_path, dag=dag, echo__py=flows_of.ECHO_TOOL)
    assert json.loads(pf("flow", "test", "--flow", flow).out) == {"text": "a"}
    assert json.loads(pf("flow", "test", "--flow", flow, "--variant", "${echo.three}").out) == {"text": "aaa"}
    assert pf("flow", "test", "--flow", flow, "--variant", "${echo.four}").code == 2


def test_environment_variables_reach_the_tools(tmp_path: Path, pf: Pf) -> None:
    tool = flows_of.ECHO_TOOL.replace("return text * times", "return __import__('os').environ['CITY']")
    flow = flows_of.write(tmp_path, dag=flows_of.ECHO, echo__py=tool)
    ended = pf(
        "flow", "test", "--flow", flow, "--inputs", "text=", "--environment-variables", "CITY=Osaka", "X=1"
    )
    assert json.loads(ended.out) == {"text": "Osaka"}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_sees_each_node_end(aggregate: Path, pf: Pf, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert json.loads(pf("flow", "test", "--flow", aggregate).out) == {"n": 6}
    lines = terminal.getvalue().splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["Completed", "twice"], ["Completed", "total"]]
    assert lines[0].endswith(" s")


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("body", ["import time; time.sleep(600)", "import asyncio; await asyncio.sleep(600)"])
def test_ctrl_c_ends_a_test_at_once_with_130(body: str, tmp_path: Path) -> None:
    kind = "async def" if "await" in body else "def"
    tool = f"""\
        import sys
        from promptflow_lite import tool

        @tool
        {kind} echo(text: str, times: int) -> str:
            print("started", file=sys.__stderr__, flush=True)
            {body}
    """
    flow = flows_of.write(tmp_path / "slow", dag=flows_of.ECHO, echo__py=tool)
    command = [
        sys.executable,
        "-m",
        "promptflow_lite",
        "flow",
        "test",
        "--flow",
        str(flow),
        "--inputs",
        "text=a",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "")


# interactive


def _converse(pf: Pf, flow: Path, said: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> Ended:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    return pf("flow", "test", "--flow", flow, "--interactive", *options)


def test_a_conversation_remembers_what_was_said(chat: Path, pf: Pf, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = _converse(pf, chat, "hello\n\nこんにちは\n", monkeypatch)
    assert ended.code == 0
    assert ended.out == "0 before; you said hello\\x1b[2J\n1 before; you said こんにちは\\x1b[2J\n"
    history = json.loads((chat / ".promptflow" / "chat.output.json").read_text())
    assert [turn["inputs"] for turn in history] == [{"question": "hello"}, {"question": "こんにちは"}]
    assert history[0]["outputs"] == {"answer": "0 before; you said hello\x1b[2J"}


def test_a_failed_answer_is_shown_and_forgotten(chat: Path, pf: Pf, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = _converse(pf, chat, "bad\nhello\n", monkeypatch)
    assert ended.code == 1
    assert "no answer" in ended.err
    assert ended.out == "0 before; you said hello\\x1b[2J\n"


def test_a_history_can_be_given(chat: Path, pf: Pf, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = [{"inputs": {"question": "q"}, "outputs": {"answer": "a"}}]
    ended = _converse(pf, chat, "x\n", monkeypatch, "--inputs", f"chat_history={json.dumps(turn)}")
    assert ended.out.startswith("1 before;")


def test_one_talks_with_a_class_that_has_a_history(
    tmp_path: Path, pf: Pf, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "talk.py").write_text(
        "class Talk:\n"
        "    def __call__(self, question: str = 'hi', chat_history: list = None) -> str:\n"
        "        return ' '.join([*(turn['role'] for turn in chat_history or []), question])\n",
        encoding="utf-8",
    )
    ended = _converse(pf, Path(f"{tmp_path}/talk:Talk"), "a\nb\n", monkeypatch)
    assert (ended.code, ended.out) == (0, "a\nuser assistant b\n")


def test_a_flow_without_chat_inputs_cannot_chat(echo: Path, pf: Pf, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = _converse(pf, echo, "x\n", monkeypatch)
    assert (ended.code, "is_chat_input" in ended.err) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_ctrl_c_stops_an_answer_and_ctrl_d_leaves(tmp_path: Path) -> None:
    tool = """\
        import asyncio
        from promptflow_lite import tool

        @tool
        async def answer(question: str, chat_history: list):
            yield f"{len(chat_history)} before. "
            if question == "slow":
                await asyncio.sleep(600)
            yield "done."
    """
    flow = flows_of.write(tmp_path / "slow", dag=CHAT, answer__py=tool)
    script = tmp_path / "talk.py"
    script.write_text(TALK)
    done = subprocess.run(
        [sys.executable, str(script), sys.executable, str(flow)], capture_output=True, text=True, timeout=240
    )
    assert done.stdout.splitlines()[-1:] == ["exit 0"], done.stdout + done.stderr


TALK = """\
import os, pty, select, signal, sys, time
python, flow = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(python, [python, "-m", "promptflow_lite", "flow", "test", "--flow", flow, "--interactive"])
seen = b""
def until(text, seconds=60):
    global seen
    end = time.monotonic() + seconds
    while text not in seen:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            sys.exit(f"no {text!r} in {seen!r}")
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096)
    seen = seen.split(text, 1)[1]
until(b"> ")
os.write(terminal, b"slow\\n")
until(b"0 before. ")
os.write(terminal, b"\\x03")
until(b"stopped")
until(b"> ")
os.write(terminal, "はい\\n".encode())
until(b"0 before. done.")
until(b"> ")
os.write(terminal, b"\\x04")
print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


# show


def test_a_flow_is_drawn_as_a_tree_mermaid_svg_and_json(aggregate: Path, pf: Pf) -> None:
    tree = pf("flow", "show", "--source", aggregate)
    assert tree.code == 0 and "twice" in tree.out and "total" in tree.out
    assert pf("flow", "show", "--source", aggregate, "--format", "mermaid").out.startswith(
        ("graph", "flowchart", "%%")
    )
    assert "<svg" in pf("flow", "show", "--source", aggregate, "--format", "svg").out
    assert json.loads(pf("flow", "show", "--source", aggregate, "--format", "json").out)


def test_a_node_runs_alone_though_another_lacks_its_connection(tmp_path: Path, pf: Pf) -> None:
    dag = flows_of.ECHO + (
        "- name: ask\n  type: llm\n  source: {type: code, path: a.jinja2}\n  connection: nobody\n"
        "  api: chat\n  inputs: {model: m, text: '${echo.output}'}\n"
    )
    flow = flows_of.write(tmp_path / "f", dag=dag, echo__py=flows_of.ECHO_TOOL, a__jinja2="user:\n{{text}}\n")
    assert pf("flow", "test", "--flow", flow).code == 2
    alone = pf("flow", "test", "--flow", flow, "--node", "echo", "--inputs", "text=a", "times=2")
    assert (alone.code, alone.out) == (0, '"aa"\n'), alone.err
    assert pf("flow", "test", "--flow", flow, "--node", "ask", "--inputs", "text=a").code == 2
