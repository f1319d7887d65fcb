"""A run on two Ray nodes of this machine, one of which is killed. Prints what came of it as JSON.

It is a program of its own, since Ray keeps threads, signal handlers and sockets in its process. All addresses
are loopback, without dashboard and without usage statistics.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

# Read when Ray is imported: the first keeps it from taking this machine's outer address.
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import ray
from ray.cluster_utils import Cluster

from promptflow_lite.engine.events import LineEnded
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, read_rows, shout_flow, write_rows

LINES = 18
KILLED_AFTER = 4
IN_FLIGHT = 6
HANGS = """\
import asyncio
import pathlib
import ray
from promptflow_lite import tool

HERE = pathlib.Path({folder!r})
STARTED = []


@tool
async def shout(text: str, times: int) -> str:
    on_victim = ray.get_runtime_context().get_node_id() == (HERE / "victim").read_text()
    STARTED.append(text)
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{{text}} {{'victim' if on_victim else 'head'}}\\n")
    if on_victim and len(STARTED) > 1:
        (HERE / "hanging").touch()
        await asyncio.sleep(500)
    while not (on_victim or (HERE / "hanging").exists()):
        await asyncio.sleep(0.02)
    return text.upper() * times
"""
"""The first line on the node that is killed ends, the others there do not; those elsewhere wait until one of
these has begun. So the node is lost while lines are in flight on it, however long anything takes."""


def main(folder: Path) -> dict[str, Any]:
    """Run, kill, run again with a tool that kills its process."""
    how: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    temporary = tempfile.mkdtemp(prefix="r", dir="/tmp")  # sockets need a short path
    os.environ["RAY_TMPDIR"] = temporary  # for the cluster's address too, which `temp_dir` leaves in /tmp/ray
    cluster = Cluster(initialize_head=True, head_node_args={**how, "include_dashboard": False})
    node = cluster.add_node(**how)
    (folder / "victim").write_text(node.node_id)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    store = RunStore(folder / "runs")
    ended: set[str] = set()
    is_lost = False

    def listen(event: RunEvent) -> None:
        nonlocal is_lost
        if isinstance(event, LineEnded):
            ended.add(str(event.result.inputs["text"]))
            if not is_lost and len(ended) >= KILLED_AFTER and _of_victim(folder)[0] in ended:
                is_lost = True
                cluster.remove_node(node, allow_graceful=False)

    flow = shout_flow(folder / "slow")
    (flow / "shout.py").write_text(HANGS.format(folder=str(folder)))
    data = write_rows(folder / "data.jsonl", [{"text": f"t{number}"} for number in range(LINES)])
    asked = Run(name="a", flow=str(flow), data=str(data), concurrency=IN_FLIGHT, executor="ray", workers=2)
    run = asyncio.run(run_batch(asked, store=store, connections=Connections(), emit=listen))
    calls = [line.split()[0] for line in (folder / "calls").read_text().splitlines()]
    of_victim = _of_victim(folder)
    (folder / "calls").unlink()

    deadly = shout_flow(folder / "deadly")
    code = (deadly / "shout.py").read_text().replace("raise ValueError", "__import__('os')._exit(3)  #")
    (deadly / "shout.py").write_text(code)
    data = write_rows(folder / "deadly.jsonl", [{"text": text} for text in ("x", "bad", "y")])
    asked = Run(name="b", flow=str(deadly), data=str(data), executor="ray")
    died = asyncio.run(run_batch(asked, store=store, connections=Connections()))
    ray.shutdown()
    cluster.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)
    return {
        "status": run.status,
        "records": sorted(row["line_number"] for row in read_rows(store.folder("a") / "lines.jsonl")),
        "outputs": read_rows(store.folder("a") / "outputs.jsonl"),
        "metrics": run.metrics,
        "calls": calls,
        "done_there": of_victim[0],
        "lost": of_victim[1:],
        "log": (store.folder("a") / "log.txt").read_text(),
        "died": [died.lines.completed, died.failures],
    }


def _of_victim(folder: Path) -> list[str]:
    """The lines that began on the node that is killed, in order."""
    calls = (line.split() for line in (folder / "calls").read_text().splitlines())
    return [text for text, where in calls if where == "victim"] or [""]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
