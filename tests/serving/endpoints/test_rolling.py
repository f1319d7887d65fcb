"""A roll-out that moves the traffic by itself: on while it goes well, back when it does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import ECHO, write
from tests.serving.endpoints.desk import Desk, flow, run

FAILING = """\
import random
from promptflow_lite import tool


@tool
def echo(text: str, times: int) -> str:
    if random.random() < 0.3:
        raise ValueError("no")
    return "green"
"""


SCORING = """\
from promptflow_lite import tool


@tool
def echo(text: str, times: int) -> int:
    return int(int(text) < SHARE)
"""


@contextmanager
def callers(desk: Desk, count: int = 3) -> Iterator[None]:
    """Callers without a pause, who take what they get."""
    ended = threading.Event()

    def call() -> None:
        connection = HTTPConnection("127.0.0.1", desk.port, timeout=60)
        while not ended.is_set():
            desk.ask(connection)
        connection.close()

    threads = [threading.Thread(target=call, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)


def rollout(*args: str, code: int = 0) -> Any:
    """`pf endpoint rollout` as JSON."""
    text = run("endpoint", "rollout", *args, "--name", "my-endpoint", "--output", "json", code=code)
    return json.loads(text) if code == 0 else text


def start(*options: str, code: int = 0) -> Any:
    return rollout("start", "--to", "green", "--every", "0.5s", "--min-requests", "60", *options, code=code)


def test_a_deployment_that_is_no_worse_gets_all_traffic_step_by_step(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
        desk.deploy("green", flow(tmp_path / "green", "green"))
        with callers(desk):
            shown = start("--steps", "20", "60", "100", "--wait")
        assert (shown["state"], shown["traffic"]) == ("completed", {"blue": 0, "green": 100})
        assert "failure_rate no worse" in shown["why"]
        assert desk.score()[1] == {"text": "green"}
        assert any("pass" in line and "at 60 %" in line for line in desk.said)


def test_one_that_fails_more_often_gives_the_traffic_back(tmp_path: Path) -> None:
    body = "rollout: {max_error_rate: 1, min_requests: 60, every: 0.5s, to: green}\n"
    with Desk(tmp_path, body) as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
        desk.deploy("green", write(tmp_path / "green", dag=ECHO, echo__py=FAILING))
        with callers(desk):
            rollout("start", "--steps", "50", "100", "--wait", code=1)
        shown = rollout("show")
        assert (shown["state"], shown["traffic"]) == ("failed", {"blue": 100})
        assert "worse" in shown["why"]
        start()  # once more: what has ended is no hindrance
        rollout("abort")
        assert rollout("show")["traffic"] == {"blue": 100}


def test_a_roll_out_is_paused_resumed_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
        desk.deploy("green", flow(tmp_path / "green", "green"))
        assert start("--steps", "30", "100")["traffic"] == {"blue": 70, "green": 30}
        assert "is being rolled out" in start(code=2)
        rollout("pause")
        with callers(desk):
            time.sleep(1.5)
        assert rollout("show")["state"] == "paused"
        desk.stop()
        desk.start()
        assert rollout("show")["traffic"] == {"blue": 70, "green": 30}
        rollout("resume")
        with callers(desk):
            rollout("show", "--wait")
        assert rollout("show")["state"] == "completed"
        start_again = run("endpoint", "rollout", "pause", "--name", "my-endpoint", code=2)
        assert "it is completed" in start_again


def test_traffic_that_is_set_by_hand_ends_a_roll_out(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.deploy("blue", flow(tmp_path / "blue", "blue"), "--all-traffic")
        desk.deploy("green", flow(tmp_path / "green", "green"))
        start()
        desk.update("--traffic", "blue=100 green=0")
        shown = rollout("show")
        assert (shown["state"], shown["why"]) == ("aborted", "the traffic was set by hand")


def test_what_cannot_be_rolled_out_is_said(tmp_path: Path) -> None:
    settings.cache_clear()
    run("endpoint", "create", "--name", "my-endpoint")
    assert "no deployment is named 'green'" in start(code=2)
    assert "nothing is being rolled out" in rollout("show", code=2)
    assert "--steps" in start("--steps", "50", "10", code=2)
    assert "--every" in rollout("start", "--to", "green", "--every", "soon", code=2)
    assert "which deployment" in rollout("start", code=2)
    rules = tmp_path / "gate.yaml"
    rules.write_text("rules: [{metric: failure_rates, at_most: 0.1}]")
    assert "did you mean 'failure_rate'?" in start("--rules", str(rules), code=2)
    file = tmp_path / "endpoint.yml"
    file.write_text("name: other-one\nrollout: {steps: [50, 10], every: soon, to: g}\ngate: {runs: {}}\n")
    said = run("endpoint", "create", "--file", str(file), code=2)
    for part in ("rollout.steps", "rollout.every", "rollout.to", "needs 'rules'"):
        assert part in said


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose flow is its own score: `good` and `bad`, on the same 40 lines."""
    monkeypatch.setenv("PF_TRACKING", "off")
    settings.cache_clear()
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"text": str(n)}) + "\n" for n in range(40)))
    for name, share in (("good", 38), ("fair", 36), ("bad", 4)):
        tool = SCORING.replace("SHARE", str(share))
        base = write(tmp_path / name, dag=ECHO, echo__py=tool)
        run("run", "create", "--flow", str(base), "--data", str(data), "--name", name)


def test_a_gate_of_runs_refuses_traffic_that_they_do_not_earn(tmp_path: Path, runs: None) -> None:
    rules = "rules: [{metric: text, no_worse_by: 0.05}, {metric: text, at_least: 0.5}]"
    (tmp_path / "gate.yaml").write_text(rules)
    body = "gate: {rules: gate.yaml, runs: {blue: good, green: bad, red: fair}}\n"
    with Desk(tmp_path, body) as desk:
        desk.deploy("blue", flow(tmp_path / "b", "blue"), "--all-traffic")
        for name in ("green", "red", "gray"):
            desk.deploy(name, flow(tmp_path / f"flow-{name}", name))
        said = desk.update("--traffic", "blue=90 green=10", code=1)
        assert "fail" in said
        assert "worse" in said
        assert desk.score()[1] == {"text": "blue"}
        assert "names no run of gray" in desk.update("--traffic", "blue=90 gray=10", code=1)
        assert "inconclusive" in desk.update("--traffic", "blue=90 red=10", code=3)
        start(code=1)
        desk.update("--traffic", "blue=0 green=100", "--force")
        assert desk.score()[1] == {"text": "green"}
        desk.update("--traffic", "blue=100 green=0")  # better than what is there now
