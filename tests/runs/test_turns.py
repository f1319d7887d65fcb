"""Lines that are conversations: a chat flow over turns, and a flow that gets each turn by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import promptflow_lite as pf
from promptflow_lite.connections.store import provider
from promptflow_lite.errors import InputError
from promptflow_lite.runs.estimate import estimate
from promptflow_lite.runs.home import run_store
from promptflow_lite.runs.prepare import prepare
from promptflow_lite.runs.prices import Prices
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL
from promptflow_lite.settings import settings
from promptflow_lite.tools.bind import bind
from tests.conftest import ROOT
from tests.flows_of import write
from tests.model_server import ModelServer
from tests.runs.flows import write_rows

TALK = """\
inputs:
  chat_history: {type: list, is_chat_history: true}
  said: {type: string, is_chat_input: true}
  tone: {type: string, default: plain}
outputs:
  reply: {type: string, reference: "${answer.output.reply}", is_chat_output: true}
  heard: {type: list, reference: "${answer.output.heard}"}
nodes:
- name: answer
  type: python
  source: {type: code, path: answer.py}
  inputs: {said: "${inputs.said}", before: "${inputs.chat_history}", tone: "${inputs.tone}"}
"""
ANSWER = """\
import time

from promptflow_lite import tool


@tool
def answer(said: str, before: list, tone: str) -> dict:
    if said == "slow":
        time.sleep(0.6)
    if said == "bad":
        raise ValueError("cannot answer that")
    return {"reply": f"{tone} {said}", "heard": before}
"""
COUNT = """\
type: evaluation
inputs:
  answer: {type: string}
  ground_truth: {type: string}
  weight: {type: int, default: 1}
outputs:
  right: {type: int, reference: "${score.output}"}
  grade: {type: string, reference: "${word.output}"}
nodes:
- name: score
  type: python
  source: {type: code, path: score.py}
  inputs: {answer: "${inputs.answer}", truth: "${inputs.ground_truth}", weight: "${inputs.weight}"}
- name: word
  type: python
  source: {type: code, path: word.py}
  inputs: {right: "${score.output}"}
- name: total
  type: python
  aggregation: true
  source: {type: code, path: total.py}
  inputs: {scores: "${score.output}", truths: "${inputs.ground_truth}"}
"""
SCORE = """\
from promptflow_lite import tool


@tool
def score(answer: str, truth: str, weight: int) -> int:
    return weight * (answer == truth)
"""
WORD = """\
from promptflow_lite import tool


@tool
def word(right: int) -> str:
    return "correct" if right else "wrong"
"""
HEAR = """\
type: evaluation
inputs:
  history: {type: list}
outputs:
  n: {type: int, reference: "${n.output}"}
nodes:
- name: n
  type: python
  source: {type: code, path: n.py}
  inputs: {history: "${inputs.history}"}
"""
HEAR_PY = """\
from promptflow_lite import tool


@tool
def n(history: list) -> int:
    return len(history)
"""
PROMPTY = """\
---
name: talk
model:
  api: chat
  configuration: {type: openai, model: m}
inputs:
  question: {type: string}
  chat_history: {type: list}
---
system:
Be kind.
{% for item in chat_history %}
{{item.role}}:
{{item.content}}
{% endfor %}
user:
{{question}}
"""
TOTAL = """\
from promptflow_lite import log_metric, tool


@tool
def total(scores: list, truths: list) -> None:
    log_metric("asked", len(scores))
    log_metric("right", sum(scores) / len(scores))
    log_metric("truths", len(truths))
"""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write(tmp_path / "talk", dag=TALK, answer__py=ANSWER)


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    return write(tmp_path / "judge", dag=COUNT, score__py=SCORE, word__py=WORD, total__py=TOTAL)


def outputs(run: Any) -> list[dict[str, Any]]:
    return [line["outputs"] for line in run.details]


def plain(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn without what it took."""
    return {name: value for name, value in turn.items() if name not in ("usage", "seconds")}


