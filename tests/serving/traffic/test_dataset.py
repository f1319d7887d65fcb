"""`pf data from-traffic`: what was asked becomes data for the next evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.serving.traffic.scrub import scrub
from promptflow_lite.settings import settings
from tests.flows_of import ECHO, ECHO_TOOL, write
from tests.serving.endpoints.desk import run
from tests.serving.served import Served

SECRETS = {
    "openai": "sk-proj-AbCdEfGhIjKlMnOpQrStUvWx",
    "github": "ghp_" + "a1B2" * 9,
    "amazon": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIza" + "x" * 35,
    "slack": "xoxb-1234567890-abcdef",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123",
    "storage": "AccountKey=" + "Ab1+" * 21 + "==",
    "header": "Authorization: Bearer abcdefghijklmnop1234567890",
    "address": "postgres://user:hunter2hunter2@db.example.com/x",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----",
}


def record(number: int, text: str, **more: Any) -> dict[str, Any]:
    """A request as it is kept."""
    return {
        "time": f"2026-11-01T00:00:{number:02}.000Z",
        "request_id": f"r{number}",
        "deployment": "blue",
        "status": "Completed",
        "inputs": {"text": text},
        "outputs": {"text": text},
        **more,
    }


def keep(folder: Path, *records: dict[str, Any], feedback: tuple[dict[str, Any], ...] = ()) -> Path:
    """A folder of collected requests."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)
    (folder / "00-1-x.jsonl").write_text(lines)
    (folder / "feedback.jsonl").write_text("".join(json.dumps(one) + "\n" for one in feedback))
    return folder


