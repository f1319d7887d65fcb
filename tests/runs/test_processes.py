"""Worker processes: what a tool does to its process costs its line, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.kinds import CustomConnection
from promptflow_lite.engine.events import LineEnded
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import FlowError, PromptflowError
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, read_rows, shout_flow, write_rows
from tests.runs.hostile import hostile_flow
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


async def _run(tmp_path: Path, store: RunStore, do: Sequence[str], **asked: Any) -> Run:
    flow = hostile_flow(tmp_path / "hostile")
    rows = [{"do": what, "text": f"t{number}"} for number, what in enumerate(do)]
    data = write_rows(tmp_path / "data.jsonl", rows)
    run = Run(name="a", flow=str(flow), data=str(data), **{"workers": 2, "concurrency": 4, **asked})
    return await run_batch(run, store=store, connections=Connections())


def _records(store: RunStore) -> dict[int, dict[str, Any]]:
    return {row["line_number"]: row for row in read_rows(store.folder("a") / "lines.jsonl")}


def _starts(tmp_path: Path) -> dict[str, list[int]]:
    """The processes in which each line was started."""
    found: dict[str, list[int]] = {}
    for row in (tmp_path / "calls").read_text().splitlines():
        text, pid = row.split()
        found.setdefault(text, []).append(int(pid))
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def _until_they_end(pids: Sequence[int]) -> None:
    until(lambda: not any(map(_is_alive, pids)), "they live on")


async def test_lines_run_in_other_processes_and_so_does_the_aggregation(
    tmp_path: Path, store: RunStore
) -> None:
    run = await _run(tmp_path, store, ["slow"] * 8)
    assert (run.status, run.lines) == (Status.Completed, LineCounts(total=8, completed=8))
    assert run.metrics == {"count": 8}
    pids = {pid for pids in _starts(tmp_path).values() for pid in pids}
    assert len(pids) == 2
    assert os.getpid() not in pids
    aggregation = json.loads((store.folder("a") / "aggregation.json").read_text())
    assert aggregation["node_runs"]["count"]["output"] in pids
    assert not any(map(_is_alive, pids))
    assert [path.name for path in store.root.iterdir()] == ["a"]  # what they shared is gone
    assert read_rows(store.folder("a") / "outputs.jsonl")[3] == {"line_number": 3, "said": "T3"}


async def test_a_line_that_ends_its_process_is_failed_with_how_it_ended(
    tmp_path: Path, store: RunStore
) -> None:
    do = ["", "segfault", "", "exit", "kill", "", "sys.exit", "interrupt"]
    run = await _run(tmp_path, store, do)
    assert run.lines == LineCounts(total=8, completed=3, failed=5)
    errors = {number: row["error"] for number, row in _records(store).items() if row["error"]}
    assert {number: error["code"] for number, error in errors.items()} == {
        1: "worker-died",
        3: "worker-died",
        4: "worker-died",
        6: "node-error",
        7: "node-error",
    }
    assert "SIGSEGV" in errors[1]["message"]
    assert "say.py" in errors[1]["traceback"]  # where it crashed
    assert "exit code 7" in errors[3]["message"]
    assert "SIGKILL" in errors[4]["message"]
    assert "SystemExit: 3" in errors[6]["message"]
    assert "KeyboardInterrupt" in errors[7]["message"]
    starts = _starts(tmp_path)
    assert max(map(len, starts.values())) == 2
    assert all(len(set(starts[text])) == 2 for text in ("t1", "t3", "t4"))  # tried again on a new worker


async def test_a_line_that_hangs_and_lets_go_fails_alone(tmp_path: Path, store: RunStore) -> None:
    run = await _run(tmp_path, store, ["hang", "", "slow", ""], workers=1, line_timeout_s=1.5)
    assert run.lines == LineCounts(total=4, completed=3, failed=1)
    assert _records(store)[0]["error"]["code"] == "timeout"
    assert set(map(len, _starts(tmp_path).values())) == {1}


async def test_a_line_that_holds_the_interpreter_is_killed_and_the_others_are_taken_elsewhere(
    tmp_path: Path, store: RunStore
) -> None:
    began = time.monotonic()
    run = await _run(tmp_path, store, ["hang in C", "slow", ""], workers=1, line_timeout_s=1)
    assert run.lines == LineCounts(total=3, completed=2, failed=1)
    error = _records(store)[0]["error"]
    assert error["code"] == "timeout"
    assert "say.py" in error["traceback"]  # where it hangs
    assert time.monotonic() - began < 30


async def test_memory_that_a_line_wants_beyond_the_limit_costs_the_line(
    tmp_path: Path, store: RunStore
) -> None:
    run = await _run(tmp_path, store, ["", "leak", ""], worker_memory_mb=1500)
    assert run.lines == LineCounts(total=3, completed=2, failed=1)
    assert _records(store)[1]["error"]["code"] == "out-of-memory"
    assert len(set(_starts(tmp_path)["t1"])) == 2


async def test_programs_that_a_tool_started_end_with_the_run(tmp_path: Path, store: RunStore) -> None:
    await _run(tmp_path, store, ["child"])
    started = int(_records(store)[0]["outputs"]["said"].lower().removeprefix("t") or 0)
    assert started
    _until_they_end([started])


async def test_what_python_c_and_programs_print_goes_to_the_line(
    tmp_path: Path, store: RunStore, capfd: pytest.CaptureFixture[str]
) -> None:
    await _run(tmp_path, store, ["print", "print", "flood"], concurrency=1)
    records = _records(store)
    for number in (0, 1):
        said = [f"{who} t{number}" for who in ("python says", "C says", "a program says")]
        assert sorted(records[number]["logs"].splitlines()) == sorted(said)
    assert len(records[2]["logs"]) < 66_000
    assert "more characters were printed and not kept" in records[2]["logs"]
    assert capfd.readouterr() == ("", "")


async def test_an_aggregation_that_ends_its_process_fails_the_run_and_loses_no_line(
    tmp_path: Path, store: RunStore
) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    data = write_rows(tmp_path / "data.jsonl", [{"do": "", "text": text} for text in ("a", "die")])
    asked = Run(name="a", flow=str(flow), data=str(data), workers=1)
    run = await run_batch(asked, store=store, connections=Connections())
    assert (run.status, run.lines.completed) == (Status.Failed, 2)
    assert run.error is not None
    assert (run.error["code"], "SIGABRT" in run.error["message"]) == ("worker-died", True)
    good = (flow / "count.py").read_text().replace("os.abort()", "pass")
    (flow / "count.py").write_text(good)
    again = await resume_batch("a", store=store, connections=Connections(), force=True)
    assert (again.status, len(_starts(tmp_path))) == (Status.Completed, 2)


async def test_what_is_wrong_with_the_flow_is_said_as_ever_and_makes_no_run(
    tmp_path: Path, store: RunStore
) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    good = (flow / "say.py").read_text()
    (flow / "say.py").write_text(f"import no_such_module\n{good}")
    data = write_rows(tmp_path / "data.jsonl", [{"do": "", "text": "a"}])
    asked = Run(name="a", flow=str(flow), data=str(data), workers=2)
    with pytest.raises(FlowError) as local:
        await run_batch(asked.model_copy(update={"workers": None}), store=store, connections=Connections())
    with pytest.raises(FlowError) as caught:
        await run_batch(asked, store=store, connections=Connections())
    assert caught.value.diagnostics == local.value.diagnostics
    (flow / "say.py").write_text(f"import os\nprint('dying', flush=True)\nos._exit(9)\n{good}")
    with pytest.raises(PromptflowError) as died:
        await run_batch(asked, store=store, connections=Connections())
    assert died.value.code == "worker-died"
    assert "exit code 9" in died.value.message
    assert "dying" in died.value.message
    assert store.names() == []


async def test_workers_get_the_connections_and_variables_of_the_run(tmp_path: Path, store: RunStore) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    (flow / "say.py").write_text(
        "import os\n"
        "from promptflow_lite import tool\n"
        "from promptflow.connections import CustomConnection\n\n"
        "@tool\n"
        "def say(do: str, text: str, mine: CustomConnection) -> str:\n"
        "    return f'{mine.greeting} {len(mine.password)} {os.environ[\"MY_API_KEY\"]}'\n"
    )
    source = (flow / "flow.dag.yaml").read_text()
    (flow / "flow.dag.yaml").write_text(
        source.replace('text: "${inputs.text}"}', 'text: "${inputs.text}", mine: mine}', 1)
    )
    data = write_rows(tmp_path / "data.jsonl", [{"do": "", "text": "a"}])
    asked = Run(
        name="a",
        flow=str(flow),
        data=str(data),
        workers=1,
        environment_variables={"MY_API_KEY": "hidden-key"},
    )
    mine = CustomConnection("mine", configs={"greeting": "hello"}, secrets={"password": "very-secret"})
    run = await run_batch(asked, store=store, connections=Connections(mine))
    assert run.lines.completed == 1
    assert _records(store)[0]["outputs"] == {"said": "hello 11 hidden-key"}
    kept = b"".join(path.read_bytes() for path in store.folder("a").rglob("*") if path.is_file())
    assert b"very-secret" not in kept


async def test_lines_in_flight_are_finished_when_the_run_shall_stop(tmp_path: Path, store: RunStore) -> None:
    slow = shout_flow(tmp_path / "slow", seconds=0.2)
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"t{number}"} for number in range(20)])
    stop = Stop()

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded):
            stop.ask("canceled")

    asked = Run(name="a", flow=str(slow), data=str(data), workers=2, concurrency=4)
    run = await run_batch(asked, store=store, connections=Connections(), stop=stop, emit=listen)
    assert run.status is Status.Canceled
    calls = (tmp_path / "calls").read_text().split()
    assert run.lines.completed == len(calls) < 20
    resumed = await resume_batch("a", store=store, connections=Connections())
    assert resumed.lines.completed == 20
    assert sorted((tmp_path / "calls").read_text().split()) == sorted(f"t{number}" for number in range(20))


def test_workers_and_what_they_started_end_when_the_process_of_their_run_is_killed(
    tmp_path: Path, home: Path
) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    data = write_rows(
        tmp_path / "data.jsonl", [{"do": "hang in C", "text": "a"}, {"do": "child and hang", "text": "b"}]
    )
    command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--no-tracking", "--name", "a"]
    arguments = ["--flow", str(flow), "--data", str(data), "--workers", "2", "--concurrency", "2"]
    leader = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        calls = tmp_path / "calls"
        until(lambda: calls.exists() and len(calls.read_text().splitlines()) >= 3)
        time.sleep(0.5)  # by now the interpreter is held
    finally:
        leader.send_signal(signal.SIGKILL)
        leader.wait(60)
    pids = [int(row.split()[1]) for row in calls.read_text().splitlines()]
    assert leader.pid not in pids
    _until_they_end(pids)


def test_a_line_that_killed_a_run_of_one_process_kills_it_only_once(tmp_path: Path, home: Path) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    rows = [
        {"do": do, "text": f"t{number}"} for number, do in enumerate(["slow", "slow", "kill", "slow", ""])
    ]
    data = write_rows(tmp_path / "data.jsonl", rows)
    command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--no-tracking", "--name", "a"]
    arguments = ["--flow", str(flow), "--data", str(data), "--concurrency", "2"]
    ended = subprocess.run([*command, *arguments], capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    store = RunStore(home / "runs")
    run = asyncio.run(resume_batch("a", store=store, connections=Connections()))
    assert (run.status, run.lines) == (Status.Completed, LineCounts(total=5, completed=4, failed=1))
    assert _records(store)[2]["error"]["code"] == "worker-died"
    assert len(_starts(tmp_path)["t2"]) == 3  # in the run's process, beside others in a worker, alone in one
    assert not (store.folder("a") / "in-flight").exists()
