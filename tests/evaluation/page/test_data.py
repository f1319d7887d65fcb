"""What a report knows of runs, against what their folders hold."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

import promptflow_lite as pf
from promptflow_lite.evaluation import gate
from promptflow_lite.evaluation.page import Shown, collect
from promptflow_lite.evaluation.page.texts import CUT, Texts
from promptflow_lite.evaluation.report import write_comparison
from promptflow_lite.evaluation.scores import read
from promptflow_lite.evaluation.side_by_side import side_by_side
from promptflow_lite.runs.home import run_store
from tests.evaluation.page.reported import data_of, graded, page_of
from tests.flows_of import echo, write
from tests.model_server import ModelServer

RATED = """
inputs:
  score: {type: double}
outputs:
  score: {type: double, reference: "${rate.output}"}
nodes:
- name: rate
  type: python
  source: {type: code, path: rate.py}
  inputs: {score: "${inputs.score}"}
"""
RATE = """
from promptflow_lite import tool


@tool
def rate(score: float) -> float:
    return score
"""


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_TRACKING", "off")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    graded(tmp_path, 20)
    return tmp_path


def test_figures_come_with_their_intervals_and_what_they_are_of(runs: Path) -> None:
    data = data_of(page_of("weak", "strong", folder=runs))
    figures = {one["metric"]: one for one in data["figures"]}
    assert figures["grade"]["scored"] == {"weak": 20, "strong": 19}
    value, low, high = figures["grade"]["runs"]["weak"]
    assert value == 12 / 20 and 0 < low < value < high < 1
    assert figures["accuracy"]["runs"]["strong"] == [17 / 19] * 3
    assert figures["seconds"]["lower_is_better"]
    [grade] = [one for one in data["comparisons"] if one["metric"] == "grade"]
    assert (grade["better"], grade["worse"], grade["pairs"]) == (5, 0, 19)  # 6, 8, 16, 17, 18
    assert data["failing"] == [{"run": "strong", "newly": ["7"], "no_longer": []}]


def test_a_line_has_what_went_in_what_came_out_and_what_happened_between(runs: Path) -> None:
    data = data_of(page_of("weak", "strong", folder=runs))
    line, texts = data["lines"][6], data["texts"]
    assert (line["name"], texts[line["inputs"]["text"]], texts[line["expected"]]) == (
        "6",
        "配送は いつ 6",
        "質問",
    )
    weak, strong = line["runs"]["weak"], line["runs"]["strong"]
    assert [texts[run["outputs"]["label"]] for run in (weak, strong)] == ["苦情", "質問"]
    assert [run["scores"]["grade"] for run in (weak, strong)] == [0, 1]
    assert [node["node"] for node in weak["trace"]] == ["search", "classify"]
    search, classify = weak["trace"]
    assert classify["at"] >= search["at"] + search["seconds"] - 0.001 and classify["seconds"] >= 0.002
    assert {one["run"] for one in weak["evaluations"]} == {"weak_grades", "weak_ranks"}
    failed = data["lines"][7]["runs"]["strong"]
    assert failed["status"] == "Failed" and "<b>that</b>" in texts[failed["error"]["message"]]


def test_matrices_and_curves_are_those_of_the_evaluations(runs: Path) -> None:
    data = data_of(page_of("weak", folder=runs))
    [matrix] = data["matrices"]
    assert (matrix["rows"], matrix["columns"], matrix["counts"]) == (
        ["質問"],
        ["質問", "(invalid)"],
        [[12, 8]],
    )
    curves = {one["metric"]: one["runs"]["weak"] for one in data["curves"]}
    # d0 stands at place 5, 4, 3 of the lines that begin at d1, d2, d3, and first in every fourth
    assert [point[:2] for point in curves["recall@k"]] == [
        [1, 0.25],
        [2, 0.25],
        [3, 0.5],
        [4, 0.75],
        [5, 1.0],
    ]
    logged = next(one for one in data["figures"] if one["metric"] == "ndcg@5")["runs"]["weak"][0]
    assert curves["ndcg@k"][-1][:2] == [5, pytest.approx(logged)]


def test_a_gate_is_shown_with_what_came_of_it(runs: Path) -> None:
    (runs / "gate.yaml").write_text("rules: [{metric: accuracy, at_least: 0.95}]")
    found = side_by_side([read(run_store(), name) for name in ("weak", "strong")])
    results = gate.check(gate.read(runs / "gate.yaml"), "strong", {}, {})
    data = data_of(write_comparison(run_store(), found, results, runs / "r.html"))
    assert data["outcome"] == "fail" and data["gate"][0]["rule"] == "accuracy at least 0.95"


def test_of_more_lines_than_asked_for_those_that_failed_or_changed_stay(runs: Path) -> None:
    data = data_of(page_of("weak", "strong", folder=runs, limit=8))
    shown = {line["name"] for line in data["lines"]}
    assert "7" in shown and len(shown) == 8
    assert data["total"] == 20 and any("12 of 20 lines" in note for note in data["notes"])


def test_long_texts_are_cut_and_said_to_be(runs: Path) -> None:
    data = data_of(page_of("weak", folder=runs))
    assert max(map(len, data["texts"])) < CUT + 100
    assert any("cut after 20,000 characters" in note for note in data["notes"])


def test_texts_are_kept_once_and_bytes_of_images_not_at_all() -> None:
    texts = Texts(room=100)
    assert texts.add("a") == texts.add("a") == 0 and texts.add(None) is None
    texts.add({"data:image/png;base64": "A" * 4000})
    assert texts.kept[1] == '{\n  "data:image/png;base64": "(3,000 bytes)"\n}' and not texts.is_full
    texts.add("b" * 100)
    assert texts.is_full


def test_runs_over_different_data_stand_beside_each_other(tmp_path: Path) -> None:
    flow = echo(tmp_path / "echo")
    pf.run(flow, [{"text": "a"}], name="one")
    pf.run(flow, [{"text": "b"}, {"text": "c"}], name="two")
    data = data_of(page_of("one", "two", folder=tmp_path))
    assert data["comparisons"] == [] and "different data" in data["notes"][0]
    assert [(line["name"], list(line["runs"])) for line in data["lines"]] == [
        ("one:0", ["one"]),
        ("two:0", ["two"]),
        ("two:1", ["two"]),
    ]


def test_a_run_of_a_sweep_says_which_combination_it_is(tmp_path: Path) -> None:
    pf.run(echo(tmp_path / "echo"), [{"text": "a"}], matrix={"inputs.times": [1, 2]}, name="s")
    data = data_of(page_of("s-times_1", "s-times_2", folder=tmp_path))
    assert [run["choice"] for run in data["runs"]] == ["inputs.times=1", "inputs.times=2"]


def test_an_evaluation_that_is_named_with_its_run_is_shown_there(runs: Path) -> None:
    data = data_of(page_of("weak", "weak_grades", folder=runs))
    assert [run["name"] for run in data["runs"]] == ["weak"] and data["comparisons"] == []
    assert "weak_grades evaluated weak; its scores stand there." in data["notes"]


def test_the_prompt_that_was_sent_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = write(
        tmp_path / "asks",
        dag="""\
        inputs: {text: {type: string}}
        outputs: {answer: {type: string, reference: "${ask.output}"}}
        nodes:
        - name: ask
          type: llm
          source: {type: code, path: ask.jinja2}
          api: chat
          inputs: {model: m, text: "${inputs.text}"}
        """,
        ask__jinja2="system:\nBe short.\nuser:\n{{ text }}",
    )
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        pf.run(flow, [{"text": "user:\nno role of mine"}], name="asked")
    sent = server.requests[-1].body["messages"]
    data = data_of(page_of("asked", folder=tmp_path))
    [node] = data["lines"][0]["runs"]["asked"]["trace"]
    assert [{"role": role, "content": data["texts"][i]} for role, i in node["messages"]] == sent


def test_a_connections_secret_that_stands_in_a_run_is_not_in_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pf.run(echo(tmp_path / "echo"), [{"text": "a-secret-of-later"}], name="told")
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-of-later")
    page = page_of("told", folder=tmp_path)
    assert "a-secret-of-later" not in page.read_text()
    assert "***" in json.dumps(data_of(page)["texts"])


def test_plain_data_are_the_same_each_time_but_for_the_hour(runs: Path) -> None:
    shown = Shown([read(run_store(), "weak")])
    one, other = (collect(run_store(), shown) for _ in range(2))
    assert one | {"made": 0} == other | {"made": 0}


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([1, 5, 5, 2], [1, 2, 3, 4, 5]),
        ([0.0, 0.5, 1.0, 1.0], [0, 0.5, 1]),
        ([234, 239, 245, 604, 615], None),
        ([0.0, 1 / 3, 0.5, 1.0, 0.9], None),
    ],
)
def test_a_distribution_has_a_bar_for_each_step_of_a_scale_and_else_an_even_axis(
    tmp_path: Path, given: list[float], values: list[float] | None
) -> None:
    rows = [{"score": score} for score in given]
    pf.run(write(tmp_path / "rated", dag=RATED, rate__py=RATE), rows, name="rated")
    data = data_of(page_of("rated", folder=tmp_path))
    [found] = [one for one in data["distributions"] if one["metric"] == "score"]
    assert sum(found["counts"]["rated"]) == len(given)
    if values is not None:
        assert found["values"] == values
        assert found["counts"]["rated"] == [given.count(value) for value in values]
    else:
        widths = [after - before for before, after in itertools.pairwise(found["edges"])]
        assert max(widths) == pytest.approx(min(widths))
