"""`pf connection` keeps connections and shows no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptflow_lite.settings import settings
from tests.commands import pf

Capture = pytest.CaptureFixture[str]


def _connection(*args: str) -> int:
    return pf("connection", *args)


def shown(capsys: Capture, name: str) -> dict[str, object]:
    capsys.readouterr()
    assert _connection("show", "--name", name, "--output", "json") == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_connection_is_created_changed_and_deleted(capsys: Capture) -> None:
    assert (
        _connection("create", "--name", "mine", "--set", "type=open_ai", "api_key=sk-secret", "model=m") == 0
    )
    path = settings().connections / "mine.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert _connection("update", "--name", "mine", "--set", "model=n", "base_url=http://x/v1") == 0
    assert shown(capsys, "mine") == {
        "name": "mine",
        "type": "open_ai",
        "api_key": "***",
        "model": "n",
        "base_url": "http://x/v1",
        "from": str(path),
    }
    assert _connection("delete", "--name", "mine") == 2
    assert _connection("delete", "--name", "mine", "--yes") == 0
    assert not path.exists()


def test_a_name_among_the_fields_names_the_connection(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("name: first\ntype: open_ai\napi_key: sk-secret\n", encoding="utf-8")
    assert _connection("create", "--file", str(file), "--set", "name=second") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "second"
    assert not (settings().connections / "first.yaml").exists()


def test_a_program_that_reads_a_list_gets_json_unasked(capsys: Capture) -> None:
    assert _connection("list") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["local"]
    assert _connection("list", "-o", "table") == 0
    assert capsys.readouterr().out.startswith("name ")


def test_no_command_prints_a_secret(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("name: mine\ntype: custom\nsecrets: {key: sk-secret}\nconfigs: {}\n", encoding="utf-8")
    assert _connection("create", "--file", str(file)) == 0
    assert _connection("create", "--file", str(file), "--output", "json") == 0
    for command in (
        ["list"],
        ["list", "-o", "json"],
        ["show", "-n", "mine"],
        ["show", "-n", "mine", "-o", "json"],
    ):
        assert _connection(*command) == 0
    told = capsys.readouterr()
    assert "sk-secret" not in told.out + told.err


def test_a_file_of_prompt_flow_with_options_over_it(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "azure.yaml"
    file.write_text(
        "$schema: https://azuremlschemas.azureedge.net/promptflow/latest/AzureOpenAIConnection.schema.json\n"
        'name: azure\ntype: azure_open_ai\napi_key: "<user-input>"\napi_base: x\napi_type: azure\n',
        encoding="utf-8",
    )
    assert (
        pf(
            "connection",
            "create",
            "--file",
            str(file),
            "--name",
            "other",
            "--set",
            "api_key=${env:KEY}",
            "api_base=y",
        )
        == 0
    )
    found = shown(capsys, "other")
    assert (found["api_key"], found["api_base"]) == ("${env:KEY}", "y")


def test_what_is_asked_for_needs_a_terminal(tmp_path: Path, capsys: Capture) -> None:
    assert _connection("create", "--name", "mine", "--set", "type=serp", "api_key=<user-input>") == 2
    assert "field 'api_key'" in capsys.readouterr().err


def test_a_key_that_is_kept_stays(tmp_path: Path) -> None:
    _connection("create", "--name", "mine", "--set", "type=serp", "api_key=sk-secret")
    file = tmp_path / "change.yaml"
    file.write_text("api_key: '***'\n", encoding="utf-8")
    assert _connection("update", "--name", "mine", "--file", str(file)) == 0
    assert "sk-secret" in (settings().connections / "mine.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["create", "--name", "m", "--set", "type=open_aj"], "did you mean 'open_ai'?"),
        (["create", "--name", "m", "--set", "type=open_ai", "api_kee=x"], "did you mean 'api_key'?"),
        (["create", "--name", "../m", "--set", "type=serp", "api_key=x"], "is no name for a connection"),
        (["create", "--set", "type=serp", "api_key=x"], "--name"),
        (["create", "--file", "nowhere.yaml"], "there is no file"),
        (["show", "--name", "nobody"], "no connection is named 'nobody'"),
        (["delete", "--name", "local", "--yes"], "built in"),
        (["update", "--name", "local", "--set", "n_ctx=1"], "built in"),
    ],
)
def test_wrong_use_says_what_to_do(capsys: Capture, args: list[str], said: str) -> None:
    assert _connection(*args) == 2
    assert said in capsys.readouterr().err


def test_connections_of_the_environment_are_listed_with_their_origin(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert _connection("list", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "local", "type": "local", "model": "", "from": "built in"},
        {"name": "open_ai_connection", "type": "open_ai", "model": "", "from": "environment"},
    ]


def test_a_broken_file_is_listed_too(capsys: Capture) -> None:
    settings().connections.mkdir(parents=True)
    (settings().connections / "bad.yaml").write_text("type: [", encoding="utf-8")
    assert _connection("list", "--output", "json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["bad", "local"]
