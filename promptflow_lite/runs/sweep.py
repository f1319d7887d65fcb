"""How does a sweep go? A run of every combination, one after the other, under a parent that keeps them.

Each is an ordinary run, with its own folder, journal and resumption; the parent's folder holds what was
asked, its log, and the answers that several runs have in common. One after the other, so that the first has
asked what the next ones share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.runs import lock, snapshot
from promptflow_lite.runs.batch import tell
from promptflow_lite.runs.events import RunEmit, ignore
from promptflow_lite.runs.execution import Summarize
from promptflow_lite.runs.family import gathered, is_done, members
from promptflow_lite.runs.forecast import Forecast
from promptflow_lite.runs.job import Tracker
from promptflow_lite.runs.planning import Sweep, children_of
from promptflow_lite.runs.prepare import differences, prepare
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.secrets import masked
from promptflow_lite.runs.series import Again, Series
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import RunStore

__all__ = ["resume_sweep", "run_sweep", "tell_sweep"]


async def run_sweep(
    sweep: Sweep,
    foreseen: Forecast,
    *,
    store: RunStore,
    connections: ConnectionProvider,
    trackers: Sequence[Tracker] = (),
    summarize: Summarize | None = None,
    stop: Stop | None = None,
    emit: RunEmit = ignore,
) -> Run:
    """Execute every run of a new sweep, and keep them.

    Args:
        sweep: what is asked for (`plan`).
        foreseen: what was found when each run was looked at.
        store: where they are kept.
        connections: what their nodes may use.
        trackers: told of the sweep and its runs once all are Completed and safe.
        summarize: as for `run_batch`.
        stop: the caller's way to end the sweep early.
        emit: told of each run's lines, and of what a person should know.

    Returns:
        The parent as it is in the store: Completed if all its runs are, else Failed or Canceled.

    Raises:
        UserError: what was asked for is wrong; nothing was executed.
        OSError: the disk refused; what was safe before is safe.
    """
    lock.check_system()
    parent = sweep.parent
    kept = parent.model_copy(
        update={
            **masked(parent),
            "fingerprint": foreseen.fingerprint,
            "lines": LineCounts(total=foreseen.rows),
        }
    )
    folder = store.create(kept)
    with lock.hold(folder):
        notes = snapshot.take(load_flow(parent.flow), folder / "snapshot")
        series = Series(kept, store, connections=connections, summarize=summarize, stop=stop, emit=emit)
        for note in notes:
            series.note(note)
        ended = await series.execute(sweep.children)
        return await asyncio.to_thread(tell_sweep, ended, store, trackers, emit)


async def resume_sweep(
    name: str,
    *,
    store: RunStore,
    connections: ConnectionProvider,
    trackers: Sequence[Tracker] = (),
    changes: Mapping[str, Any] | None = None,
    environment_variables: Mapping[str, str] | None = None,
    retry_failed: bool = False,
    force: bool = False,
    summarize: Summarize | None = None,
    stop: Stop | None = None,
    emit: RunEmit = ignore,
) -> Run:
    """Go on with a sweep: the runs that were not started, and those that did not end.

    Args:
        name: the parent.
        store: as for `resume_batch`, like all that follow.
        connections: see there.
        trackers: see there.
        changes: see there; `max_cost` and `max_tokens` hold for the whole sweep.
        environment_variables: see there.
        retry_failed: see there.
        force: see there.
        summarize: see there.
        stop: see there.
        emit: see there.

    Raises:
        UserError: there is no such sweep, it is being executed (`run-busy`), or has changed (`run-changed`).
    """
    folder = store.folder(name)
    with lock.hold(folder):
        parent = store.load(name)
        runs = members(parent, store)
        if len(runs) == len(parent.children) and all(is_done(run, retry_failed=retry_failed) for run in runs):
            emit(Log(f"{name} is Completed: there is nothing left to do"))
            ended = gathered(parent.model_copy(update={"status": Status.Completed}), runs)
            return await asyncio.to_thread(tell_sweep, ended, store, trackers, emit)
        parent = parent.model_copy(update=dict(changes or {}))
        variables = {**parent.environment_variables, **(environment_variables or {})}
        children = children_of(parent.model_copy(update={"environment_variables": variables}))
        if not force:
            _refuse_changes(parent, children[0], store)
        again = Again(dict(changes or {}), dict(environment_variables or {}), retry_failed, force)
        series = Series(
            parent,
            store,
            connections=connections,
            summarize=summarize,
            stop=stop,
            emit=emit,
            again=again,
        )
        ended = await series.execute(children)
        return await asyncio.to_thread(tell_sweep, ended, store, trackers, emit)


def _refuse_changes(parent: Run, child: Run, store: RunStore) -> None:
    """Runs that are still to be started shall be of the same flow and data as those that were."""
    found = differences(prepare(child, store), parent, store.folder(parent.name))
    changed = [what for what in found if what.split(" ")[0] in parent.fingerprint]
    if changed:
        raise InputError(
            f"since {parent.name!r} was started this has changed: {'; '.join(changed)}",
            code="run-changed",
            hint=f"start a new sweep, or go on all the same: pf run resume {parent.name} --force",
        )


def tell_sweep(parent: Run, store: RunStore, trackers: Sequence[Tracker], emit: RunEmit = ignore) -> Run:
    """Tell the trackers of a Completed sweep: of the parent first, so that its runs can name it."""
    told = tell(parent, store, trackers, emit)
    if told.tracking or not trackers:
        for run in members(parent, store):
            tell(run, store, trackers, emit)
    return told
