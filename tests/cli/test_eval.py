"""`pf eval`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from krippendorff import alpha as reference_alpha
from sklearn.metrics import cohen_kappa_score

from promptflow_lite import run as run_flow
from tests.commands import pf

JUDGE = """\
type: evaluation
inputs:
  text: {type: string}
  id: {type: string, default: ""}
outputs:
  score: {type: int, reference: "${judge.output}"}
nodes:
- name: judge
  type: python
  source: {type: code, path: judge.py}
  inputs: {text: "${inputs.text}"}
"""
CODE = """\
from promptflow_lite import tool

@tool
def judge(text: str) -> object:
    return int(text) if text else None
"""
JUDGED = ["1", "2", "5", "4", "", "3", "5", "1"]
PEOPLE = [1, 3, 5, 4, 5, 2, 4, None]


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def judge(tmp_path: Path, home: Path) -> str:
    """The name of a run in which a judge gave eight items a score, but for one that it could not."""
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "flow.dag.yaml").write_text(JUDGE)
    (folder / "judge.py").write_text(CODE)
    rows = [{"text": text, "id": f"i{n}", "grade": PEOPLE[n]} for n, text in enumerate(JUDGED)]
    return run_flow(folder, lines(tmp_path / "data.jsonl", rows), name="judged").name


def test_a_judge_is_held_against_labels_in_the_data_of_its_run(
    judge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf("eval", "calibrate", "--run", judge, "--label", "grade", "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    people, scores = [1, 3, 5, 4, 2, 4], [1, 2, 5, 4, 3, 5]
    assert (found["items"], found["unjudged"], found["unlabelled"], found["level"]) == (6, 1, 1, "ordinal")
    assert found["agreement"]["value"] == pytest.approx(3 / 6)
    assert found["within_one"] == 1.0
    assert found["bias"]["value"] == pytest.approx(1 / 6)
    assert found["kappa"] == pytest.approx(cohen_kappa_score(people, scores))
    for weights in ("linear", "quadratic"):
        assert found[f"kappa_{weights}"] == pytest.approx(cohen_kappa_score(people, scores, weights=weights))
    alpha = reference_alpha([people, scores], level_of_measurement="ordinal")
    assert found["alpha"]["value"] == pytest.approx(alpha)
    assert found["alpha"]["low"] <= alpha <= found["alpha"]["high"]
    assert found["confusion"]["4"] == {"1": 0, "2": 0, "3": 0, "4": 1, "5": 1}
    assert found["repeats"] is None


def test_labels_of_two_people_in_another_file_are_found_by_id(
    judge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, bob = [1, 3, 5, 4], [1, 2, 5, 5]
    rows = [{"id": f"i{n}", "ann": ann[n], "bob": bob[n]} for n in (3, 2, 1, 0)]
    file = lines(tmp_path / "people.jsonl", rows)
    asked = ["--labels", str(file), "--label", "ann", "bob", "--by", "id", "--output", "json"]
    assert pf("eval", "calibrate", "--run", judge, *asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["items"] == 4
    assert found["people_alpha"] == pytest.approx(reference_alpha([ann, bob], level_of_measurement="ordinal"))
    assert found["agreement"]["value"] == 1.0  # the lower of two medians: 1, 2, 5, 4


def test_a_judge_that_was_asked_again_is_held_against_itself(
    tmp_path: Path, judge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import itertools\nfrom promptflow_lite import tool\nN = itertools.count()\n\n"
    code += "@tool\ndef judge(text: str) -> int:\n    return 1 + next(N) % 2 if text == '1' else 4\n"
    (tmp_path / "judge" / "judge.py").write_text(code)
    rows = [{"text": "1", "label": 1}, {"text": "2", "label": 4}]
    data = lines(tmp_path / "two.jsonl", rows)
    run_flow(tmp_path / "judge", data, name="again", repeats=2, concurrency=1)
    assert pf("eval", "calibrate", "--run", "again", "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["repeats"]["count"] == 2
    assert found["repeats"]["steady"] == 0.5
    assert found["repeats"]["variance"] == 0.125
    assert found["items"] == 2


def test_a_threshold_makes_yes_and_no_of_scores(
    judge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"line_number": n, "good": good} for n, good in enumerate([False, True, True, True])]
    file = lines(tmp_path / "good.jsonl", rows)
    asked = ["eval", "calibrate", "--run", judge, "--labels", str(file), "--label", "good"]
    assert pf(*asked) == 2
    assert "--at-least 4" in capsys.readouterr().err
    assert pf(*asked, "--at-least", "4", "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["confusion"] == {"no": {"no": 1, "yes": 0}, "yes": {"no": 1, "yes": 2}}
    assert found["bias"] is None
    assert pf(*asked, "--at-least", "4") == 0
    assert "0.75 (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--label", "grad"], "'grad'"),
        ([], "'label'"),
        (["--label", "grade", "--score", "scor"], "'scor'"),
        (["--label", "grade", "--by", "name"], "'name'"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    judge: str, asked: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf("eval", "calibrate", "--run", judge, *asked) == 2
    error = capsys.readouterr().err
    assert said in error


def test_labels_without_a_judged_item_are_refused(
    judge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lines(tmp_path / "other.jsonl", [{"line_number": 90, "label": 1}])
    assert pf("eval", "calibrate", "--run", judge, "--labels", str(file)) == 2
    assert "7 are judged, 1 labelled" in capsys.readouterr().err


def test_the_evaluators_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert pf("eval", "list", "--output", "json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["groundedness"]["judge"] is True
    assert found["qa_text"]["judge"] is False
    assert found["ranking"]["inputs"][:2] == ["documents", "ground_truth"]


def test_a_copy_of_an_evaluator_is_a_flow_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    assert pf("eval", "copy", "fluency", str(folder)) == 0
    assert (folder / "judge.jinja2").is_file()
    assert pf("flow", "validate", "--source", str(folder)) == 0
    assert pf("eval", "copy", "fluency", str(folder)) == 2
    assert pf("eval", "copy", "fluncy", str(tmp_path / "other")) == 2
