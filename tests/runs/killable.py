"""Runs and resumes in processes that a test can kill: `python -m tests.runs.killable HOME`.

Each line of stdin is the JSON of a run. It is executed, or gone on with if it exists, in a fork of this
process, which has everything imported and no thread: a start takes milliseconds, so that a test can afford
many. Two lines come back: the fork's process id, and when it has ended, its exit code.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.engine.results import Status
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections

__all__ = ["main"]


def main() -> None:
    """Do what comes in, one after the other."""
    store = RunStore(Path(sys.argv[1]))
    connections = Connections(OpenAIConnection("mine", base_url=sys.argv[2], api_key="sk-any"))
    for text in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _execute(Run.model_validate_json(text), store, connections)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _execute(asked: Run, store: RunStore, connections: Connections) -> None:
    if asked.name in store.names():
        work = resume_batch(asked.name, store=store, connections=connections)
    else:
        work = run_batch(asked, store=store, connections=connections)
    run = asyncio.run(work)
    os._exit(0 if run.status is Status.Completed else 1)


if __name__ == "__main__":
    main()
