"""An endpoint that is served: processes that come and go, restarts, bad deployments, keys, sessions."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import ECHO, ECHO_TOOL, HELD, write
from tests.model_server import ModelServer
from tests.serving.endpoints.desk import Desk, Load, flow, run
from tests.serving.served import chat_flow
from tests.waiting import until

DYING = ECHO_TOOL.replace(
    '    print("echoing")', '    if text == "die":\n        import os\n        os._exit(3)'
)
SLOW = """\
import asyncio
from promptflow_lite import tool


@tool
async def echo(text: str, times: int) -> str:
    await asyncio.sleep(1.5)
    return "slow"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as desk:
        yield desk


def _shown(*args: str) -> Any:
    return json.loads(run("deployment", *args, "--endpoint-name", "my-endpoint", "--output", "json"))


def test_traffic_is_split_within_the_bounds_of_a_binomial(desk: Desk, tmp_path: Path) -> None:
    desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
    desk.deploy("green", flow(tmp_path / "green", "green"))
    desk.update("--traffic", "blue=90 green=10")
    with closing(HTTPConnection("127.0.0.1", desk.port, timeout=60)) as connection:
        answers = Counter(desk.ask(connection)[1]["text"] for _ in range(1000))
    assert sum(answers.values()) == 1000
    assert abs(answers["green"] - 100) < 5 * math.sqrt(1000 * 0.1 * 0.9)


def test_a_process_that_dies_is_replaced_and_the_other_deployment_serves_on(
    desk: Desk, tmp_path: Path
) -> None:
    desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
    desk.deploy("green", write(tmp_path / "green", dag=ECHO, echo__py=DYING))
    with Load(desk, callers=2) as load:
        status, answer = desk.score("die", azureml_model_deployment="green")
        assert (status, answer["error"]["code"]) == (502, "deployment-died")
        status, answer = desk.score("hi", azureml_model_deployment="green")
        assert (status, answer["error"]["code"]) == (503, "deployment-unavailable")
        until(lambda: desk.score("hi", azureml_model_deployment="green")[0] == 200)
    assert load.failures == []
    assert _shown("show", "--name", "green")["restarts"] == 1
    logs = run("deployment", "get-logs", "--name", "green", "--endpoint-name", "my-endpoint")
    assert "ended with exit code 3; another takes its place" in logs


def test_a_process_that_hangs_gets_no_requests_and_is_replaced(desk: Desk, tmp_path: Path) -> None:
    probes = (
        "readiness_probe: {initial_delay: 0, period: 0.1, timeout: 0.5, failure_threshold: 1}\n"
        "liveness_probe: {initial_delay: 0, period: 0.5, timeout: 1, failure_threshold: 3}\n"
    )
    desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic", body=probes)
    (pid,) = _shown("show", "--name", "blue")["processes"]
    os.kill(pid, signal.SIGSTOP)
    until(lambda: _shown("show", "--name", "blue")["state"] == "Unhealthy")
    assert desk.score()[1]["error"]["code"] == "deployment-unavailable"
    until(lambda: _shown("show", "--name", "blue")["state"] == "Healthy")
    assert desk.score() == (200, {"text": "blue"})
    assert _shown("show", "--name", "blue")["processes"] != [pid]
    logs = run("deployment", "get-logs", "--name", "blue", "--endpoint-name", "my-endpoint")
    assert "did not answer 3 times" in logs


def test_an_endpoint_goes_on_where_it_was_after_a_kill(desk: Desk, tmp_path: Path) -> None:
    blue = flow(tmp_path / "blue", "blue")
    desk.deploy("blue", blue, "--all-traffic")
    (pid,) = _shown("show", "--name", "blue")["processes"]
    flow(tmp_path / "blue", "edited")
    desk.stop(signal.SIGKILL)
    until(lambda: not _is_alive(pid))
    assert "is not served" in run("endpoint", "invoke", "-n", "my-endpoint", "--inputs", "text=a", code=2)
    desk.start()
    assert desk.score() == (200, {"text": "blue"})
    assert _shown("list")[0]["state"] == "Healthy"


def test_a_kill_ends_the_programs_that_tools_have_started(desk: Desk, tmp_path: Path) -> None:
    starts = 'import subprocess\n    return str(subprocess.Popen(["sleep", "300"]).pid)'
    tool = ECHO_TOOL.replace('print("echoing")', starts)
    desk.deploy("blue", write(tmp_path / "blue", dag=ECHO, echo__py=tool), "--all-traffic")
    pid = int(desk.score()[1]["text"])
    assert _is_alive(pid)
    desk.stop(signal.SIGKILL)
    until(lambda: not _is_alive(pid))


def test_the_end_finishes_what_is_in_flight(desk: Desk, tmp_path: Path) -> None:
    desk.deploy("blue", write(tmp_path / "blue", dag=ECHO, echo__py=SLOW), "--all-traffic")
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(desk.score()))
    thread.start()
    until(lambda: desk.metric("promptflow_in_flight") == 1)
    assert desk.stop() == 128 + signal.SIGTERM
    thread.join(60)
    assert answers == [(200, {"text": "slow"})]