def test_a_chat_flow_hears_its_own_answers_turn_by_turn(talk: Path) -> None:
    done = pf.run(talk, [{"turns": ["Hello.", "東京は？"]}])
    [line] = outputs(done)
    first = {"inputs": {"said": "Hello."}, "outputs": {"reply": "plain Hello."}}
    assert line["reply"] == "plain 東京は？"
    assert line["heard"] == [first]
    assert [plain(turn) for turn in line["turns"]] == [
        {"question": "Hello.", "answer": "plain Hello.", "outputs": {"reply": "plain Hello.", "heard": []}},
        {
            "question": "東京は？",
            "answer": "plain 東京は？",
            "outputs": {"reply": "plain 東京は？", "heard": [first]},
        },
    ]
    assert done.lines.completed == 1


@pytest.mark.parametrize("ordinary", [3, "three", None])
def test_a_chat_input_with_a_default_leaves_a_column_turns_of_other_things_alone(
    talk: Path, ordinary: Any
) -> None:
    dag = talk / "flow.dag.yaml"
    dag.write_text(dag.read_text().replace("is_chat_input: true", "is_chat_input: true, default: Hello."))
    [line] = outputs(pf.run(talk, [{"turns": ordinary, "tone": "dry"}]))
    assert line == {"reply": "dry Hello.", "heard": []}


@pytest.mark.parametrize("turns", [["Hi."], '["Hi."]', {"messages": [{"role": "user", "content": "Hi."}]}])
def test_a_chat_input_with_a_default_talks_where_the_column_holds_conversations(
    talk: Path, turns: Any
) -> None:
    dag = talk / "flow.dag.yaml"
    dag.write_text(dag.read_text().replace("is_chat_input: true", "is_chat_input: true, default: Hello."))
    [line] = outputs(pf.run(talk, [{"turns": turns}]))
    assert [turn["answer"] for turn in line["turns"]] == ["plain Hi."]


def test_turns_are_written_in_more_than_one_way(talk: Path) -> None:
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "One"}]},
        {"role": "assistant", "content": "plain One"},
        {"role": "user", "content": "Two"},
    ]
    rows: list[dict[str, Any]] = [
        {"turns": ["One", {"question": "Two"}]},
        {"turns": [{"said": "One"}, {"inputs": {"said": "Two"}}]},
        {"turns": messages},
        {"turns": {"messages": messages}},
        {"turns": json.dumps(["One", "Two"])},
    ]
    done = pf.run(talk, rows)
    assert [[turn["answer"] for turn in line["turns"]] for line in outputs(done)] == [
        ["plain One", "plain Two"]
    ] * 5
    assert [turn.get("expected") for turn in outputs(done)[2]["turns"]] == ["plain One", None]


def test_a_turn_may_have_inputs_of_its_own_and_keeps_what_the_data_says_of_it(talk: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "tone": "kind",
            "chat_history": [{"inputs": {"said": "before"}, "outputs": {"reply": "yes"}}],
            "turns": ["One", {"question": "Two", "inputs": {"tone": "rude"}, "expected": "x", "topic": 7}],
        }
    ]
    [line] = outputs(pf.run(talk, rows))
    assert [turn["answer"] for turn in line["turns"]] == ["kind One", "rude Two"]
    assert [turn["inputs"]["said"] for turn in line["heard"]] == ["before", "One"]
    assert (line["turns"][1]["expected"], line["turns"][1]["topic"]) == ("x", 7)


def test_a_turn_that_fails_fails_its_line_and_says_which_it_was(talk: Path) -> None:
    done = pf.run(talk, [{"turns": ["One", "bad", "never"]}, {"turns": ["Two"]}])
    failed, whole = done.details
    assert (done.lines.completed, done.lines.failed) == (1, 1)
    assert failed["error"]["code"] == "node-error"
    assert failed["error"]["message"].startswith("turn 2 of 3: ")
    assert [turn["question"] for turn in failed["outputs"]["turns"]] == ["One"]
    assert whole["status"] == "Completed"


