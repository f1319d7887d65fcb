"""What does it cost to tell MLflow of a run: its facts, a trace for each line, a score for each?

    python -m tests.benchmarks.mlflow_traces --lines 1000
    python -m tests.benchmarks.mlflow_traces --lines 1000 --uri http://127.0.0.1:5000

One node of Python a line, told to a fresh SQLite database or to a server: seconds and CPU of this process,
first without traces, then with them, then once more, when nothing is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptflow_lite.evaluation import summary
from promptflow_lite.integrations.mlflow import MlflowTracker
from promptflow_lite.runs.batch import run_batch, tell
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, score_flow, shout_flow, write_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--uri", help="a tracking server; default: a new database")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.chdir(folder)
        os.environ["PF_HOME"] = str(folder / "home")
        os.environ["MLFLOW_TRACKING_URI"] = asked.uri or f"sqlite:///{folder / 'mlflow.db'}"
        _measure(folder, asked.lines)


def _measure(folder: Path, lines: int) -> None:
    store = RunStore(folder / "runs")
    rows = [{"text": f"t{i}"} for i in range(lines)]
    data = str(write_rows(folder / "data.jsonl", rows))
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    base = Run(name="base", flow=str(shout_flow(folder / "shout")), data=data)
    score = Run(name="score", flow=str(score_flow(folder / "score")), run="base", column_mapping=mapping)
    how: dict[str, Any] = {"store": store, "connections": Connections(), "summarize": summary.of}

    def told(name: str, traces: int) -> None:
        tell(store.load(name), store, [MlflowTracker(traces)], lambda event: None)

    _timed(f"run {lines} lines", lambda: asyncio.run(run_batch(base, **how)))
    _timed("import MLflow, make a database, tell the run", lambda: told("base", 0))
    facts = _timed("tell the run again, without traces", lambda: told("base", 0))
    traces = _timed("tell its traces", lambda: told("base", lines))
    _timed("tell them again: nothing is missing", lambda: told("base", lines))
    asyncio.run(run_batch(score, **how))
    scores = _timed("tell an evaluation, a score a line", lambda: told("score", lines))
    print(
        f"a trace: {(traces - facts) / lines * 1000:.1f} ms of CPU; a score: {scores / lines * 1000:.1f} ms"
    )


def _timed(what: str, work: Callable[[], Any]) -> float:
    """Do it, say how long it took; the seconds of CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    spent = time.process_time() - cpu
    print(f"{what:48} {time.perf_counter() - began:7.2f} s  {spent:7.2f} s CPU")
    return spent


if __name__ == "__main__":
    main()
