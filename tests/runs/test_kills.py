"""Killed at any instant, a run goes on: nothing is lost, nothing done twice but what was in flight."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore
from tests.conftest import ROOT
from tests.model_server import ModelServer
from tests.runs.flows import read_rows, write_rows

_FLOW = """\
inputs:
  text: {type: string}
outputs:
  answer: {type: string, reference: "${tidy.output}"}
nodes:
- name: ask
  type: llm
  api: chat
  connection: mine
  source: {type: code, path: ask.jinja2}
  inputs: {model: scripted, text: "${inputs.text}"}
- name: tidy
  type: python
  source: {type: code, path: tidy.py}
  inputs: {answer: "${ask.output}"}
- name: count
  type: python
  aggregation: true
  source: {type: code, path: count.py}
  inputs: {answers: "${tidy.output}"}
"""
_TIDY = (
    "from promptflow_lite import tool\n\n@tool\ndef tidy(answer: str) -> str:\n    return answer.upper()\n"
)
_COUNT = """\
from promptflow_lite import log_metric, tool

@tool
def count(answers: list) -> list:
    log_metric("count", len(answers))
    return answers
"""
_KILLS = 25
_IN_FLIGHT = 8


class _Killable:
    """A process that executes runs in forks of itself.

    Args:
        root: of the runs.
        server: answers the models' calls.
        start_s: within which time after a start the first lines are done.
    """

    def __init__(self, root: Path, server: ModelServer, start_s: float) -> None:
        command = [sys.executable, "-m", "tests.runs.killable", str(root), server.base_url]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.journal = root / "killed" / JOURNAL
        self.start_s = start_s

    def execute(self, run: Run, chance: random.Random | None = None) -> int:
        """Start the run or go on with it; how it ended, killed at an instant of `chance` if it lived on."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(run.model_dump_json() + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        if chance is not None:
            self.wait(chance)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return int(self.process.stdout.readline())

    def wait(self, chance: random.Random) -> None:
        """Until a moment after the start, or one after some more records of some 700 bytes."""
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0.0, self.start_s))
            return
        more = self.size() + chance.randrange(0, 10_000)
        give_up = time.monotonic() + 4
        while self.size() < more and time.monotonic() < give_up:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.03))

    def size(self) -> int:
        return self.journal.stat().st_size if self.journal.exists() else 0


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(latency_s=0.03) as server:
        yield server


@contextmanager
def _killable(root: Path, server: ModelServer, start_s: float) -> Iterator[_Killable]:
    made = _Killable(root, server, start_s)
    try:
        yield made
    finally:
        assert made.process.stdin is not None
        assert made.process.stdout is not None
        made.process.stdin.close()
        made.process.wait(60)
        made.process.stdout.close()


def _flow(folder: Path) -> Path:
    folder.mkdir()
    for name, text in (("flow.dag.yaml", _FLOW), ("tidy.py", _TIDY), ("count.py", _COUNT)):
        (folder / name).write_text(text)
    (folder / "ask.jinja2").write_text("user:\n{{text}}\n")
    return folder


@pytest.mark.parametrize(("workers", "lines", "start_s"), [(None, 700, 0.3), (2, 560, 1.0)])
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path: Path, server: ModelServer, workers: int | None, lines: int, start_s: float
) -> None:
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"line {number}"} for number in range(lines)])
    asked = Run(
        name="killed",
        flow=str(_flow(tmp_path / "flow")),
        data=str(data),
        concurrency=_IN_FLIGHT,
        workers=workers,
    )
    chance = random.Random(20)
    kills = repeated = 0
    with _killable(tmp_path / "runs", server, start_s) as killable:
        assert killable.execute(asked.model_copy(update={"name": "whole"})) == 0
        _calls(server)
        code = -signal.SIGKILL
        while kills < _KILLS and code != 0:
            before = _recorded(killable.journal)
            code = killable.execute(asked, chance)
            calls, after = _calls(server), _recorded(killable.journal)
            kills += code == -signal.SIGKILL
            assert max(calls.values(), default=1) == 1  # no line began twice in one execution
            assert not before & calls.keys()  # none that was done before
            assert before <= after
            in_flight = calls.keys() - after
            assert len(in_flight) <= _IN_FLIGHT
            repeated += len(in_flight)
        assert kills == _KILLS  # it took all of them
        assert killable.execute(asked) == 0
        calls = _calls(server)
        assert not after & calls.keys()

    store = RunStore(tmp_path / "runs")
    killed, whole = store.folder("killed"), store.folder("whole")
    assert sorted(row["line_number"] for row in read_rows(killed / JOURNAL)) == list(range(lines))
    for name in ("outputs.jsonl", "metrics.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert server.count <= 2 * lines + repeated


def _recorded(journal: Path) -> set[str]:
    return {f"line {number}" for number, _ in Records.read(journal).keys()}  # noqa: SIM118  no mapping


def _calls(server: ModelServer) -> Counter[str]:
    """The lines for which a model was asked since this was last called, once all of them are answered."""
    time.sleep(0.02)
    while server.in_flight:
        time.sleep(0.005)
    taken, server.requests = server.requests, []
    return Counter(request.body["messages"][-1]["content"] for request in taken)
