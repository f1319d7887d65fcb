"""`pf run create --matrix` and several `--variant`: a run for every combination, under one parent."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import promptflow_lite
from promptflow_lite.compat.client import PFClient
from promptflow_lite.connections.store import provider
from promptflow_lite.runs.events import RunEmit, ignore
from promptflow_lite.runs.forecast import forecast
from promptflow_lite.runs.home import run_store
from promptflow_lite.runs.planning import plan
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.sweep import run_sweep
from promptflow_lite.settings import settings
from tests.commands import pf
from tests.model_server import Fault, ModelServer, Trouble
from tests.runs.flows import read_rows, write_rows
from tests.waiting import until

FLOW = """\
inputs:
  text: {type: string}
  tone: {type: string, default: plain}
outputs:
  answer: {type: string, reference: "${polish.output}"}
nodes:
- name: sort
  type: llm
  api: chat
  connection: mine
  source: {type: code, path: sort.jinja2}
  inputs: {model: gpt-4o-mini, max_tokens: 9, temperature: 0, text: "${inputs.text}"}
- name: answer
  use_variants: true
- name: polish
  use_variants: true
node_variants:
  answer:
    default_variant_id: short
    variants:
      short: {node: {type: llm, api: chat, connection: mine,
        source: {type: code, path: short.jinja2},
        inputs: {model: gpt-4o-mini, max_tokens: 9, kind: "${sort.output}", tone: "${inputs.tone}"}}}
      long: {node: {type: llm, api: chat, connection: mine,
        source: {type: code, path: long.jinja2},
        inputs: {model: gpt-4o-mini, max_tokens: 9, kind: "${sort.output}", tone: "${inputs.tone}"}}}
  polish:
    default_variant_id: none
    variants:
      none: {node: {type: python, source: {type: code, path: polish.py},
        inputs: {text: "${answer.output}", marks: 0}}}
      loud: {node: {type: python, source: {type: code, path: polish.py},
        inputs: {text: "${answer.output}", marks: 3}}}
"""
POLISH = """\
from promptflow_lite import tool

@tool
def polish(text: str, marks: int) -> str:
    return text + '!' * marks
"""
SCORE = """\
type: evaluation
inputs:
  answer: {type: string}
outputs:
  length: {type: int, reference: "${score.output}"}
nodes:
- name: score
  type: python
  source: {type: code, path: score.py}
  inputs: {answer: "${inputs.answer}"}
"""
BOT = """\
class Bot:
    def __init__(self, size: int = 1):
        self.size = size

    def __call__(self, text: str) -> str:
        return text + "!" * self.size
"""
PROMPTY = """\
---
name: ask
model:
  api: chat
  configuration: {{type: openai, base_url: "{url}", api_key: sk-x, model: gpt-4o-mini}}
  parameters: {{max_tokens: 9, temperature: 0.1}}
inputs:
  text: {{type: string}}