def test_an_update_takes_over_without_a_dropped_request(desk: Desk, tmp_path: Path) -> None:
    desk.deploy("blue", flow(tmp_path / "blue", "one"), "--all-traffic")
    with Load(desk) as load:
        desk.deploy("blue", flow(tmp_path / "blue", "two"))
        load.taken()
        assert set(load.taken()) == {(200, "two")}
    assert load.failures == []


def test_a_deployment_that_does_not_load_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.deploy("blue", flow(tmp_path / "blue", "one"), "--all-traffic")
    bad = write(tmp_path / "bad", dag=ECHO, echo__py=f"import nothing_of_that_name\n{ECHO_TOOL}")
    with Load(desk, callers=2) as load:
        assert "nothing_of_that_name" in desk.deploy("blue", bad, code=1)
        assert "it is not kept" in desk.deploy("green", bad, code=1)
        load.taken()
        assert set(load.taken()) == {(200, "one")}
    assert load.failures == []
    assert [d["name"] for d in _shown("list")] == ["blue"]
    assert "error[source-not-found]" in desk.deploy("red", write(tmp_path / "empty", dag=ECHO), code=2)


def test_a_mirror_neither_delays_nor_fails_the_caller(desk: Desk, tmp_path: Path) -> None:
    desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
    let_go = tmp_path / "let-go"
    tool = HELD.replace("return text", "raise ValueError('mirrored')")
    desk.deploy(
        "green",
        write(tmp_path / "green", dag=ECHO, echo__py=tool),
        body="request_settings: {max_concurrent_requests_per_instance: 2}",
    )
    desk.update("--mirror-traffic", "green=50")
    mirrored = r'promptflow_requests_total\{{deployment="green",path="mirror",status="{}"'
    with closing(HTTPConnection("127.0.0.1", desk.port, timeout=60)) as connection:
        for _ in range(100):
            assert desk.ask(connection, str(let_go)) == (
                200,
                {"text": "blue"},
            )  # though no mirrored run has ended
    until(lambda: desk.metric(mirrored.format(429)) > 0)
    assert desk.metric(mirrored.format(500)) == 0
    let_go.touch()
    until(lambda: desk.metric(mirrored.format(500)) > 0)
    assert "no deployment is named 'red'" in desk.update("--mirror-traffic", "red=10", code=2)


def test_a_session_stays_on_its_deployment(tmp_path: Path) -> None:
    with Desk(tmp_path, "affinity: {header: X-Session-Id}\n") as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
        desk.deploy("green", flow(tmp_path / "green", "green"))
        desk.update("--traffic", "blue=50 green=50")
        turns = {
            number: {desk.score(x_session_id=f"chat-{number}")[1]["text"] for _ in range(5)}
            for number in range(20)
        }
        assert all(len(answers) == 1 for answers in turns.values())
        assert set.union(*turns.values()) == {"blue", "green"}
        green = [number for number, answers in turns.items() if answers == {"green"}]
        desk.update("--traffic", "green=70 blue=30")
        assert all(desk.score(x_session_id=f"chat-{number}")[1]["text"] == "green" for number in green)


def test_a_deployment_that_fails_too_often_loses_its_traffic(tmp_path: Path) -> None:
    with Desk(tmp_path, "rollout: {max_error_rate: 0.2, min_requests: 10}\n") as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
        desk.deploy("green", write(tmp_path / "green", dag=ECHO, echo__py=ECHO_TOOL.replace('"bad"', '"hi"')))
        desk.update("--traffic", "blue=50 green=50")
        failed = sum(desk.score()[0] == 500 for _ in range(60))
        assert failed == 10
        until(lambda: _shown("show", "--name", "blue")["traffic"] == 100)
        assert _shown("show", "--name", "green")["traffic"] == 0
        assert any("'green' loses its traffic" in line for line in desk.said)