def test_the_time_of_a_line_is_that_of_the_whole_conversation(talk: Path) -> None:
    done = pf.run(talk, [{"turns": ["slow", "slow", "slow"]}], line_timeout_s=0.9)
    assert done.details[0]["error"]["code"] == "timeout"
    assert done.details[0]["error"]["message"] == "turn 2 of 3: the line took longer than 0.9 s"


def test_what_is_no_conversation_is_named_before_anything_runs(talk: Path, tmp_path: Path) -> None:
    data = write_rows(
        tmp_path / "d.jsonl",
        [
            {"turns": []},
            {"turns": ["fine", 3, {"qestion": "a"}]},
            {"turns": [{"question": "b", "inputs": {"tome": "rude"}}]},
            {"turns": [{"role": "user"}]},
            {"other": 1},
        ],
    )
    with pytest.raises(InputError) as caught:
        pf.run(talk, data)
    assert caught.value.code == "bad-turns"
    said = caught.value.message.splitlines()
    assert [line.partition(": ")[0].rpartition(":")[2] for line in said] == ["1", "2", "2", "3", "4", "5"]
    assert "did you mean 'tone'" in said[3]


def test_a_column_of_the_chat_input_means_single_questions(talk: Path) -> None:
    [line] = outputs(pf.run(talk, [{"said": "One", "turns": ["not", "these"]}]))
    assert line == {"reply": "plain One", "heard": []}


def test_turns_may_be_mapped_from_another_column(talk: Path) -> None:
    rows = [{"said": "One", "dialog": ["Two"]}]
    [line] = outputs(pf.run(talk, rows, column_mapping={"turns": "${data.dialog}"}))
    assert line["reply"] == "plain Two"


def test_only_the_lines_that_are_missing_talk_again(talk: Path) -> None:
    rows = [{"turns": ["One", "bad"]}, {"turns": ["Two", "Three"]}]
    once = pf.run(talk, rows, name="once", batch_timeout_s=100)
    kept = run_store().folder("once") / JOURNAL
    whole = kept.read_text().splitlines(keepends=True)
    kept.write_text("".join(line for line in whole if json.loads(line)["line_number"] == 1))
    again = pf.run(talk, rows, name="again", resume_from=once)
    assert (again.lines.completed, again.lines.failed) == (1, 1)
    second = [json.loads(line) for line in (run_store().folder("again") / JOURNAL).read_text().splitlines()]
    assert [record["started"] for record in second if record["line_number"] == 1] == [
        json.loads(line)["started"] for line in whole if json.loads(line)["line_number"] == 1
    ]


def test_tokens_of_all_turns_are_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[dict[str, Any]]] = []

    def answer(body: Any) -> str:
        asked.append(body["messages"])
        return f"answer {len(asked)}"

    with ModelServer(answer) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        [detail] = pf.run(ROOT / "flows" / "chat", [{"turns": ["One", "Two"]}], name="asked").details
    assert [message["content"] for message in asked[1][1:]] == ["One", "answer 1", "Two"]
    turns = detail["outputs"]["turns"]
    record = json.loads((run_store().folder("asked") / JOURNAL).read_text())
    assert record["usage"]["prompt_tokens"] == sum(turn["usage"]["prompt_tokens"] for turn in turns) > 0
    assert list(record["node_runs"]) == ["chat (turn 1)", "chat (turn 2)"]


def test_a_prompt_gets_its_history_as_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talk.prompty").write_text(PROMPTY)
    asked: list[list[dict[str, Any]]] = []

    def answer(body: Any) -> str:
        asked.append(body["messages"])
        return f"answer {len(asked)}"

    with ModelServer(answer) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        done = pf.run(tmp_path / "talk.prompty", [{"turns": ["One", "Two"]}])
    assert done.lines.completed == 1, done.details
    assert [message["content"] for message in asked[1][1:]] == ["One", "answer 1", "Two"]


