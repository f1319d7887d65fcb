"""`pf run create --cache`, `--estimate`, `--max-tokens`, and `pf cache`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import pf
from tests.model_server import ModelServer

FLOW = """\
inputs:
  text: {type: string}
outputs:
  answer: {type: string, reference: "${ask.output}"}
nodes:
- name: ask
  type: llm
  api: chat
  connection: mine
  source: {type: code, path: ask.jinja2}
  inputs: {model: gpt-4o-mini, max_tokens: 9, text: "${inputs.text}"}
"""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def asked(server: ModelServer, home: Path, tmp_path: Path) -> list[str]:
    """`pf run create` over ten lines, of which five are the same as the others."""
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow" / "flow.dag.yaml").write_text(FLOW)
    (tmp_path / "flow" / "ask.jinja2").write_text("user:\n{{text}}\n")
    rows = (json.dumps({"text": f"t{number % 5}"}) for number in range(10))
    (tmp_path / "data.jsonl").write_text("\n".join(rows))
    (home / "connections").mkdir()
    connection = f"type: open_ai\nbase_url: {server.base_url}\napi_key: sk-secret\n"
    (home / "connections" / "mine.yaml").write_text(connection)
    command = ["run", "create", "--flow", str(tmp_path / "flow"), "--data", str(tmp_path / "data.jsonl")]
    return [*command, "--no-tracking"]


def test_an_estimate_sends_nothing_and_makes_no_run(
    asked: list[str], server: ModelServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf(*asked, "--estimate", "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lines"] == 10
    assert found["total"]["calls"] == {"low": 10, "high": 10}
    assert found["total"]["completion_tokens"] == {"low": 10, "high": 90}
    assert 0 < found["total"]["cost"]["low"] < found["total"]["cost"]["high"] < 0.001
    assert server.count == 0
    assert not (home / "runs").exists() or not list((home / "runs").iterdir())


def test_what_is_kept_is_not_asked_again_and_can_be_seen(
    asked: list[str],
    server: ModelServer,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pf(*asked, "--cache", "--name", "first") == 0
    assert server.count == 5
    assert "5 answers from the cache" in capsys.readouterr().out
    assert pf(*asked, "--cache", "--name", "second") == 0
    assert pf(*asked, "--no-cache", "--name", "third") == 0
    assert server.count == 5 + 10
    capsys.readouterr()
    assert pf("cache", "show", "--output", "json") == 0
    [model] = json.loads(capsys.readouterr().out)["models"]
    assert (model["model"], model["answers"], model["hits"]) == ("gpt-4o-mini", 5, 15)
    assert pf("cache", "export", "--file", str(tmp_path / "kept.jsonl")) == 0
    kept = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert len(kept) == 5
    assert "sk-secret" not in "".join(kept)
    assert pf("cache", "clear", "--older-than", "1h", "--yes") == 0
    assert "0 answers forgotten" in capsys.readouterr().out
    assert pf("cache", "clear", "--yes") == 0
    assert "5 answers forgotten" in capsys.readouterr().out
    assert (home / "cache" / "answers.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_budget_ends_the_run_with_the_command_that_goes_on(
    asked: list[str], server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pf(*asked, "--max-tokens", "5", "--concurrency", "1", "--name", "it") == 1
    assert "pf run resume it --max-tokens 10" in capsys.readouterr().out
    assert pf("run", "resume", "it", "--max-tokens", "1000", "--no-tracking") == 0
    assert server.count == 10


def test_an_age_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert pf("cache", "clear", "--older-than", "soon", "--yes") == 2
    assert "90m, 12h, 30d" in capsys.readouterr().err
