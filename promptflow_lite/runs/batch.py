"""How is a run asked for, new or once more? Prepare, open an executor, hold the run's lock, execute, tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError
from promptflow_lite.registry import Registry
from promptflow_lite.runs import lock, snapshot
from promptflow_lite.runs.events import RunEmit, ignore
from promptflow_lite.runs.execution import Execution, Summarize, job_of
from promptflow_lite.runs.job import Executor, Tracker
from promptflow_lite.runs.local import LocalExecutor
from promptflow_lite.runs.prepare import Prepared, differences, prepare
from promptflow_lite.runs.processes import ProcessExecutor
from promptflow_lite.runs.redact import redactor
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import RunStore, copy_completed

__all__ = ["resume_batch", "run_batch", "tell"]


async def run_batch(
    run: Run,
    *,
    store: RunStore,
    connections: ConnectionProvider,
    executor: Executor | None = None,
    trackers: Sequence[Tracker] = (),
    reuse: Run | None = None,
    summarize: Summarize | None = None,
    stop: Stop | None = None,
    emit: RunEmit = ignore,
) -> Run:
    """Execute a new run and keep it.

    Args:
        run: what is asked for.
        store: where it is kept.
        connections: what its nodes may use.
        executor: who executes lines; `None` is this process, or as many worker processes as the run asks for.
        trackers: told of the run once it is Completed and safe.
        reuse: an earlier run of the same flow and data whose completed lines are taken over.
        summarize: metrics from the lines, for an evaluation without aggregation nodes.
        stop: the caller's way to end the run early.
        emit: told of each line once it is safe, and of what a person should know.

    Returns:
        The run as it is in the store: Completed, Failed or Canceled.

    Raises:
        UserError: what was asked for is wrong; nothing was executed and no run was made.
        OSError: the disk refused; what was safe before is safe.
    """
    lock.check_system()
    prepared = prepare(run, store)
    if reuse is not None:
        _refuse_changes(prepared, reuse, store.folder(reuse.name))
        prepared = replace(prepared, run=prepared.run.model_copy(update={"prices": reuse.prices}))
    executor = executor or _executor(prepared, connections)
    try:
        said = await executor.open(job_of(prepared, store))
        folder = store.create(prepared.run)
        with lock.hold(folder):
            if reuse is not None:
                copy_completed(store.folder(reuse.name), folder, store.disk)
            notes = snapshot.take(prepared.flow, folder / "snapshot")
            work = _work(prepared, executor, store, connections, summarize=summarize, stop=stop, emit=emit)
            work.note(*said, *notes)
            return await asyncio.to_thread(tell, await work.execute(), store, trackers, emit)
    finally:
        await executor.close()


async def resume_batch(
    name: str,
    *,
    store: RunStore,
    connections: ConnectionProvider,
    executor: Executor | None = None,
    trackers: Sequence[Tracker] = (),
    changes: Mapping[str, Any] | None = None,
    environment_variables: Mapping[str, str] | None = None,
    retry_failed: bool = False,
    force: bool = False,
    summarize: Summarize | None = None,
    stop: Stop | None = None,
    emit: RunEmit = ignore,
) -> Run:
    """Go on with a run: execute the lines that have no record yet, aggregate again.

    Args:
        name: the run.
        store: where it is kept.
        connections: what its nodes may use.
        executor: who executes lines; `None` is this process, or as many worker processes as the run asks for.
        trackers: told of the run once it is Completed and safe.
        changes: fields that may differ from the first time: `concurrency`, `line_timeout_s`,
            `error_threshold`.
        environment_variables: values that were not kept, because their names are those of secrets.
        retry_failed: execute the failed lines again.
        force: go on although the flow, the data or the mapping have changed.
        summarize: as for `run_batch`.
        stop: as for `run_batch`.
        emit: as for `run_batch`.

    Raises:
        UserError: the run does not exist, is being executed (`run-busy`), or has changed (`run-changed`).
    """
    folder = store.folder(name)
    with lock.hold(folder):
        kept = store.load(name)
        again = retry_failed and kept.lines.failed > 0
        if kept.status is Status.Completed and not again:
            emit(Log(f"{name} is Completed: there is nothing left to do"))
            return await asyncio.to_thread(tell, kept, store, trackers, emit)
        variables = {**kept.environment_variables, **(environment_variables or {})}
        again_asked = {**(changes or {}), "environment_variables": variables}
        prepared = prepare(kept.model_copy(update=again_asked), store)
        if not force:
            _refuse_changes(prepared, kept, folder)
        executor = executor or _executor(prepared, connections)
        try:
            said = await executor.open(job_of(prepared, store))
            work = _work(prepared, executor, store, connections, summarize=summarize, stop=stop, emit=emit)
            work.note(*said)
            ended = await work.execute(retry_failed=retry_failed)
            return await asyncio.to_thread(tell, ended, store, trackers, emit)
        finally:
            await executor.close()


def _work(
    prepared: Prepared,
    executor: Executor,
    store: RunStore,
    connections: ConnectionProvider,
    *,
    summarize: Summarize | None,
    stop: Stop | None,
    emit: RunEmit,
) -> Execution:
    """What is to be executed; the notes of its preparation are said."""
    execution = Execution(
        prepared,
        executor,
        store,
        connections=connections,
        redact=redactor(connections),
        summarize=summarize,
        stop=stop,
        emit=emit,
    )
    execution.note(*prepared.notes)
    return execution


def tell(run: Run, store: RunStore, trackers: Sequence[Tracker], emit: RunEmit = ignore) -> Run:
    """Tell the trackers of a Completed run; one that is away is said and costs the run nothing."""
    if run.status is not Status.Completed:
        return run
    for tracker in trackers:
        base, parent = (
            store.load(name) if name is not None and name in store.names() else None
            for name in (run.run, run.parent)
        )
        try:
            told = tracker.tell(run, store.folder(run.name), base, emit, parent=parent)
        except ConnectionError as error:
            emit(Log(f"{error}\n  the run is safe; tell it later with  pf run sync {run.name}", "warning"))
            continue
        run = run.model_copy(update={"tracking": {**run.tracking, **told}})
        store.save(run)
    return run


def _executor(prepared: Prepared, connections: ConnectionProvider) -> Executor:
    where, workers = prepared.run.executor, prepared.run.workers
    if where is not None:
        name, address = ("ray", where) if ":" in where else (where, None)
        made: Executor = Registry("executors").get(name)(connections, address=address, workers=workers)
        return made
    if workers is None:
        return LocalExecutor(connections, prepared.flow)
    return ProcessExecutor(connections, workers=workers)


def _refuse_changes(prepared: Prepared, then: Run, folder: Path) -> None:
    changed = differences(prepared, then, folder)
    if changed:
        raise InputError(
            f"since {then.name!r} was started this has changed: {'; '.join(changed)}",
            code="run-changed",
            hint=f"start a new run, or go on all the same: pf run resume {then.name} --force",
        )