@pytest.fixture
def talked(talk: Path) -> Iterator[Any]:
    rows: list[dict[str, Any]] = [
        {"turns": [{"question": "a", "expected": "plain a"}, {"question": "b", "expected": "other"}]},
        {"turns": [{"question": "c", "expected": "plain c"}, "d"]},
        {"turns": ["e"]},
        {"turns": ["bad"]},
    ]
    yield pf.run(talk, rows, name="talked")


def test_an_evaluator_scores_each_turn_and_aggregates_over_all(talked: Any, judge: Path) -> None:
    done = pf.run(judge, run=talked)
    assert [line["turns"] for line in outputs(done)] == [
        [{"right": 1, "grade": "correct"}, {"right": 0, "grade": "wrong"}],
        [{"right": 1, "grade": "correct"}, None],
    ]
    assert [line["right"] for line in outputs(done)] == [0.5, 1.0]
    assert done.metrics == {"asked": 3, "right": pytest.approx(2 / 3), "truths": 3, "turns": 3, "failed": 0}
    assert (done.lines.completed, done.lines.skipped) == (2, 2)


def test_parts_of_a_turn_are_mapped_by_name_and_by_path(talked: Any, judge: Path) -> None:
    mapping = {"answer": "${turn.outputs.reply}", "ground_truth": "${turn.expected}", "weight": 10}
    done = pf.run(judge, run=talked, column_mapping=mapping)
    assert [line["right"] for line in outputs(done)] == [5.0, 10.0]


def test_recorded_conversations_are_scored_without_a_run(judge: Path) -> None:
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "yes", "context": "no"}]
    mapping = {"answer": "${turn.answer}", "ground_truth": "${turn.context}"}
    rows = [{"conversation": {"messages": said}}, {"conversation": {"messages": [*said, *said[:1]]}}]
    done = pf.run(judge, rows, column_mapping=mapping)
    assert [line["right"] for line in outputs(done)] == [0.0, 0.0]
    assert [len(line["turns"]) for line in outputs(done)] == [1, 2]


def test_a_turn_knows_what_was_said_before_it(talked: Any, tmp_path: Path) -> None:
    flow = write(tmp_path / "hear", dag=HEAR, n__py=HEAR_PY)
    done = pf.run(flow, run=talked)
    assert [[turn["n"] for turn in line["turns"]] for line in outputs(done)] == [[0, 2], [0, 2], [0]]


def test_aggregation_nodes_of_a_flow_that_talks_see_every_turn(tmp_path: Path) -> None:
    dag = TALK + (
        "- name: all\n  type: python\n  aggregation: true\n  source: {type: code, path: all.py}\n"
        '  inputs: {said: "${inputs.said}", tones: "${inputs.tone}", replies: "${answer.output}"}\n'
    )
    count = (
        "from promptflow_lite import log_metric, tool\n\n\n@tool\n"
        "def count(said: list, tones: list, replies: list) -> None:\n"
        '    log_metric("said", "".join(said))\n    log_metric("tones", " ".join(tones))\n'
        '    log_metric("heard", sum(len(reply["heard"]) for reply in replies))\n'
    )
    flow = write(tmp_path / "all", dag=dag, answer__py=ANSWER, all__py=count)
    turns = ["b", {"question": "c", "inputs": {"tone": "rude"}}]
    done = pf.run(flow, [{"turns": ["a"]}, {"turns": turns}])
    assert done.metrics == {"said": "abc", "tones": "plain plain rude", "heard": 1}


@pytest.mark.parametrize("name", ["classification", "qa_text", "text_similarity"])
def test_a_shipped_evaluator_scores_turns_as_it_scores_lines(name: str, talked: Any) -> None:
    pairs = [("plain a", "plain a"), ("plain b", "other"), ("plain c", "plain c")]
    pairs += [("plain d", ""), ("plain e", "")]
    answer = "prediction" if name == "classification" else "answer"
    mapping = {answer: "${turn.answer}", "ground_truth": "${turn.expected}"}
    by_turn = pf.run(f"evaluator:{name}", run=talked, column_mapping=mapping)
    by_line = pf.run(f"evaluator:{name}", [{answer: a, "ground_truth": e} for a, e in pairs])
    assert by_turn.metrics == {**by_line.metrics, "turns": 5}
    assert [turn for line in outputs(by_turn) for turn in line["turns"]] == outputs(by_line)


