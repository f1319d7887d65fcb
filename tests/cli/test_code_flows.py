"""Flex flows and prompty files, as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows_of import write
from tests.model_server import ModelServer

JUDGE = """\
    open("../imported", "w").close()


    class Judge:
        def __init__(self, truth: str, api_key: str = "", strict: bool = False):
            self.truth, self.strict = truth, strict

        def __call__(self, answer: str):
            right = answer == self.truth if self.strict else self.truth.lower() in answer.lower()
            return {"right": right}

        def __aggregate__(self, line_results: list) -> dict:
            return {"accuracy": sum(r.right for r in line_results) / len(line_results)}
    """
ANSWER = "def answer(city: str, times: int = 1):\n    return city * times\n"
PROMPTY = """\
    ---
    name: Ask
    inputs: {question: {type: string}}
    sample: {question: sampled}
    ---
    user:
    {{ question }}
    """


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("PF_TRACKING", "off")
    with ModelServer() as running:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        yield running


def pf(folder: Path, *args: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "promptflow_lite", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def folder_of(tmp_path: Path) -> Path:
    write(tmp_path / "judge", flow__flex__yaml="entry: judge:Judge\n", judge__py=JUDGE)
    write(tmp_path, answers__py=ANSWER, ask__prompty=PROMPTY)
    (tmp_path / "data.jsonl").write_text('{"city": "Paris"}\n{"city": "Rome"}\n', encoding="utf-8")
    return tmp_path


def test_a_prompty_is_tested_with_its_sample(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    assert json.loads(pf(folder, "flow", "test", "--flow", "ask.prompty")) == {"output": "echo: sampled"}
    said = pf(folder, "flow", "test", "--flow", "ask.prompty", "--inputs", "question=q")
    assert json.loads(said) == {"output": "echo: q"}


def test_a_class_is_tested_with_init(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    asked = ("flow", "test", "--flow", "judge", "--inputs", "answer=In Paris.")
    assert json.loads(pf(folder, *asked, "--init", "truth=paris")) == {"right": True}
    (folder / "init.json").write_text('{"truth": "paris", "strict": true}', encoding="utf-8")
    assert json.loads(pf(folder, *asked, "--init", "init.json")) == {"right": False}
    assert "missing-init" in pf(folder, *asked, code=2)
    assert "did you mean 'truth'?" in pf(folder, *asked, "--init", "thruth=x", code=2)


def test_validate_imports_nothing(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    pf(folder, "flow", "validate", "--source", "judge")
    assert not list(folder.rglob("imported"))


def test_a_class_scores_what_a_function_answered(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    data = ("--data", "data.jsonl")
    pf(folder, "run", "create", "--flow", "answers:answer", "--name", "base", *data)
    (folder / "score.yaml").write_text(
        "flow: judge\nrun: base\nname: scores\ncolumn_mapping: {answer: '${run.outputs.output}'}\n"
        "init: {truth: Paris, api_key: sk-never-kept}\n",
        encoding="utf-8",
    )
    pf(folder, "run", "create", "--file", "score.yaml")
    assert json.loads(pf(folder, "run", "show-metrics", "scores", "--output", "json")) == {"accuracy": 0.5}
    kept = Path(os.environ["PF_HOME"]) / "runs" / "scores" / "run.json"
    assert json.loads(kept.read_text(encoding="utf-8"))["init"] == {"truth": "Paris", "api_key": "***"}


def test_a_run_of_a_class_goes_on_and_aggregates_again(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    data = ("--data", "data.jsonl", "--column-mapping", "answer=${data.city}", "--init", "truth=Rome")
    pf(folder, "run", "create", "--flow", "judge", "--name", "whole", *data)
    run = Path(os.environ["PF_HOME"]) / "runs" / "whole"
    lines = (run / "lines.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run / "lines.jsonl").write_text(lines[0], encoding="utf-8")
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**record, "status": "Canceled"}), encoding="utf-8")
    pf(folder, "run", "resume", "whole")
    assert json.loads(pf(folder, "run", "show-metrics", "whole", "--output", "json")) == {"accuracy": 0.5}


def test_worker_processes_make_the_class_too(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    data = ("--data", "data.jsonl", "--column-mapping", "answer=${data.city}", "--init", "truth=Rome")
    pf(folder, "run", "create", "--flow", "judge", "--name", "apart", "--workers", "2", *data)
    assert json.loads(pf(folder, "run", "show-metrics", "apart", "--output", "json")) == {"accuracy": 0.5}


def test_a_prompty_is_run_over_data(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    mapped = ("--column-mapping", "question=${data.city}")
    init = ("--init", 'model={"parameters": {"max_tokens": 7}}')
    pf(
        folder,
        "run",
        "create",
        "--flow",
        "ask.prompty",
        "--name",
        "asked",
        "--data",
        "data.jsonl",
        *mapped,
        *init,
    )
    shown = pf(folder, "run", "show-details", "asked", "--format", "jsonl")
    assert [json.loads(row)["outputs"]["output"] for row in shown.splitlines()] == [
        "echo: Paris",
        "echo: Rome",
    ]
    assert {request.body["max_tokens"] for request in server.requests} == {7}


def test_a_run_may_give_a_prompty_another_connection_and_model(tmp_path: Path, server: ModelServer) -> None:
    folder = folder_of(tmp_path)
    (folder / "other.yaml").write_text(
        f"name: other\ntype: open_ai\napi_key: sk-other-key\nbase_url: {server.base_url}\n", encoding="utf-8"
    )
    pf(folder, "connection", "create", "--file", "other.yaml")
    mapped = ("--data", "data.jsonl", "--column-mapping", "question=${data.city}")
    given = ("--connections", "ask.connection=other", "ask.model=gpt-5")
    pf(folder, "run", "create", "--flow", "ask.prompty", "--name", "other", *mapped, *given)
    assert {(r.headers["authorization"], r.body["model"]) for r in server.requests} == {
        ("Bearer sk-other-key", "gpt-5")
    }
