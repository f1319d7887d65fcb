"""What is kept of requests: whole records, sampled, without secrets, at nobody's cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import ECHO, ECHO_TOOL, write
from tests.model_server import ModelServer
from tests.serving.endpoints.desk import Desk, flow, run
from tests.serving.served import Served, chat_flow
from tests.waiting import until

KEY = "sk-proj-abcdefghijklmnopqrstuvwx"


def kept(folder: Path) -> list[dict[str, Any]]:
    """All records under a folder of collected requests."""
    files = sorted(file for file in folder.rglob("*.jsonl") if file.name != "feedback.jsonl")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return write(tmp_path / "echo", dag=ECHO, echo__py=ECHO_TOOL)


def test_a_request_is_kept_with_its_answer_and_nothing_of_its_headers(echo: Path, tmp_path: Path) -> None:
    said = str(tmp_path / "kept" / "feedback.jsonl")
    with Served(echo, collect=str(tmp_path / "kept"), feedback=said, keys=()) as server:
        status, answer = server.score({"text": "hi"}, x_request_id="r-1", api_key="a-key-of-the-caller")
        server.call("POST", "/feedback", {"request_id": "r-1", "score": 1, "comment": "for the owner only"})
    assert status == 200
    (record,) = kept(tmp_path / "kept")
    assert (record["request_id"], record["path"], record["status"]) == ("r-1", "/score", "Completed")
    assert record["inputs"] == {"text": "hi"}
    assert record["outputs"] == answer
    assert record["deployment"] == record["endpoint"] == "echo"
    assert record["seconds"] >= 0
    texts = b"".join(file.read_bytes() for file in (tmp_path / "kept").rglob("*.jsonl"))
    assert b"a-key-of-the-caller" not in texts
    files = [*(tmp_path / "kept").rglob("*.jsonl")]
    assert len(files) == 2
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_a_failed_run_is_kept_with_its_code_and_a_streamed_one_with_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer() as models:
        monkeypatch.setenv("OPENAI_BASE_URL", models.url)
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
        with Served(chat_flow(tmp_path / "chat"), collect=str(tmp_path / "kept")) as server:
            body = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "model": "chat"}
            server.call("POST", "/v1/chat/completions", body)
    (record,) = kept(tmp_path / "kept")
    assert record["path"] == "/v1/chat/completions"
    assert record["tokens"]["completion"] > 0
    assert "secret_score" in record["outputs"]  # for the next evaluation, which it is for

    broken = write(
        tmp_path / "broken", dag=ECHO, echo__py=ECHO_TOOL.replace("text * times", 'int("no number")')
    )
    with Served(broken, collect=str(tmp_path / "failed")) as server:
        assert server.score({"text": "hi"})[0] == 500
    (record,) = kept(tmp_path / "failed")
    assert (record["status"], record["outputs"]) == ("Failed", {})
    assert record["error"]


def test_secrets_are_masked_before_they_reach_the_disk(
    echo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-servers-own-secret")
    with Served(echo, collect=str(tmp_path / "kept")) as server:
        server.score({"text": f"use {KEY} please"})
        server.score({"text": "echo the-servers-own-secret"})
        body = {"request_id": "r", "score": 1, "comment": f"leaks {KEY}"}
        server.call("POST", "/feedback", body)
        feedback = Path(server.plan.feedback or settings().home / "feedback" / "echo.jsonl").read_text()
    texts = "".join(file.read_text() for file in (tmp_path / "kept").rglob("*.jsonl"))
    assert KEY not in texts + feedback
    assert "the-servers-own-secret" not in texts
    assert "use *** please" in texts


def test_a_part_of_the_requests_is_kept(echo: Path, tmp_path: Path) -> None:
    with Served(echo, collect=str(tmp_path / "kept"), sampling_rate=0.25) as server:
        for _ in range(200):
            server.score({"text": "hi"})
        text = server.call("GET", "/metrics")[1].decode()
    count = len(kept(tmp_path / "kept"))
    assert 20 <= count <= 85  # five deviations of the binomial of 200 and 0.25
    assert "promptflow_not_collected_total{" not in text


def test_a_disk_that_is_full_costs_records_and_no_request(echo: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    with Served(echo, collect=str(tmp_path / "kept")) as server:
        assert server.score({"text": "hi"})[0] == 200
        until(lambda: b'reason="disk"} 1.0' in server.call("GET", "/metrics")[1])
        assert server.score({"text": "hi"})[0] == 200


def test_workers_that_are_killed_lose_nothing_that_was_flushed(echo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    command = [sys.executable, "-m", "promptflow_lite", "flow", "serve", "--source", str(echo), "--port", "0"]
    options = ["--workers", "2", "--collect", str(folder), "--skip-open-browser"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        server = Served(echo)
        server.port = int(line.split("http://127.0.0.1:")[1].split()[0].split("\x1b")[0])
        for number in range(30):
            assert server.score({"text": str(number)})[0] == 200
        until(lambda: len(kept(folder)) == 30)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(60)
        assert process.stderr is not None
        process.stderr.close()
    assert sorted(int(record["inputs"]["text"]) for record in kept(folder)) == list(range(30))


def test_a_deployment_says_itself_what_is_kept_of_it(tmp_path: Path) -> None:
    body = "data_collector: {collections: {model_inputs: {enabled: 'True'}}, sampling_rate: 1}\n"
    with Desk(tmp_path) as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic", body=body)
        desk.deploy("green", flow(tmp_path / "green", "green"))
        desk.score("one")
        desk.score("two", azureml_model_deployment="green")
        folder = settings().home / "endpoints" / "my-endpoint" / "collected"
        until(lambda: len(kept(folder)) == 1)
    (record,) = kept(folder)
    assert (record["deployment"], record["inputs"]) == ("blue", {"text": "one"})
    assert "outputs" not in record
    shown = json.loads(run("deployment", "show", "-n", "blue", "-e", "my-endpoint", "-o", "json"))
    assert shown["data_collector"]["collections"]["model_inputs"] == {"enabled": True}


def test_a_mirrored_copy_is_kept_as_what_it_is_and_taken_only_when_it_is_asked_for(tmp_path: Path) -> None:
    body = "data_collector: {sampling_rate: 1, collections: {%s}}\n"
    both = body % "model_inputs: {enabled: true}, model_outputs: {enabled: true}"
    folder = settings().home / "endpoints" / "my-endpoint" / "collected"
    with Desk(tmp_path) as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic", body=both)
        desk.deploy("green", flow(tmp_path / "green", "green"), body=both)
        desk.update("--mirror-traffic", "green=50")
        for number in range(40):  # one in 10**12 has none of its requests copied
            assert desk.score("hi", x_request_id=f"r{number}") == (200, {"text": "blue"})
        until(lambda: {record["deployment"] for record in kept(folder)} == {"blue", "green"})
    copies = [record for record in kept(folder) if record["deployment"] == "green"]
    assert {record["path"] for record in copies} == {"mirror"}
    assert all(record["outputs"] == {"text": "green"} for record in copies)
    assert not {record["request_id"] for record in copies} & {f"r{number}" for number in range(40)}

    make = ("data", "from-traffic", "--endpoint", "my-endpoint", "--yes", "--format", "json", "-o")
    summary = json.loads(run(*make, str(tmp_path / "all.jsonl")))
    assert (summary["requests"], summary["mirrored"]) == (40, len(copies))
    assert json.loads((tmp_path / "all.jsonl").read_text())["outputs.text"] == "blue"
    run(*make, str(tmp_path / "green.jsonl"), "--deployment", "green")
    assert json.loads((tmp_path / "green.jsonl").read_text())["outputs.text"] == "green"


def test_what_a_data_collector_cannot_be_is_said_with_its_place(tmp_path: Path) -> None:
    run("endpoint", "create", "--name", "my-endpoint")
    file = tmp_path / "blue.yml"
    file.write_text(
        "name: blue\nendpoint_name: my-endpoint\nflow: .\n"
        "data_collector:\n  sampling_rate: 7\n  collections:\n    model_input: {}\n"
    )
    said = run("deployment", "create", "--file", str(file), code=2)
    assert "blue.yml:5" in said
    assert "did you mean 'model_inputs'?" in said