def test_turns_of_a_run_without_any_are_refused(talk: Path, judge: Path) -> None:
    base = pf.run(talk, [{"said": "One"}])
    with pytest.raises(InputError) as caught:
        pf.run(judge, run=base, column_mapping={"answer": "${turn.answer}", "ground_truth": "x"})
    assert caught.value.code == "bad-column-mapping"


def test_worker_processes_talk_and_score_alike(talk: Path, judge: Path) -> None:
    rows = [{"turns": [{"question": "a", "expected": "plain a"}, {"question": "b", "expected": "other"}]}]
    base = pf.run(talk, rows, workers=1)
    done = pf.run(judge, run=base, workers=1)
    assert outputs(base)[0]["reply"] == "plain b"
    assert outputs(done)[0]["right"] == 0.5


def test_evaluate_scores_the_turns_of_a_target(talk: Path, judge: Path) -> None:
    rows = [{"turns": [{"question": "a", "expected": "plain a"}, {"question": "b", "expected": "other"}]}]
    found = pf.evaluate(rows, {"judge": judge}, target=talk)
    assert found.metrics["judge.right"] == 0.5
    assert found.rows[0]["judge.right"] == 0.5


def test_an_estimate_counts_the_calls_of_every_turn_and_the_answers_that_they_hear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_rows(tmp_path / "d.jsonl", [{"turns": ["One", "Two", "Three"]}, {"turns": ["Four"]}])
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    prepared = prepare(Run(name="r", flow=str(ROOT / "flows" / "chat"), data=str(data)), run_store())
    bound = bind(prepared.flow, provider(settings()))
    total = estimate(bound, prepared.lines, Prices.of(settings()), mode=prepared.mode).total
    assert (total.calls.low, total.calls.high) == (4, 4)
    # The second turn of a line hears one answer, the third two: of up to 256 tokens each.
    assert total.prompt_tokens.high == total.prompt_tokens.low + 3 * 256


@pytest.mark.parametrize(("column", "value"), [("turns", 3), ("messages", "hello"), ("conversation", "c1")])
def test_an_ordinary_column_of_that_name_is_no_conversation(column: str, value: Any, tmp_path: Path) -> None:
    flow = write(
        tmp_path / "hear", dag=HEAR.replace("{type: list}", "{type: list, default: []}"), n__py=HEAR_PY
    )
    done = pf.run(flow, [{column: value}])
    assert outputs(done) == [{"n": 0}]


def test_a_flow_with_an_input_of_that_name_runs_as_ever(tmp_path: Path) -> None:
    dag = TALK.replace("inputs:\n", "inputs:\n  turns: {type: int}\n", 1)
    dag = dag.replace("outputs:\n", "outputs:\n  told: {type: int, reference: '${inputs.turns}'}\n", 1)
    flow = write(tmp_path / "count", dag=dag, answer__py=ANSWER)
    assert outputs(pf.run(flow, [{"said": "a", "turns": "2"}]))[0]["told"] == 2


def test_a_flow_with_an_output_of_that_name_is_scored_as_before(tmp_path: Path, judge: Path) -> None:
    dag = TALK.replace(
        "  heard:",
        "  turns: {type: int, reference: 7}\n  answer: {reference: '${answer.output.reply}'}\n  heard:",
    )
    flow = write(tmp_path / "own", dag=dag, answer__py=ANSWER)
    rows = [{"said": "a", "ground_truth": "plain a"}]
    assert pf.evaluate(rows, {"judge": judge}, target=flow).metrics["judge.right"] == 1
    with pytest.raises(InputError) as caught:
        pf.run(flow, [{"turns": ["a"]}])
    assert caught.value.code == "bad-turns"
