"""`pf run compare`: the verdict on two runs, what is on stdout, and the exit code of a gate."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import promptflow_lite as pf
from tests.flows_of import write

FLOW = """\
inputs:
  text: {type: string}
  number: {type: int}
outputs:
  label: {type: string, reference: "${classify.output}"}
nodes:
- name: classify
  type: python
  source: {type: code, path: classify.py}
  inputs: {number: "${inputs.number}", text: "${inputs.text}"}
"""

TOOL = """\
from promptflow.core import tool


@tool
def classify(number: int, text: str) -> str:
    if number == FAILS:
        raise ValueError("cannot classify that")
    return "質問" if number % 10 < RIGHT else "苦情"
"""

ROWS = [{"text": f"配送は いつ {i}", "number": i, "intent": "質問"} for i in range(120)]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`weak` is right six times in ten, `strong` nine times, but fails on line 7; both are graded."""
    monkeypatch.setenv("PF_TRACKING", "off")
    for name, right, fails in (("weak", 6, -1), ("strong", 9, 7)):
        code = TOOL.replace("RIGHT", str(right)).replace("FAILS", str(fails))
        flow = write(tmp_path / name, dag=FLOW, classify__py=code)
        base = pf.run(flow, ROWS, name=name)
        mapping = {"prediction": "${run.outputs.label}", "ground_truth": "${data.intent}"}
        pf.run("evaluator:classification", ROWS, run=base, column_mapping=mapping, name=f"grades_{name}")
    return tmp_path


def compare(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "promptflow_lite", "run", "compare", *args],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def as_json(folder: Path, *args: str) -> Mapping[str, Any]:
    found = compare(folder, *args, "--output", "json")
    assert found.returncode == 0, found.stderr
    record: Mapping[str, Any] = json.loads(found.stdout)
    return record


def test_the_grades_of_evaluation_runs_decide_which_run_is_better(runs: Path) -> None:
    found = as_json(runs, "weak", "strong", "--metric", "grade")
    (comparison,) = found["comparisons"]
    assert comparison["verdict"] == "better"
    assert comparison["pairs"] == 119
    assert comparison["only_baseline"] == 1
    assert (len(comparison["better"]), len(comparison["worse"])) == (35, 0)
    assert comparison["difference"]["value"] == pytest.approx(35 / 119)
    assert comparison["difference"]["low"] > 0.2
    assert found["newly_failing"] == {"strong": [{"line": 7, "repeat": 0}]}


def test_the_page_names_the_lines_that_changed(runs: Path) -> None:
    found = compare(runs, "weak", "strong", "--lines", "1")
    assert found.returncode == 0, found.stderr
    assert "better" in found.stdout
    assert "配送は いつ 6" in found.stdout  # the first line that only the strong run gets right
    assert "strong: 1 newly failing: 7" in found.stderr


@pytest.mark.parametrize(
    ("rules", "code", "outcomes"),
    [
        ([{"metric": "grade", "better_than_baseline": True}], 0, ["pass"]),
        ([{"metric": "grade", "at_least": 0.85}, {"metric": "macro_f1", "at_least": 0.1}], 0, ["pass"] * 2),
        ([{"metric": "failure_rate", "at_most": 0.0}], 1, ["fail"]),
        ([{"metric": "grade", "at_least": 0.9, "surely": True}], 3, ["inconclusive"]),
        ([{"metric": "completed", "no_worse_by": 0.001}], 3, ["inconclusive"]),
        ([{"metric": "blue", "at_least": 1}, {"metric": "grade", "at_least": 0.5}], 1, ["fail", "pass"]),
    ],
)
def test_a_gate_decides_the_exit_code(
    runs: Path, rules: list[dict[str, Any]], code: int, outcomes: list[str]
) -> None:
    (runs / "gate.yaml").write_text(json.dumps({"rules": rules}), encoding="utf-8")
    found = compare(runs, "weak", "strong", "--gate", "gate.yaml", "--junit", "g.xml", "--output", "json")
    assert found.returncode == code, found.stderr
    assert [rule["outcome"] for rule in json.loads(found.stdout)["gate"]] == outcomes
    suite = ElementTree.parse(runs / "g.xml").getroot()
    assert int(suite.attrib["failures"]) == outcomes.count("fail")
    assert int(suite.attrib["skipped"]) == outcomes.count("inconclusive")


def test_test_cases_without_a_gate_are_refused(runs: Path) -> None:
    found = compare(runs, "weak", "strong", "--junit", "g.xml")
    assert found.returncode == 2
    assert "--gate" in found.stderr
    assert not (runs / "g.xml").exists()


def test_every_mistake_of_a_gate_file_is_told_at_once_with_its_place(runs: Path) -> None:
    (runs / "gate.yaml").write_text(
        "rules:\n- {metric: f1, at_leest: 3}\n- 3\n- {metric: f1, at_most: x}\n", encoding="utf-8"
    )
    found = compare(runs, "weak", "strong", "--gate", "gate.yaml")
    assert found.returncode == 2
    assert "gate.yaml:2:16: error[unknown-key]" in found.stderr
    assert "did you mean 'at_least'?" in found.stderr
    assert "gate.yaml:3:3: error[wrong-type]" in found.stderr
    assert "gate.yaml:4:16: error[wrong-type]" in found.stderr


def test_a_step_of_a_github_workflow_gets_its_summary(runs: Path) -> None:
    found = compare(runs, "weak", "strong", GITHUB_STEP_SUMMARY=str(runs / "summary.md"))
    assert found.returncode == 0, found.stderr
    assert "| grade | 119 |" in (runs / "summary.md").read_text(encoding="utf-8")


def test_runs_over_different_data_are_paired_by_an_input_or_not_at_all(runs: Path) -> None:
    code = TOOL.replace("RIGHT", "9").replace("FAILS", "-1")
    flow = write(runs / "other", dag=FLOW, classify__py=code)
    pf.run(flow, ROWS[::-1], name="other")
    refused = compare(runs, "weak", "other")
    assert refused.returncode == 2
    assert "--by COLUMN" in refused.stderr
    found = as_json(runs, "weak", "other", "--by", "text", "--metric", "completed")
    assert found["comparisons"][0]["pairs"] == 120


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["weak", "stron"], "did you mean 'strong'?"),
        (["weak", "weak"], "two different runs"),
        (["weak", "strong", "--metric", "grad"], "did you mean 'grade'?"),
        (["weak", "strong", "--margin", "grade=-1"], "expected a number of 0 or more"),
        (["weak", "strong", "--by", "sku"], "have no input 'sku'"),
    ],
)
def test_a_wrong_question_gets_a_clear_answer(runs: Path, args: list[str], said: str) -> None:
    found = compare(runs, *args)
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr
