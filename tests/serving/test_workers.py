"""`pf flow serve` as processes: the end, workers, changes while it serves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import ECHO, ECHO_TOOL, HELD, echo, write
from tests.waiting import until

SLOW = """\
import asyncio
from promptflow_lite import tool


@tool
async def echo(text: str, times: int) -> str:
    await asyncio.sleep(times / 10)
    return text
"""


class Command:
    """`pf flow serve` as a process."""

    def __init__(self, *args: str) -> None:
        settings.cache_clear()
        command = [sys.executable, "-m", "promptflow_lite", "flow", "serve", "--port", "0", *args]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        self.said: list[str] = []
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.said.append(line)
                self._heard.notify_all()

    def hears(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait for a line on stderr."""
        with self._heard:
            assert self._heard.wait_for(lambda: len(self._found(pattern)) >= times, 60), self.said
            return self._found(pattern)[-1]

    def _found(self, pattern: str) -> list[re.Match[str]]:
        return [match for line in self.said if (match := re.search(pattern, line))]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.hears(r"serving .* at http://127\.0\.0\.1:(\d+)")[1])

    def score(self, **inputs: Any) -> tuple[int, Any]:
        """Status and JSON of `POST /score`, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/score", json.dumps(inputs), {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def end(self, sig: int = signal.SIGTERM) -> int:
        """The exit code after a signal."""
        self.process.send_signal(sig)
        return self.process.wait(60)


@pytest.fixture
def start() -> Iterator[Any]:
    started: list[Command] = []

    def run(*args: str) -> Command:
        started.append(Command(*args))
        return started[-1]

    yield run
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
        command.process.wait(60)
        command._listener.join(60)
        assert command.process.stderr is not None
        command.process.stderr.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_end_finishes_what_is_in_flight_and_refuses_what_is_new(
    tmp_path: Path, start: Any, workers: str
) -> None:
    flow = write(tmp_path / "held", dag=ECHO, echo__py=HELD)
    served = start("--source", str(flow), "--workers", workers)
    let_go, here = tmp_path / "let-go", str(tmp_path)
    assert served.score(text=here)[0] == 200
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(served.score(text=str(let_go))))
    thread.start()
    until((tmp_path / "let-go.waits").exists)
    served.process.send_signal(signal.SIGTERM)

    def is_refused() -> bool:
        try:
            status, answer = served.score(text=here)
        except ConnectionError:
            return True
        return (status, answer.get("error", {}).get("code")) == (503, "closing")

    until(is_refused)
    let_go.touch()
    thread.join(60)
    assert answers == [(200, {"text": str(let_go)})]
    assert served.process.wait(60) == 128 + signal.SIGTERM


def test_an_end_that_takes_too_long_is_cut_short(tmp_path: Path, start: Any) -> None:
    flow = write(tmp_path / "held", dag=ECHO, echo__py=HELD)
    served = start("--source", str(flow), "--grace", "0.2")
    port = served.port
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        body = json.dumps({"text": str(tmp_path / "never")})
        connection.request("POST", "/score", body, {"content-type": "application/json"})
        until((tmp_path / "never.waits").exists)
        assert served.end(signal.SIGINT) == 130  # and not never


def test_a_change_is_served_once_it_loads_and_the_old_flow_until_then(tmp_path: Path, start: Any) -> None:
    flow = echo(tmp_path / "echo")
    served = start("--source", str(flow), "--reload")
    assert served.score(text="a") == (200, {"text": "a"})
    write(flow, echo__py=ECHO_TOOL.replace("return text * times", "return 'new ' + text"))
    served.hears("the changed flow is served now")
    until(lambda: served.score(text="a") == (200, {"text": "new a"}))
    write(flow, dag="nodes: [")
    served.hears(r"error\[yaml-syntax\]")
    served.hears("the flow is served as it was before")
    assert served.score(text="a") == (200, {"text": "new a"})
    write(flow, dag=ECHO)
    served.hears("the changed flow is served now", times=2)
    assert served.score(text="a") == (200, {"text": "new a"})
    assert served.end() == 143


def test_a_change_drops_no_request(tmp_path: Path, start: Any) -> None:
    flow = write(tmp_path / "slow", dag=ECHO, echo__py=SLOW)
    served = start("--source", str(flow), "--reload")
    assert served.score(text="a", times=0)[0] == 200
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(served.score(text="a", times=1)[0])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    write(flow, echo__py=SLOW + "\n# changed\n")
    served.hears("the changed flow is served now")
    asked = len(statuses)
    until(lambda: len(statuses) > asked + 10)
    over.set()
    for thread in threads:
        thread.join(60)
    assert set(statuses) == {200}


def test_a_worker_that_crashes_is_replaced(tmp_path: Path, start: Any) -> None:
    tool = "import os\n" + ECHO_TOOL.replace('print("echoing")', "os._exit(9) if text == 'die' else None")
    served = start("--source", str(write(tmp_path / "echo", dag=ECHO, echo__py=tool)), "--workers", "2")
    assert served.score(text="a")[0] == 200
    with pytest.raises(ConnectionError):
        served.score(text="die")
    served.hears("a worker ended with exit code 9; another takes its place")
    for _ in range(10):
        assert served.score(text="a")[0] == 200
    assert served.end() == 143


def test_workers_share_their_metrics_and_end_with_the_first_process(tmp_path: Path, start: Any) -> None:
    served = start("--source", str(echo(tmp_path / "echo")), "--workers", "2")
    port = served.port
    for _ in range(12):
        assert served.score(text="a")[0] == 200

    def is_counted() -> bool:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return 'promptflow_requests_total{deployment="echo",path="/score",status="200"} 12.0' in text

    until(is_counted)  # an answer is counted at its end, which the caller may see first
    served.process.kill()

    def is_gone() -> bool:
        try:
            served.score(text="a")
        except ConnectionError:
            return True
        return False

    until(is_gone)


def test_a_flow_with_an_error_does_not_start_to_listen(tmp_path: Path, start: Any) -> None:
    for more in ((), ("--workers", "2")):
        served = start("--source", str(write(tmp_path / "bad", dag="nodes: [")), *more)
        assert served.process.wait(60) == 2
        served.hears(r"error\[yaml-syntax\]")


def test_beyond_this_machine_a_key_is_made_and_asked_for(tmp_path: Path, start: Any) -> None:
    served = start("--source", str(echo(tmp_path / "echo")), "--host", "0.0.0.0")
    key = served.hears(r"^key: (pf-\S{43})$")[1]
    port = int(served.hears(r"at http://0\.0\.0\.0:(\d+)")[1])
    for headers, status in (({}, 401), ({"authorization": f"Bearer {key}"}, 200)):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/version", headers=headers)
            assert connection.getresponse().status == status


def test_a_port_that_is_taken_is_said(tmp_path: Path, start: Any) -> None:
    flow = str(echo(tmp_path / "echo"))
    first = start("--source", flow)
    second = start("--source", flow, "--port", str(first.port))
    assert second.process.wait(60) == 2
    second.hears("cannot listen on 127.0.0.1")
