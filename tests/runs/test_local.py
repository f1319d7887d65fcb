"""The Executor of this process: what user code does beside its work, and what it cannot do to the run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, read_rows, write_rows
from tests.runs.hostile import hostile_flow

_STUBBORN = """\
import asyncio
import time
from promptflow_lite import tool

@tool
async def say(do: str, text: str) -> str:
    began = time.monotonic()
    while do == "stubborn" and time.monotonic() - began < 6:
        try:
            await asyncio.sleep(0.2)
        except:  # what retry loops of users look like
            pass
    return text.upper()
"""

_TALKATIVE = """\
import logging
import threading
from promptflow_lite import tool

logger = logging.getLogger("talkative")
logger.addHandler(logging.StreamHandler())

@tool
def say(do: str, text: str) -> str:
    print("printed", text)
    if do == "log":
        logger.warning("logged %s", text)
    else:
        thread = threading.Thread(target=print, args=("a thread says", text))
        thread.start()
        thread.join()
    return text
"""

_TURNS = """\
import asyncio
import time
from promptflow_lite import tool

turns = 0

def count(loop):
    global turns
    turns += 1
    loop.call_soon(count, loop)

@tool
async def say(do: str, text: str) -> str:
    if not turns:
        count(asyncio.get_running_loop())
    began = turns
    if do == "wait":
        await asyncio.sleep(0.02)
    else:
        time.sleep(0.01)
    return f"{began} {turns}"
"""
"""A tool that tells in which turn of the loop it began, and in which it ended."""


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


async def _run(tmp_path: Path, store: RunStore, do: list[str], **asked: Any) -> Run:
    flow = tmp_path / "hostile"
    if not flow.exists():
        hostile_flow(flow)
    rows = [{"do": what, "text": f"t{number}"} for number, what in enumerate(do)]
    data = write_rows(tmp_path / "data.jsonl", rows)
    run = Run(name="a", flow=str(flow), data=str(data), **{"concurrency": 2, **asked})
    return await run_batch(run, store=store, connections=Connections())


def _errors(store: RunStore) -> dict[int, dict[str, Any]]:
    rows = read_rows(store.folder("a") / "lines.jsonl")
    return {row["line_number"]: row["error"] for row in rows if row["error"]}


async def test_sync_tools_that_hang_are_left_behind_and_starve_nobody(
    tmp_path: Path, store: RunStore
) -> None:
    began = time.monotonic()
    run = await _run(tmp_path, store, ["hang"] * 6 + [""] * 6, line_timeout_s=0.3)
    assert run.lines == LineCounts(total=12, completed=6, failed=6)
    assert {error["code"] for error in _errors(store).values()} == {"timeout"}
    assert time.monotonic() - began < 15


async def test_a_node_has_a_time_of_its_own(tmp_path: Path, store: RunStore) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    source = (flow / "flow.dag.yaml").read_text()
    (flow / "flow.dag.yaml").write_text(
        source.replace("  type: python\n", "  type: python\n  timeout: 0.3\n", 1)
    )
    run = await _run(tmp_path, store, ["hang", ""])
    assert run.lines == LineCounts(total=2, completed=1, failed=1)
    error = _errors(store)[0]
    assert (error["code"], error["node"]) == ("timeout", "say")


async def test_what_a_node_raises_to_end_the_process_is_its_lines_failure(
    tmp_path: Path, store: RunStore
) -> None:
    run = await _run(tmp_path, store, ["sys.exit", "interrupt", ""])
    assert run.lines == LineCounts(total=3, completed=1, failed=2)
    assert [error["message"] for _, error in sorted(_errors(store).items())] == [
        "SystemExit: 3",
        "KeyboardInterrupt",
    ]


async def test_what_tools_print_goes_to_their_line_and_what_their_threads_print_to_the_log(
    tmp_path: Path, store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    (flow / "say.py").write_text(_TALKATIVE)
    await _run(tmp_path, store, ["log", "thread"])
    logs = {row["line_number"]: row["logs"] for row in read_rows(store.folder("a") / "lines.jsonl")}
    assert logs == {0: "printed t0\nlogged t0\n", 1: "printed t1\n"}
    assert "a thread says t1" in (store.folder("a") / "log.txt").read_text()
    assert capsys.readouterr() == ("", "")


async def test_code_that_catches_its_cancellation_is_left_behind(tmp_path: Path, store: RunStore) -> None:
    flow = hostile_flow(tmp_path / "hostile")
    (flow / "say.py").write_text(_STUBBORN)
    began = time.monotonic()
    run = await _run(tmp_path, store, ["stubborn", "", "", ""], line_timeout_s=0.3)
    assert run.lines == LineCounts(total=4, completed=3, failed=1)
    assert _errors(store)[0]["code"] == "timeout"
    assert time.monotonic() - began < 20


async def _turns(tmp_path: Path, store: RunStore, do: str) -> list[tuple[int, int]]:
    flow = hostile_flow(tmp_path / "hostile")
    (flow / "say.py").write_text(_TURNS)
    await _run(tmp_path, store, [do] * 30, concurrency=1)
    said = [row["said"].split() for row in read_rows(store.folder("a") / "outputs.jsonl")]
    return [(int(began), int(ended)) for began, ended in said]


async def test_lines_that_wait_for_nothing_let_others_have_the_loop(tmp_path: Path, store: RunStore) -> None:
    turns = await _turns(tmp_path, store, "work")
    assert len({began for began, _ in turns}) > 3


async def test_a_line_follows_at_once_on_one_that_waited(tmp_path: Path, store: RunStore) -> None:
    turns = await _turns(tmp_path, store, "wait")
    assert [began for began, _ in turns[1:]] == [ended for _, ended in turns[:-1]]
