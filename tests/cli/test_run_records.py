"""`pf run update|archive|restore|visualize`, `pf run create --source`, `pf config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import flows_of
from tests.commands import pf

Capture = pytest.CaptureFixture[str]


def _json(capsys: Capture, *args: object) -> Any:
    capsys.readouterr()
    assert pf(*args, "--output", "json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flow with its data, and a run `base` of it; the working directory is of the test."""
    monkeypatch.setenv("PF_TRACKING", "off")
    monkeypatch.chdir(tmp_path)
    flow = flows_of.echo(tmp_path / "echo")
    (tmp_path / "data.jsonl").write_text('{"text": "<i>a</i>"}\n{"text": "bad"}\n')
    assert (
        pf(
            "run",
            "create",
            "--flow",
            flow,
            "--data",
            tmp_path / "data.jsonl",
            "--name",
            "base",
            "--no-tracking",
        )
        == 3
    )
    return flow


def test_names_and_tags_of_a_run_are_changed(echo: Path, capsys: Capture) -> None:
    assert pf("run", "update", "--name", "base", "--set", "display_name=new", "tags.a=1", "tags.b=2") == 0
    assert pf("run", "update", "base", "--set", "tags.a=3") == 0
    shown = _json(capsys, "run", "show", "base")
    assert (shown["display_name"], shown["tags"]) == ("new", {"a": "3", "b": "2"})
    assert pf("run", "update", "base", "--set", "status=Failed") == 2
    assert pf("run", "update", "base") == 2


def test_a_run_is_put_away_and_taken_back(echo: Path, capsys: Capture) -> None:
    assert pf("run", "archive", "-n", "base") == 0
    assert _json(capsys, "run", "list") == []
    assert [r["name"] for r in _json(capsys, "run", "list", "--archived-only")] == ["base"]
    assert [r["name"] for r in _json(capsys, "run", "list", "--include-archived")] == ["base"]
    assert pf("run", "restore", "base") == 0
    assert [r["name"] for r in _json(capsys, "run", "list")] == ["base"]


def test_a_page_of_runs_is_written(echo: Path, tmp_path: Path, capsys: Capture) -> None:
    assert pf("run", "visualize", "--names", "base, base", "--html-path", tmp_path / "r.html") == 0
    page = (tmp_path / "r.html").read_text()
    assert r"\u003ci\u003ea\u003c/i\u003e" in page and "<i>" not in page and "cannot echo that" in page
    assert pf("run", "visualize", "nobody") == 2
    assert pf("run", "visualize") == 2


def test_a_run_of_this_house_is_taken_over_from_a_folder(
    echo: Path, home: Path, tmp_path: Path, capsys: Capture
) -> None:
    (home / "runs" / "base").rename(tmp_path / "away")
    assert pf("run", "create", "--source", tmp_path / "away", "--name", "back") == 0
    assert _json(capsys, "run", "show", "back")["lines"]["failed"] == 1
    assert pf("run", "create", "--source", tmp_path / "away", "--name", "back") == 2
    assert pf("run", "create", "--source", tmp_path) == 2
    (tmp_path / "away" / "run.json").write_text("{}")
    assert pf("run", "create", "--source", tmp_path / "away", "--name", "other") == 2


def test_a_run_of_prompt_flow_is_taken_over_and_scored(echo: Path, tmp_path: Path, capsys: Capture) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "flow_artifacts").mkdir(parents=True)
    (theirs / "snapshot").mkdir()
    (theirs / "metrics.json").write_text('{"count": 2}')
    for number, status in enumerate(("Completed", "Failed")):
        info = {
            "status": status,
            "inputs": {"text": "q", "line_number": number},
            "output": {"said": "SO"} if status == "Completed" else None,
            "error": None if status == "Completed" else {"message": "it broke"},
            "start_time": "2026-01-01T10:00:00.5Z",
            "system_metrics": {"duration": 0.5, "prompt_tokens": 3, "completion_tokens": 4},
        }
        record = json.dumps({"line_number": number, "run_info": info})
        (theirs / "flow_artifacts" / f"00000000{number}_00000000{number}.jsonl").write_text(record + "\n")
    shown = _json(capsys, "run", "create", "--source", theirs)
    assert (shown["name"], shown["metrics"], shown["lines"]["completed"]) == ("theirs", {"count": 2}, 1)
    assert shown["usage"]["total_tokens"] == 14
    details = _json(capsys, "run", "show-details", "theirs")
    assert [(d["inputs"], d["outputs"], d["error"] and d["error"]["message"]) for d in details] == [
        ({"text": "q"}, {"said": "SO"}, None),
        ({"text": "q"}, {}, "it broke"),
    ]
    scored = (
        "run",
        "create",
        "--flow",
        echo,
        "--run",
        "theirs",
        "--column-mapping",
        "text=${run.outputs.said}",
    )
    assert pf(*scored, "--name", "scored", "--no-tracking") == 0
    assert _json(capsys, "run", "show-details", "scored")[0]["outputs"] == {"text": "SO"}


def test_runs_are_kept_where_the_settings_say(
    echo: Path, home: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert pf("config", "set", "run.output_path=${flow_directory}/.runs", "--path", tmp_path) == 0
    capsys.readouterr()
    assert pf("config", "show") == 0
    assert json.loads(capsys.readouterr().out) == {"run.output_path": "${flow_directory}/.runs"}
    made = (
        "run",
        "create",
        "--flow",
        echo,
        "--data",
        tmp_path / "data.jsonl",
        "--name",
        "near",
        "--no-tracking",
    )
    assert pf(*made) == 3
    assert (echo / ".runs" / "near" / "run.json").is_file()
    assert _json(capsys, "run", "show", "near")["name"] == "near"
    assert pf(*made) == 2  # the name is taken
    assert pf("run", "delete", "near", "--yes") == 0
    assert not (echo / ".runs" / "near").exists() and not (home / "runs" / "near").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("telemetry.enabled=true", "nothing is sent"),
        ("run.output_pth=x", "did you mean 'run.output_path'"),
        ("connection.provider=azureml", "not part of promptflow_lite"),
        ("run.output_path=${flow_directory}", "would become part of the flow"),
    ],
)
def test_a_setting_without_a_meaning_is_refused_by_name(
    setting: str, said: str, capsys: Capture, home: Path
) -> None:
    assert pf("config", "set", setting) == 2
    assert said in capsys.readouterr().err
    assert not (home / "pf.yaml").exists()
    assert pf("config", "set", "connection.provider=local") == 0