---
user:
{{{{text}}}}
"""
LINES = 6


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_TRACKING", "off")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def asked(server: ModelServer, home: Path, tmp_path: Path) -> list[str]:
    """`pf run create` over six lines, of which two are the same."""
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "flow.dag.yaml").write_text(FLOW)
    (folder / "sort.jinja2").write_text("user:\nsort {{text}}\n")
    (folder / "short.jinja2").write_text("user:\nshort {{tone}} {{kind}}\n")
    (folder / "long.jinja2").write_text("user:\nlong {{tone}} {{kind}}\n")
    (folder / "polish.py").write_text(POLISH)
    write_rows(tmp_path / "data.jsonl", [{"text": f"t{number % 5}"} for number in range(LINES)])
    (home / "connections").mkdir()
    for name in ("mine", "yours"):
        (home / "connections" / f"{name}.yaml").write_text(
            f"type: open_ai\nbase_url: {server.base_url}\napi_key: sk-secret\n"
        )
    return ["run", "create", "--flow", str(folder), "--data", str(tmp_path / "data.jsonl"), "--name", "s"]


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts commands as processes, which end with the test."""
    with ExitStack() as stack:

        def start(*args: str, **how: Any) -> subprocess.Popen[str]:
            how = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **how}
            command = [sys.executable, "-m", "promptflow_lite", *args]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **how))
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What a command writes as JSON."""

    def of(*args: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert pf(*args, "--output", "json") == code
        return json.loads(capsys.readouterr().out)

    return of


def _prompts(server: ModelServer) -> Counter[str]:
    """How often each kind of prompt was sent, by its first word."""
    return Counter(request.body["messages"][-1]["content"].split()[0] for request in server.requests)


def _outputs(home: Path, name: str) -> list[dict[str, Any]]:
    return read_rows(home / "runs" / name / "outputs.jsonl")


def test_there_is_a_run_for_every_combination_under_one_parent(
    asked: list[str], shown: Callable[..., Any], home: Path
) -> None:
    found = shown(*asked, "--matrix", "answer=*", "polish=none,loud")
    assert found["status"] == "Completed"
    assert found["children"] == ["s-short-none", "s-short-loud", "s-long-none", "s-long-loud"]
    assert [one["choice"] for one in found["runs"]] == [
        {"answer": answer, "polish": polish} for answer in ("short", "long") for polish in ("none", "loud")
    ]
    assert found["lines"] == {"total": 24, "completed": 24, "failed": 0, "skipped": 0}
    assert {one["parent"] for one in found["runs"]} == {"s"}
    assert _outputs(home, "s-long-none")[0]["answer"] == "echo: long plain echo: sort t0"


def test_what_nodes_upstream_were_asked_is_asked_once_for_each_line(
    asked: list[str],
    server: ModelServer,
    shown: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = shown(*asked, "--matrix", "answer=*", "polish=none,loud")
    # Two of the six lines ask the same: each line is asked for by itself, as in a run of its own.
    assert _prompts(server) == {"sort": LINES, "short": LINES, "long": LINES}
    assert found["usage"]["calls"] == 3 * LINES
    assert found["usage"]["reused"] == 3 * LINES + 2 * LINES
    capsys.readouterr()
    assert pf("run", "show", "s", "--output", "table") == 0
    assert "30 answers asked for by another run of the sweep" in capsys.readouterr().out


def test_a_node_that_is_varied_is_asked_in_each_run_though_it_asks_the_same(
    asked: list[str], server: ModelServer
) -> None:
    assert pf(*asked, "--matrix", "answer.seed=1,2", "answer.connection=mine,yours") == 0
    assert _prompts(server) == {"sort": LINES, "short": 4 * LINES}


def test_worker_processes_share_too(asked: list[str], server: ModelServer) -> None:
    assert pf(*asked, "--matrix", "answer=*", "--workers", "2") == 0
    assert _prompts(server) == {"sort": LINES, "short": LINES, "long": LINES}


def test_programs_are_told_how_each_run_goes(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert pf(*asked, "--matrix", "answer=*", "--log-format", "json") == 0
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert said[0]["message"].startswith("s: 2 combinations, 12 lines in all; calls: 18; ")
    told = [(one["event"], one["run"]) for one in said if one["event"] in ("started", "ended")]
    runs = [(event, run) for run in ("s-short", "s-long") for event in ("started", "ended")]
    assert told == [*runs, ("ended", "s")]


def test_no_cache_shares_nothing(asked: list[str], server: ModelServer) -> None:
    assert pf(*asked, "--matrix", "answer=*", "--no-cache") == 0
    assert _prompts(server) == {"sort": 2 * LINES, "short": LINES, "long": LINES}


def test_what_is_varied_reaches_the_model(asked: list[str], server: ModelServer) -> None:
    assert (
        pf(*asked, "--matrix", "answer.temperature=0,0.5", "answer.model=m1,m2", "inputs.tone=kind,dry") == 0
    )
    sent = Counter(
        (
            request.body["model"],
            request.body["temperature"],
            request.body["messages"][-1]["content"].split()[1],
        )
        for request in server.requests
        if request.body["messages"][-1]["content"].startswith("short")
    )
    assert sent == {
        (model, temperature, tone): LINES
        for model in ("m1", "m2")
        for temperature in (0, 0.5)
        for tone in ("kind", "dry")
    }


def test_several_variants_of_one_node_are_a_run_each(asked: list[str], shown: Callable[..., Any]) -> None:
    found = shown(*asked, "--variant", "${answer.long}", "--variant", "${answer.short}", "${polish.loud}")
    assert found["children"] == ["s-long", "s-short"]
    assert [one["variant"] for one in found["runs"]] == [
        "${polish.loud} ${answer.long}",
        "${polish.loud} ${answer.short}",
    ]


def test_variants_of_several_nodes_go_together_in_one_run(
    asked: list[str], shown: Callable[..., Any], home: Path
) -> None:
    found = shown(*asked, "--variant", "${answer.long}", "${polish.loud}")
    assert not found["children"]
    assert _outputs(home, "s")[0]["answer"] == "echo: long plain echo: sort t0!!!"


def test_alternatives_of_several_nodes_are_asked_for_by_a_matrix(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["${answer.long}", "${answer.short}", "${polish.loud}", "${polish.none}"]
    assert pf(*asked, "--variant", *both) == 2
    assert "--matrix 'answer=long,short' 'polish=loud,none'" in capsys.readouterr().err


def test_everything_wrong_with_a_matrix_is_said_at_once_and_nothing_is_sent(
    asked: list[str], server: ModelServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["anser=*", "answer=shrt", "answer.temprature=0,1", "sort=*", "inputs.ton=a", "polish=none,none"]
    assert pf(*asked, "--matrix", *keys) == 2
    said = capsys.readouterr().err
    for words in (
        "no node is named 'anser'; did you mean 'answer'?",
        "node 'answer' has no variant 'shrt'; did you mean 'short'?",
        "node 'answer' has no input 'temprature'; did you mean 'temperature'?",
        "node 'sort' has no variants to choose from",
        "the flow has no input 'ton'; did you mean 'tone'?",
        "'none' is given twice",
    ):
        assert words in said
    assert not server.count
    assert not (home / "runs").exists()


def test_a_combination_that_cannot_run_is_named_before_any_does(
    asked: list[str], server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf(*asked, "--matrix", "answer.connection=mine,gone", "answer.top_p=1,high") == 2
    said = capsys.readouterr().err
    assert "answer.connection=gone, answer.top_p=1" in said
    assert "answer.connection=mine, answer.top_p=high" in said
    assert not server.count


def test_an_estimate_counts_what_is_then_asked(
    asked: list[str], server: ModelServer, shown: Callable[..., Any], home: Path
) -> None:
    matrix = ["--matrix", "answer=*", "polish=*", "answer.temperature=0,1"]
    found = shown(*asked, *matrix, "--estimate")
    assert found["combinations"] == 8
    assert found["lines"] == 8 * LINES
    assert not server.count
    assert not (home / "runs").exists()
    assert pf(*asked, *matrix) == 0
    assert found["total"]["calls"] == {"low": server.count, "high": server.count}


def test_what_it_asks_is_shown_before_it_asks(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert pf(*asked, "--matrix", "answer=*") == 0
    said = capsys.readouterr().err
    assert "s: 2 combinations, 12 lines in all" in said
    assert said.index("s-long") < said.index("1 of 2: answer=short")


def test_money_is_counted_over_the_whole_sweep(
    asked: list[str], server: ModelServer, shown: Callable[..., Any]
) -> None:
    found = shown(*asked, "--matrix", "answer=*", "polish=*", "--max-tokens", "60", "-c", "1", code=1)
    assert found["status"] == "Failed"
    assert found["error"]["code"] == "budget"
    assert "pf run resume s " in found["error"]["message"]
    before = server.count
    assert shown("run", "resume", "s", code=1)["error"]["code"] == "budget"
    assert server.count == before
    done = shown("run", "resume", "s", "--max-tokens", "100000")
    assert done["status"] == "Completed"
    assert _prompts(server) == {"sort": LINES, "short": LINES, "long": LINES}


def test_a_line_that_fails_in_one_run_leaves_the_others_and_the_code_3(
    asked: list[str], server: ModelServer, shown: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "flow" / "polish.py").write_text(
        POLISH.replace("    return", "    assert not (marks and 't3' in text)\n    return")
    )
    found = shown(*asked, "--matrix", "polish=*", code=3)
    assert found["status"] == "Completed"
    assert [one["lines"]["failed"] for one in found["runs"]] == [0, 1]
    (tmp_path / "flow" / "polish.py").write_text(POLISH)
    done = shown("run", "resume", "s", "--retry-failed", "--force")
    assert done["lines"]["failed"] == 0
    assert _prompts(server) == {"sort": LINES, "short": LINES}


def test_a_run_that_fails_leaves_the_others_and_is_gone_on_with(
    asked: list[str], server: ModelServer, shown: Callable[..., Any]
) -> None:
    server.trouble = _refuses("gone")
    found = shown(*asked, "--matrix", "answer.model=gone,here", code=1)
    assert [one["status"] for one in found["runs"]] == ["Failed", "Completed"]
    assert found["error"]["code"] == "children-failed"
    assert "s-gone (model-not-found)" in found["error"]["message"]
    server.trouble = None
    assert shown("run", "resume", "s", "--retry-failed")["status"] == "Completed"


def test_scoring_a_sweep_scores_each_of_its_runs(
    asked: list[str], shown: Callable[..., Any], tmp_path: Path
) -> None:
    assert pf(*asked, "--matrix", "polish=*") == 0
    _score_flow(tmp_path / "score")
    mapping = ["--column-mapping", "answer=${run.outputs.answer}"]
    scored = shown("run", "create", "--flow", str(tmp_path / "score"), "--run", "s", *mapping, "-n", "len")
    assert scored["children"] == ["len-none", "len-loud"]
    assert [one["run"] for one in scored["runs"]] == ["s-none", "s-loud"]
    compared = shown("run", "compare", "s", "--metric", "length")
    assert json.dumps(compared).count("s-loud") > 0
    length = next(one for one in compared["comparisons"] if one["metric"] == "length")
    assert length["difference"]["value"] == 3
    assert len(shown("run", "show-metrics", "len")) == 2


def test_the_report_of_a_sweep_is_that_of_its_runs(
    asked: list[str], shown: Callable[..., Any], tmp_path: Path
) -> None:
    assert pf(*asked, "--matrix", "answer=*") == 0
    found = shown("run", "visualize", "s", "--html-path", str(tmp_path / "s.html"))
    assert found["runs"] == ["s-short", "s-long"]
    assert "s-long" in (tmp_path / "s.html").read_text()


def test_the_runs_of_a_sweep_are_listed_below_it_put_away_and_deleted_with_it(
    asked: list[str], shown: Callable[..., Any], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf(*asked, "--matrix", "answer=*") == 0
    assert [one["name"] for one in shown("run", "list")] == ["s", "s-short", "s-long"]
    assert pf("run", "list", "--output", "table") == 0
    assert "\n  s-short " in capsys.readouterr().out
    assert pf("run", "archive", "s") == 0
    assert shown("run", "list") == []
    assert pf("run", "restore", "s") == 0
    assert shown("run", "delete", "s", "--yes") == {"deleted": "s", "runs": ["s-short", "s-long"]}
    assert not list((home / "runs").iterdir())


def test_a_run_of_a_sweep_that_was_deleted_is_made_again(
    asked: list[str], server: ModelServer, shown: Callable[..., Any]
) -> None:
    assert pf(*asked, "--matrix", "answer=*") == 0
    assert pf("run", "delete", "s-long", "--yes") == 0
    assert shown("run", "show", "s")["status"] == "Failed"
    assert shown("run", "resume", "s")["status"] == "Completed"
    assert _prompts(server) == {"sort": LINES, "short": LINES, "long": 2 * LINES}


def test_lines_are_those_of_the_runs(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert pf(*asked, "--matrix", "answer=*") == 0
    assert pf("run", "show-details", "s") == 2
    assert "pf run show-details s-short" in capsys.readouterr().err


def test_a_name_that_is_taken_is_said_before_anything_runs(
    asked: list[str], server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf(*asked[:-1], "s-long") == 0
    before = server.count
    assert pf(*asked, "--matrix", "answer=*") == 2
    assert "runs of these names exist: s-long" in capsys.readouterr().err
    assert server.count == before


def test_values_that_make_no_name_are_numbered_and_said_where_runs_are_compared(
    asked: list[str], shown: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = shown(*asked, "--matrix", 'inputs.tone=["a/b", "a b"]')
    assert found["children"] == ["s-1", "s-2"]
    said = "s-2: inputs.tone=a b"
    (tmp_path / "gate.yaml").write_text("rules:\n- {metric: completed, at_least: 0.1}\n")
    files = ["--junit", str(tmp_path / "g.xml"), "--report", str(tmp_path / "r.html")]
    assert pf("run", "compare", "s", "--gate", str(tmp_path / "gate.yaml"), *files) == 0
    assert capsys.readouterr().err.count(said) == 1
    [case] = ElementTree.parse(tmp_path / "g.xml").getroot().iter("testcase")
    assert case.attrib["classname"] == "s-2"
    assert case.attrib["name"].endswith("(inputs.tone=a b)")
    assert said in (tmp_path / "g.xml").read_text()
    assert said in (tmp_path / "r.html").read_text()
    assert said in shown("run", "compare", "s")["notes"]


def test_a_run_file_holds_a_matrix_or_several_variants(
    asked: list[str], shown: Callable[..., Any], tmp_path: Path
) -> None:
    matrix = "matrix:\n  answer: '*'\n  answer.temperature: [0, 0.5]\n"
    (tmp_path / "run.yaml").write_text(f"flow: flow\ndata: data.jsonl\n{matrix}")
    found = shown("run", "create", "--file", str(tmp_path / "run.yaml"), "--name", "m")
    assert len(found["children"]) == 4
    (tmp_path / "run.yaml").write_text(
        "flow: flow\ndata: data.jsonl\nvariant: ['${answer.short}', '${answer.long}']\n"
    )
    found = shown("run", "create", "--file", str(tmp_path / "run.yaml"), "--name", "v")
    assert found["children"] == ["v-short", "v-long"]
    (tmp_path / "run.yaml").write_text("flow: flow\ndata: data.jsonl\nvariant: ${answer.long}\n")
    found = shown("run", "create", "--file", str(tmp_path / "run.yaml"), "--name", "one")
    assert found["variant"] == "${answer.long}"


def test_python_sweeps_too(asked: list[str], server: ModelServer) -> None:
    flow, data = asked[3], asked[5]
    sweep = promptflow_lite.run(flow, data, matrix={"answer": "*", "answer.temperature": [0, 1]}, name="p")
    assert [one.choice["answer.temperature"] for one in sweep.runs] == [0, 1, 0, 1]
    assert len(sweep.details) == 4 * LINES
    assert sweep.status == "Completed"
    made = PFClient().run(flow, data=data, variant=["${answer.long}", "${answer.short}"], name="q")
    assert made.status == "Completed"
    assert len(PFClient().get_details("q", all_results=True)) == 2 * LINES
    assert _prompts(server)["sort"] == 2 * LINES


def test_a_sweep_that_is_killed_goes_on_with_what_is_missing(
    started: Start, asked: list[str], server: ModelServer, shown: Callable[..., Any], home: Path
) -> None:
    server.latency_s = 0.1
    matrix = ["--matrix", "answer=*", "answer.temperature=0,1", "-c", "2"]
    process = started(*asked, *matrix)
    _wait_for(home / "runs" / "s-long-temperature_0" / "lines.jsonl", 2)
    process.kill()
    process.communicate(timeout=60)
    cut = shown("run", "show", "s")
    assert cut["status"] == "Failed"
    assert cut["error"]["code"] == "interrupted"
    assert "pf run resume s " in cut["error"]["message"]
    assert len(cut["runs"]) == 3
    done = shown("run", "resume", "s")
    assert done["status"] == "Completed"
    assert [one["name"] for one in done["runs"]] == done["children"]
    for name in done["children"]:
        kept = read_rows(home / "runs" / name / "lines.jsonl")
        assert sorted(row["line_number"] for row in kept) == list(range(LINES))
    in_flight = 2
    assert 5 * LINES <= server.count <= 5 * LINES + in_flight


def test_ctrl_c_ends_the_sweep_and_says_how_to_go_on(
    started: Start, asked: list[str], server: ModelServer, shown: Callable[..., Any], home: Path
) -> None:
    server.latency_s = 0.1
    process = started(*asked, "--matrix", "answer=*", "polish=*", "-c", "1")
    _wait_for(home / "runs" / "s-long-none" / "lines.jsonl", 2)
    server.latency_s = 1.5
    assert pf("run", "delete", "s", "--yes") == 2  # somebody executes it
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "pf run resume s\n" in said
    found = shown("run", "show", "s")
    assert found["status"] == "Canceled"
    assert [one["name"] for one in found["runs"]] == [*("s-short-none", "s-short-loud", "s-long-none")]
    assert found["runs"][2]["status"] == "Canceled"
    server.latency_s = 0
    assert shown("run", "resume", "s")["status"] == "Completed"
    assert server.count == 3 * LINES


def test_a_changed_flow_is_refused_when_a_sweep_goes_on(
    asked: list[str], shown: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf(*asked, "--matrix", "answer=*") == 0
    assert pf("run", "delete", "s-long", "--yes") == 0
    (tmp_path / "flow" / "polish.py").write_text(POLISH + "# new\n")
    assert pf("run", "resume", "s") == 2
    assert "has changed: flow (polish.py)" in capsys.readouterr().err
    assert shown("run", "resume", "s", "--force")["status"] == "Completed"


def test_a_sweep_is_watched_and_stopped_from_elsewhere(
    started: Start, asked: list[str], server: ModelServer, shown: Callable[..., Any], home: Path
) -> None:
    server.latency_s = 0.1
    process = started(*asked, "--matrix", "answer=*", "-c", "1")
    _wait_for(home / "runs" / "s-short" / "lines.jsonl", 1)
    server.latency_s = 2.0  # so that it still goes on once somebody watches
    watching = started("run", "stream", "s", "--lines")
    assert watching.stderr is not None
    said = ""
    while "line 0 Completed" not in said and (line := watching.stderr.readline()):
        said += line
    assert "1 of 2: answer=short" in said
    found = shown("run", "cancel", "s")
    assert found["status"] == "Canceled"
    assert found["lines"]["completed"] < 2 * LINES
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    watching.communicate(timeout=60)
    assert watching.returncode == 1


def test_the_value_of_a_secret_is_not_kept_and_asked_for_again(
    asked: list[str], shown: Callable[..., Any], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf(*asked, "--matrix", "answer=*", "--environment-variables", "MY_API_KEY=sk-very-secret") == 0
    kept = [path for path in (home / "runs").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"sk-very-secret" in path.read_bytes()]
    assert pf("run", "delete", "s-long", "--yes") == 0
    assert pf("run", "resume", "s") == 2
    assert "MY_API_KEY" in capsys.readouterr().err
    again = ["--environment-variables", "MY_API_KEY=sk-very-secret"]
    assert shown("run", "resume", "s", *again)["status"] == "Completed"


def test_what_a_flow_is_made_with_is_varied_too(
    shown: Callable[..., Any], tmp_path: Path, home: Path, server: ModelServer
) -> None:
    (tmp_path / "flow.flex.yaml").write_text("entry: bot:Bot\n")
    (tmp_path / "bot.py").write_text(BOT)
    data = str(write_rows(tmp_path / "data.jsonl", [{"text": "a"}]))
    create = ["run", "create", "--data", data, "--name"]
    assert shown(*create, "b", "--flow", str(tmp_path), "--matrix", "init.size=1,3")["status"] == "Completed"
    assert [_outputs(home, name)[0]["output"] for name in ("b-size_1", "b-size_3")] == ["a!", "a!!!"]
    (tmp_path / "ask.prompty").write_text(PROMPTY.format(url=server.base_url))
    key = "init.model.parameters.temperature"
    assert pf(*create, "p", "--flow", str(tmp_path / "ask.prompty"), "--matrix", f"{key}=0,0.5") == 0
    assert sorted(request.body["temperature"] for request in server.requests) == [0, 0.5]


def test_of_much_data_a_part_is_looked_at_for_the_estimate(
    asked: list[str], shown: Callable[..., Any], tmp_path: Path
) -> None:
    write_rows(tmp_path / "data.jsonl", [{"text": f"t{number}"} for number in range(2000)])
    found = shown(*asked, "--matrix", "answer.temperature=0,0.5,1", "--estimate")
    assert found["total"]["calls"] == {"low": 4 * 2000, "high": 4 * 2000}
    assert "estimated from 1,000 of 2,000 lines" in found["notes"]


def test_trackers_are_told_of_the_parent_first_and_once_all_is_safe(
    asked: list[str], tmp_path: Path, home: Path
) -> None:
    told: list[tuple[str, str | None]] = []

    class Tracker:
        def tell(
            self,
            run: Run,
            folder: Path,
            base: Run | None,
            emit: RunEmit = ignore,
            *,
            parent: Run | None = None,
        ) -> Mapping[str, str]:
            assert (home / "runs" / "s-long" / "outputs.jsonl").exists()
            told.append((run.name, parent.tracking["id"] if parent is not None else None))
            return {"id": f"id of {run.name}"}

    store = run_store()
    planned = plan(Run(name="s", flow=asked[3], data=asked[5], matrix={"answer": ["*"]}), store)
    connections = provider(settings())

    async def go() -> Run:
        found = await forecast(planned.parent, planned.children, store=store, connections=connections)
        return await run_sweep(planned, found, store=store, connections=connections, trackers=[Tracker()])

    assert asyncio.run(go()).tracking == {"id": "id of s"}
    assert told == [("s", None), ("s-short", "id of s"), ("s-long", "id of s")]


def test_on_a_terminal_it_is_asked_before_it_begins(
    started: Start, asked: list[str], server: ModelServer, home: Path
) -> None:
    ours, theirs = pty.openpty()
    process = started(*asked, "--matrix", "answer=*", stdin=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, b"n\n")
    process.communicate(timeout=60)
    said = b""
    with suppress(OSError):  # nobody holds the other end any more
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    assert b"start these 2 runs?" in said
    assert process.returncode == 130
    assert not server.count
    assert not (home / "runs").exists()


def _wait_for(path: Path, lines: int) -> None:
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= lines, "the sweep does not get on")


def _refuses(model: str) -> Trouble:
    def trouble(body: Mapping[str, Any], now: float) -> Fault | None:
        if body.get("model") != model:
            return None
        return Fault.error(404, "model_not_found", f"the model {model} does not exist")

    return trouble


def _score_flow(folder: Path) -> None:
    folder.mkdir()
    (folder / "flow.dag.yaml").write_text(SCORE)
    (folder / "score.py").write_text(
        "from promptflow_lite import tool\n\n@tool\ndef score(answer: str) -> int:\n    return len(answer)\n"
    )