def made(folder: Path, *options: str, code: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows, and the summary."""
    file = folder / "data.jsonl"
    args = ["data", "from-traffic", "--source", str(folder / "kept"), "--output", str(file), *options]
    text = run(*args, "--format", "json", "--yes", code=code)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return rows, json.loads(text) if code == 0 else {}


def test_what_a_served_flow_was_asked_becomes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_TRACKING", "off")
    settings.cache_clear()
    echo = write(tmp_path / "echo", dag=ECHO, echo__py=ECHO_TOOL)
    folder = tmp_path / "kept"
    with Served(echo, collect=str(folder), feedback=str(folder / "feedback.jsonl")) as server:
        for number, text in enumerate(["hello", " hello ", "ｈｅｌｌｏ", "other"]):
            server.score({"text": text}, x_request_id=f"r{number}")
        for score in (0, 1):
            server.call("POST", "/feedback", {"request_id": "r1", "score": score, "comment": f"said {score}"})
    rows, summary = made(tmp_path)
    assert (summary["requests"], summary["duplicates"], summary["rows"], summary["rated"]) == (4, 2, 2, 1)
    rated = next(row for row in rows if row["feedback.score"] is not None)
    assert (rated["request.id"], rated["request.times"]) == ("r1", 3)
    assert (rated["feedback.score"], rated["feedback.comment"]) == (1, "said 0\nsaid 1")
    data = tmp_path / "data.jsonl"
    mapping = "text=${data.outputs.text}"
    run("run", "create", "--flow", str(echo), "--data", str(data), "--name", "again")
    run(
        "run",
        "create",
        "--flow",
        str(echo),
        "--data",
        str(data),
        "--name",
        "mapped",
        "--column-mapping",
        mapping,
    )
    shown = json.loads(run("run", "show", "--name", "mapped", "--output", "json"))
    assert shown["status"] == "Completed"


def test_every_form_of_a_key_is_masked_and_counted(tmp_path: Path) -> None:
    texts = [f"look: {secret} thanks" for secret in SECRETS.values()]
    nested = {"user": {"api_key": "short", "Password": 'p"w'}, "text": "x"}
    records = [record(n, text) for n, text in enumerate(texts)]
    keep(tmp_path / "kept", *records, record(59, "x", inputs=nested))
    rows, summary = made(tmp_path)
    kept = json.dumps(rows)
    for name, secret in SECRETS.items():
        core = re.split(r"=|Bearer |://user:|@|\n", secret)
        hidden = max(core, key=len) if name != "address" else "hunter2hunter2"
        assert hidden not in kept, name
    assert "short" not in kept and 'w"' not in rows[-1]["user"]["Password"]
    assert summary["secrets"] >= len(SECRETS) + 2


@pytest.mark.parametrize(
    "named",
    [
        {"apiKey": "hunter2"},
        {"openaiApiKey": "hunter2"},
        {"clientSecret": "hunter2"},
        {"DB_PASSWORD": "hunter2"},
        {"text": '{"user": {"password": "hunter2", "name": "Mori"}}'},
        {"text": '{"access_token":"hunter2"}'},
        {"text": str({"secret_key": "hunter2", "name": "Mori"})},
        {"text": json.dumps(json.dumps({"x-api-key": "hunter2"})[1:-1])},
        {"password": 13572468},
    ],
    ids=str,
)
def test_fields_that_are_named_for_secrets_are_masked_however_they_are_written(named: dict[str, Any]) -> None:
    for text in (json.dumps(named), json.dumps(named, separators=(",", ":"))):
        masked, count = scrub(text.encode())
        assert count == 1
        assert b"hunter2" not in masked and b"13572468" not in masked
        assert json.loads(masked).keys() == named.keys()
        assert (b"Mori" in text.encode()) == (b"Mori" in masked)


@pytest.mark.parametrize("text", ["his secret: none", "it's secret: 'x'", 'the "password": a history'])
def test_prose_about_secrets_stays(text: str) -> None:
    assert scrub(json.dumps({"q": text}).encode())[1] == 0


@pytest.mark.parametrize(
    "part",
    [b"\\", b"'", b'"', b"sk-a", b"eyJ", b"://a", b"-----BEGIN A PRIVATE KEY-----", b"'api_key", b"sig="],
)
def test_no_text_of_a_stranger_holds_up_the_thread_that_looks_for_secrets(part: bytes) -> None:
    scrub(b'{"api_key":"' + part * (2_000_000 // len(part)) + b"':\\\":")  # hours, if it were quadratic


def test_words_that_only_look_like_keys_stay(tmp_path: Path) -> None:
    texts = [
        "the task-oriented risk-averse disk-based approach",
        "see https://example.com:8080/a@b and mail me at a@b.co",
        "the bearer of this letter",
        "a secret: he forgot his password",
        "顧客の秘密はここにはありません",
    ]
    keep(tmp_path / "kept", *(record(n, text) for n, text in enumerate(texts)))
    rows, summary = made(tmp_path)
    assert [row["text"] for row in rows] == texts
    assert summary["secrets"] == 0


def test_named_fields_are_removed_before_rows_are_compared(tmp_path: Path) -> None:
    one = record(1, "", inputs={"text": "hi", "user": {"email": "a@b.c"}})
    two = record(2, "", inputs={"text": "hi", "user": {"email": "d@e.f"}})
    keep(tmp_path / "kept", one, two)
    rows, summary = made(tmp_path, "--without", "email")
    assert [row["user"] for row in rows] == [{}]
    assert (summary["fields"], summary["duplicates"]) == (2, 1)


def test_only_some_of_the_requests_are_taken(tmp_path: Path) -> None:
    said = {"request_id": "r3", "score": False, "comment": None}
    folder = keep(
        tmp_path / "kept",
        *(record(n, str(n)) for n in range(5)),
        record(9, "green's", deployment="green"),
        feedback=(said,),
    )
    (folder / "torn.jsonl").write_text(json.dumps(record(10, "whole")) + '\n{"time": "2026-11')
    assert len(made(tmp_path)[0]) == 7
    assert made(tmp_path)[1]["broken_lines"] == 1
    assert [row["text"] for row in made(tmp_path, "--deployment", "green")[0]] == ["green's"]
    assert made(tmp_path, "--since", "2026-11-01T00:00:04")[0][0]["text"] == "4"
    rated, summary = made(tmp_path, "--with-feedback")
    assert [(row["text"], row["feedback.score"]) for row in rated] == [("3", False)]
    assert summary["unrated"] == 6


def test_nothing_is_written_over_and_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    keep(tmp_path / "kept", record(1, "hi"))
    file = tmp_path / "data.jsonl"
    file.write_text("mine")
    args = ["data", "from-traffic", "--output", str(file)]
    assert "is there already" in run(*args, "--source", str(tmp_path / "kept"), code=2)
    assert file.read_text() == "mine"
    fresh = [*args[:-1], str(tmp_path / "new.jsonl")]
    assert "--collect DIR" in run(*fresh, "--source", str(tmp_path / "nowhere"), code=2)
    assert "either" in run(*fresh, code=2)
    assert "--since" in run(*fresh, "--source", str(tmp_path / "kept"), "--since", "soon", code=2)
    run(*fresh, "--source", str(tmp_path / "kept"), "--since", "1s", code=3)
    assert not (tmp_path / "new.jsonl").exists()
    settings.cache_clear()
    assert "nobody" in run(*fresh, "--endpoint", "nobody", code=2)


@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda x: st.dictionaries(st.text(), x, max_size=4))
)
def test_json_stays_json_whatever_is_masked(value: Any) -> None:
    text, _ = scrub(json.dumps({"q": value, "password": "x", "k": SECRETS["pem"]}).encode())
    assert json.loads(text)["password"] == "***"


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_json_with_a_secret_in_its_middle_stays_json(secret: str) -> None:
    text, count = scrub(json.dumps({"a": f'"{secret}"', "b": [secret, "rest"]}).encode())
    assert count >= 2
    assert json.loads(text)["b"][1] == "rest"
