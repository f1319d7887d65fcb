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


def main(folder: Path) -> dict[str, Any]:
    """Run, kill, run again with a tool that kills its process."""
    how: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    temporary = tempfile.mkdtemp(prefix="r", dir="/tmp")  # sockets need a short path
    os.environ["RAY_TMPDIR"] = temporary  # for the cluster's address too, which `temp_dir` leaves in /tmp/ray
    cluster = Cluster(initialize_head=True, head_node_args={**how, "include_dashboard": False})
    node = cluster.add_node(**how)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    store = RunStore(folder / "runs")
    ended = 0

    def listen(event: RunEvent) -> None:
        nonlocal ended
        ended += isinstance(event, LineEnded)
        if ended == KILLED_AFTER and isinstance(event, LineEnded):
            cluster.remove_node(node, allow_graceful=False)

    flow = shout_flow(folder / "slow", seconds=1.0)
    data = write_rows(folder / "data.jsonl", [{"text": f"t{number}"} for number in range(LINES)])
    asked = Run(name="a", flow=str(flow), data=str(data), concurrency=IN_FLIGHT, executor="ray", workers=2)
    run = asyncio.run(run_batch(asked, store=store, connections=Connections(), emit=listen))
    calls = (folder / "calls").read_text().split()

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
        "log": (store.folder("a") / "log.txt").read_text(),
        "died": [died.lines.completed, died.failures],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
