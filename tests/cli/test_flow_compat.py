"""`pf flow check-compat`, `pf flow save`, `pf flow init --entry`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import flows_of
from tests.commands import pf

Capture = pytest.CaptureFixture[str]

CLOUD = """\
from promptflow.core import tool
from helper import go
from promptflow.azure import PFClient

try:
    from promptflow.core import Nothing
except ImportError:
    Nothing = None


@tool
def cloud(text: str):
    return go(text)
"""

NODE = """\
inputs: {text: {type: string}}
outputs: {o: {type: string, reference: "${n.output}"}}
nodes:
- name: n
  type: python
  source: {type: code, path: n.py}
  inputs: {text: "${inputs.text}"}
"""


def _found(capsys: Capture, *args: object) -> tuple[int, dict[str, dict[str, Any]]]:
    capsys.readouterr()
    code = pf("flow", "check-compat", *args, "--output", "json")
    return code, {Path(f["path"]).parent.name: f for f in json.loads(capsys.readouterr().out)}


def test_what_runs_and_what_does_not_is_told_with_file_and_line(tmp_path: Path, capsys: Capture) -> None:
    flows_of.echo(tmp_path / "good")
    bad = flows_of.write(
        tmp_path / "deep" / "bad", dag=NODE, n__py=CLOUD, helper__py="from promptflow import nope\n"
    )
    code, found = _found(capsys, tmp_path)
    assert code == 3
    assert found["good"]["verdict"] == "runs"
    complaints = [
        (c["severity"], Path(c["file"]).name, c["line"], c["message"].split()[0])
        for c in found["bad"]["complaints"]
    ]
    assert complaints == [
        ("error", "helper.py", 1, "promptflow.nope"),
        ("error", "n.py", 3, "promptflow.azure"),
        ("warning", "n.py", 6, "promptflow.core.Nothing"),
    ]
    assert pf("flow", "check-compat", bad) == 3
    out = capsys.readouterr().out
    assert "n.py:3:1: error[missing-name]: promptflow.azure is not part" in out
    assert out.endswith("1 flow: 1 do not run\n")


def test_nothing_of_a_flow_is_imported(tmp_path: Path, capsys: Capture) -> None:
    flow = flows_of.write(
        tmp_path / "f", dag=NODE, n__py="raise SystemExit(9)\n" + CLOUD.replace("azure", "core")
    )
    assert _found(capsys, flow)[0] == 3  # PFClient is not in promptflow.core


def test_what_this_machine_lacks_is_a_warning(tmp_path: Path, capsys: Capture) -> None:
    tool = "import not_here\nfrom promptflow.core import tool\n@tool\ndef n(text: str):\n    return text\n"
    llm = NODE + (
        "- name: a\n  type: llm\n  source: {type: code, path: a.jinja2}\n"
        "  inputs: {model: m, text: '${inputs.text}'}\n  connection: nobody\n  api: chat\n"
        "- name: p\n  type: python\n  source: {type: package, tool: no_such.module.go}\n  inputs: {}\n"
    )
    flow = flows_of.write(tmp_path / "f", dag=llm, n__py=tool, a__jinja2="user:\n{{text}}\n")
    code, found = _found(capsys, flow)
    assert (code, found["f"]["verdict"]) == (0, "warnings")
    codes = {c["code"] for c in found["f"]["complaints"]}
    assert {"unknown-connection", "package-not-installed"} <= codes


def test_scripts_and_notebooks_are_read_too(tmp_path: Path, capsys: Capture) -> None:
    flows_of.echo(tmp_path / "good")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "job.py").write_text(
        "import promptflow\nfrom promptflow.client import PFClient\npromptflow.what()\n"
    )
    cell = {"cell_type": "code", "source": "%pip install promptflow\nfrom promptflow.azure import PFClient"}
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "n.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert _found(capsys, tmp_path)[0] == 0
    code, found = _found(capsys, tmp_path, "--scripts")
    assert (code, found["s"]["verdict"], found["n"]["verdict"]) == (3, "warnings", "fails")
    assert pf("flow", "check-compat", tmp_path, "--scripts", "--quiet") == 3
    assert "job.py" not in capsys.readouterr().out


def test_a_folder_without_a_flow_is_wrong_use(tmp_path: Path, capsys: Capture) -> None:
    assert pf("flow", "check-compat", tmp_path) == 2
    assert pf("flow", "check-compat", tmp_path / "nowhere") == 2


def test_code_is_saved_as_a_flow_that_runs(tmp_path: Path, capsys: Capture) -> None:
    flows_of.write(tmp_path / "src", go__py="def shout(text: str) -> str:\n    return text.upper()\n")
    target = tmp_path / "flow"
    assert pf("flow", "save", "--entry", "go:shout", "--code", tmp_path / "src", "--path", target) == 0
    capsys.readouterr()
    assert pf("flow", "test", "--flow", target, "--inputs", "text=a") == 0
    assert "A" in capsys.readouterr().out
    assert pf("flow", "save", "--entry", "go:nothing", "--code", tmp_path / "src") == 2
    assert not (tmp_path / "src" / "flow.flex.yaml").exists()


def test_a_function_becomes_a_node_its_prompts_nodes_before_it(tmp_path: Path, capsys: Capture) -> None:
    code = "def answer(question: str, prompt: str, n: int = 1):\n    return prompt * n\n"
    flow = flows_of.write(tmp_path / "f", intents__py=code, p__jinja2="Q: {{question}}!")
    made = ("init", "--flow", flow, "--entry", "intents.py", "--function", "answer")
    assert pf("flow", *made, "--prompt-template", "nope=p.jinja2") == 2
    assert pf("flow", *made, "--prompt-template", "prompt=p.jinja2") == 0
    capsys.readouterr()
    assert pf("flow", "test", "--flow", flow, "--inputs", "question=why", "n=2") == 0
    assert json.loads(capsys.readouterr().out) == {"output": "Q: why!Q: why!"}
    assert pf("flow", *made) == 2  # it would write over the flow