def test_callers_need_one_of_two_keys_which_are_kept_as_hashes(desk: Desk, tmp_path: Path) -> None:
    desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
    home = settings().home / "endpoints" / "my-endpoint"
    kept = [path.read_text() for path in home.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert not any(desk.key in text for text in kept)
    assert (home / "status.json").stat().st_mode & 0o077 == 0
    old = desk.key
    desk.key = run("endpoint", "regenerate-keys", "-n", "my-endpoint", "--key-type", "primary").strip()
    assert desk.key != old
    until(lambda: desk.score()[0] == 200)
    desk.key = old
    assert desk.score()[0] == 401
    found = json.loads(run("endpoint", "get-credentials", "-n", "my-endpoint", "-o", "json"))
    assert set(found) == {"primary_key", "secondary_key"}


def test_several_processes_answer_for_one_deployment(desk: Desk, tmp_path: Path) -> None:
    tool = SLOW.replace("await asyncio.sleep(1.5)", "await asyncio.sleep(0.3)").replace(
        'return "slow"', "import os; os.write(1, b'to no console\\n'); return str(os.getpid())"
    )
    source = write(tmp_path / "blue", dag=ECHO, echo__py=tool)
    desk.deploy("blue", source, "--all-traffic", body="instance_count: 2\n")
    with Load(desk, callers=4) as load:
        pids = {str(pid) for pid in _shown("show", "--name", "blue")["processes"]}
        assert len(pids) == 2
        until(lambda: {text for _, text in list(load.answers)} >= pids, lambda: load.answers)
    assert {text for _, text in load.answers} == pids
    logs = run("deployment", "get-logs", "--name", "blue", "--endpoint-name", "my-endpoint", "--lines", "500")
    assert {line[:4] for line in logs.splitlines() if line.endswith("to no console")} == {"[0] ", "[1] "}


def test_the_last_words_of_a_process_are_logged_and_followed(desk: Desk, tmp_path: Path) -> None:
    dies = 'import os, sys; sys.__stdout__.write("first\\n")\n        os.write(1, b"last words"); os._exit(3)'
    tool = ECHO_TOOL.replace('raise ValueError("cannot echo that")', dies)
    desk.deploy("blue", write(tmp_path / "blue", dag=ECHO, echo__py=tool), "--all-traffic")
    at = ("--name", "blue", "--endpoint-name", "my-endpoint")
    command = [sys.executable, "-m", "promptflow_lite", "deployment", "get-logs", *at, "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert "is ready" in following.stdout.readline()
        assert desk.score("bad")[0] == 502
        said = [following.stdout.readline().rstrip() for _ in range(3)]
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
    assert said[:2] == ["first", "last words"]
    assert said[2].endswith("ended with exit code 3; another takes its place")
    assert "last words" in run("deployment", "get-logs", *at)


def test_too_many_requests_hear_so_in_time(desk: Desk, tmp_path: Path) -> None:
    settings_of = "request_settings: {max_concurrent_requests_per_instance: 1, max_queue_wait_ms: 200}\n"
    desk.deploy("blue", write(tmp_path / "blue", dag=ECHO, echo__py=SLOW), "--all-traffic", body=settings_of)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(desk.score()[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [200, 429, 429]
    desk.deploy("blue", tmp_path / "blue", body="request_settings: {request_timeout_ms: 300}\n")
    assert desk.score()[1]["error"]["code"] == "timeout"


def test_a_caller_that_leaves_ends_its_run(desk: Desk, tmp_path: Path) -> None:
    tool = SLOW.replace("await asyncio.sleep(1.5)", "await asyncio.sleep(600 if text == 'long' else 0)")
    one = "request_settings: {max_concurrent_requests_per_instance: 1, max_queue_wait_ms: 10000}\n"
    desk.deploy("blue", write(tmp_path / "blue", dag=ECHO, echo__py=tool), "--all-traffic", body=one)
    connection = HTTPConnection("127.0.0.1", desk.port, timeout=60)
    connection.putrequest("POST", "/score")
    body = b'{"text": "long"}'
    sent = {"content-type": "application/json", "api-key": desk.key, "content-length": str(len(body))}
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    until(lambda: desk.metric("promptflow_in_flight") == 1)
    connection.close()
    assert desk.score("short") == (200, {"text": "slow"})


def test_a_deployment_with_traffic_is_not_deleted(desk: Desk, tmp_path: Path) -> None:
    desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
    gone = ("deployment", "delete", "--name", "blue", "--endpoint-name", "my-endpoint", "--yes")
    assert "has 100 percent of traffic" in run(*gone, code=2)
    assert "add up to 90" in desk.update("--traffic", "blue=90", code=2)
    assert "is served by the process" in run("endpoint", "delete", "--name", "my-endpoint", "--yes", code=2)
    desk.stop()
    run("endpoint", "delete", "--name", "my-endpoint", "--yes")
    assert json.loads(run("endpoint", "list", "--output", "json")) == []


def test_one_file_says_all_and_serves_chats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    with ModelServer() as model:
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        models, events = _chatted(tmp_path)
    assert models == ["my-endpoint", "blue", "green"]
    assert events.count("data: ") > 3
    assert '"model":"blue"' in events
    assert events.endswith("data: [DONE]\n\n")


def _chatted(tmp_path: Path) -> tuple[list[str], str]:
    """The models of an endpoint that one file describes, and the events of one answer."""
    chat_flow(tmp_path / "chat")
    file = tmp_path / "endpoint.yml"
    body = "deployments:\n- {name: blue, flow: chat}\n- {name: green, flow: chat}\n"
    file.write_text(f"name: my-endpoint\nauth_mode: none\ntraffic: {{blue: 100}}\n{body}")
    command = [sys.executable, "-m", "promptflow_lite", "flow", "serve", "--source", str(file), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stderr is not None
        url = next(line for line in process.stderr if "serving my-endpoint" in line).split()[3]
        desk = Desk(tmp_path)
        desk.port = int(url.rpartition(":")[2])
        models = [model["id"] for model in json.loads(desk.get("/v1/models"))["data"]]
        asked = {"model": "my-endpoint", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        with closing(HTTPConnection("127.0.0.1", desk.port, timeout=60)) as connection:
            connection.request(
                "POST", "/v1/chat/completions", json.dumps(asked), {"content-type": "application/json"}
            )
            events = connection.getresponse().read().decode()
        process.send_signal(signal.SIGTERM)
    return models, events


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
