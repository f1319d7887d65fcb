"""Ways to leave a run: at once or after what is in flight, and always with the command to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from promptflow_lite.runs.store import RunStore
from tests.runs.flows import shout_flow, write_rows
from tests.waiting import until

_HANGS = "import time\nfrom promptflow_lite import tool\nprint('hanging', flush=True)\ntime.sleep(600)\n"
_STUBBORN = """\
import asyncio
import pathlib
from promptflow_lite import tool

@tool
async def shout(text: str, times: int) -> str:
    with pathlib.Path("{calls}").open("a") as calls:
        calls.write(text + "\\n")
    while True:
        try:
            await asyncio.sleep(60)
        except:
            pass
"""


def _pf(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "promptflow_lite", "run", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _began(tmp_path: Path) -> int:
    calls = tmp_path / "calls"
    return len(calls.read_text().split()) if calls.exists() else 0


def _create(tmp_path: Path, flow: Path, *more: str) -> subprocess.Popen[str]:
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"t{number}"} for number in range(12)])
    return _pf("create", "--flow", str(flow), "--data", str(data), "--name", "a", "--no-tracking", *more)


def test_a_module_that_hangs_while_it_is_imported_can_be_left(tmp_path: Path, home: Path) -> None:
    flow = shout_flow(tmp_path / "flow")
    (flow / "shout.py").write_text(_HANGS + (flow / "shout.py").read_text())
    for sent, code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)):
        process = _create(tmp_path, flow)
        assert process.stderr is not None
        assert process.stderr.readline() == "hanging\n"
        process.send_signal(sent)
        time.sleep(0.2)
        if process.poll() is None:
            process.send_signal(sent)
        process.communicate(timeout=60)  # of the six hundred seconds that it hangs
        assert process.returncode == code
    assert RunStore(home / "runs").names() == []


def test_ctrl_c_finishes_what_workers_have_in_flight(tmp_path: Path, home: Path) -> None:
    process = _create(
        tmp_path, shout_flow(tmp_path / "flow", seconds=1.0), "--workers", "2", "--concurrency", "4"
    )
    until(lambda: _began(tmp_path) >= 4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "pf run resume a" in said
    done = RunStore(home / "runs").load("a").lines.completed
    assert done == _began(tmp_path) < 12
    again = _pf("resume", "a", "--no-tracking")
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert _began(tmp_path) == 12


def test_code_that_catches_its_cancellation_holds_nobody_up_for_long(tmp_path: Path, home: Path) -> None:
    flow = shout_flow(tmp_path / "flow")
    (flow / "shout.py").write_text(_STUBBORN.replace("{calls}", str(tmp_path / "calls")))
    process = _create(tmp_path, flow, "--concurrency", "2")
    until(lambda: _began(tmp_path) >= 2)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    next(line for line in process.stderr if "Ctrl-C again leaves at once" in line)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # it would never end by itself
    assert process.returncode in (130, -signal.SIGINT)
    assert RunStore(home / "runs").load("a").lines.completed == 0


def test_a_second_process_on_a_run_is_told_which_the_first_is(tmp_path: Path, home: Path) -> None:
    first = _create(tmp_path, shout_flow(tmp_path / "flow", seconds=5), "--concurrency", "2")
    try:
        until(lambda: _began(tmp_path) >= 2)
        second = _pf("resume", "a", "--no-tracking")
        _, said = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"process {first.pid}" in said
    finally:
        first.kill()
        first.communicate(timeout=60)
