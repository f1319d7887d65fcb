"""How many lines are in flight: as many as were asked for, unless the event loop is busy with fewer."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.room import Room
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, read_rows, write_rows

_FLOW = """\
inputs:
  text: {type: string}
outputs:
  peak: {type: int, reference: "${say.output}"}
nodes:
- name: say
  type: python
  source: {type: code, path: say.py}
  inputs: {text: "${inputs.text}"}
"""
_COUNT = """\
import asyncio
import time

from promptflow_lite import tool

in_flight, peak = 0, 0
all_there = asyncio.Event()


@tool
async def say(text: str) -> int:
    global in_flight, peak
    in_flight += 1
    peak = max(peak, in_flight)
    if peak == 100:
        all_there.set()
    %s
    in_flight -= 1
    return peak
"""


async def _peak(tmp_path: Path, doing: str, lines: int) -> int:
    """The most lines that were in flight at once, of 100 that were asked for."""
    flow = tmp_path / "flow"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(_FLOW)
    (flow / "say.py").write_text(_COUNT % doing)
    data = write_rows(tmp_path / "data.jsonl", [{"text": str(number)} for number in range(lines)])
    store = RunStore(tmp_path / "runs")
    run = Run(name="a", flow=str(flow), data=str(data), concurrency=100)
    run = await run_batch(run, store=store, connections=Connections())
    assert run.lines.completed == lines
    peaks: list[int] = [row["peak"] for row in read_rows(store.folder("a") / "outputs.jsonl")]
    return max(peaks)


async def test_all_that_were_asked_for_are_in_flight_where_lines_wait(tmp_path: Path) -> None:
    """Each line waits until all are there, so the run would not end with fewer."""
    assert await _peak(tmp_path, "await asyncio.wait_for(all_there.wait(), 60)", 200) == 100


async def test_no_more_begin_while_lines_keep_the_loop_from_being_on_time(tmp_path: Path) -> None:
    assert await _peak(tmp_path, "time.sleep(0.02); await asyncio.sleep(0)", 100) < 100


def test_desks_double_while_the_loop_is_on_time() -> None:
    room = Room(100)
    seen = [room.desks]
    looks = 0
    while room.look_in_s is not None:
        looks += 1
        room.more(0.001)
        seen.append(room.desks)
    assert sorted(set(seen)) == [16, 32, 64, 100]
    assert looks * 0.025 <= 0.2


def test_few_are_all_there_at_once() -> None:
    room = Room(3)
    assert (room.desks, room.look_in_s) == (3, None)


def test_a_busy_loop_is_looked_at_less_and_less_often_and_opens_none() -> None:
    room = Room(64)
    pauses = []
    for _ in range(20):
        assert room.more(0.02) == 0
        pauses.append(room.look_in_s or 0)
    rising = list(takewhile(lambda pause: pause < pauses[-1], pauses))
    assert rising == sorted(set(rising))
    assert pauses[-1] <= 0.5


def test_on_time_by_chance_is_not_enough() -> None:
    room = Room(64)
    for late_s in (0.02, 0.001) * 20:
        assert room.more(late_s) == 0
    assert room.more(0.0) == 16
