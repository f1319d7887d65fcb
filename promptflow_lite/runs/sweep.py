"""How does a sweep go? A run of every combination, one after the other, under a parent that keeps them.

Each is an ordinary run, with its own folder, journal and resumption; the parent's folder holds what was
asked, its log, and the answers that several runs have in common. One after the other, so that the first has
asked what the next ones share.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Failure, Status
from promptflow_lite.errors import InputError, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.runs import lock, snapshot
from promptflow_lite.runs.batch import resume_batch, run_batch, tell
from promptflow_lite.runs.combinations import combinations, label, names_of, of_choice
from promptflow_lite.runs.events import RunEmit, RunEnded, ignore
from promptflow_lite.runs.execution import Summarize
from promptflow_lite.runs.family import gathered, is_done, members, usage_of
from promptflow_lite.runs.forecast import Forecast
from promptflow_lite.runs.job import Tracker
from promptflow_lite.runs.matrix import BASE, checked
from promptflow_lite.runs.prepare import differences, masked, prepare
from promptflow_lite.runs.redact import redactor
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.spending import BUDGET, spent_up
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import RunStore, check_name
from promptflow_lite.tools.scope import Usage

__all__ = ["Sweep", "is_sweep", "plan", "resume_sweep", "run_sweep", "tell_sweep"]


@dataclass(frozen=True)
class Sweep:
    """A parent, and what each of its runs asks for."""

    parent: Run
    """With the matrix written out and the names of its runs."""
    children: tuple[Run, ...]


def is_sweep(asked: Run, store: RunStore) -> bool:
    """Whether what is asked for is several runs: of a matrix, or building on each run of a sweep."""
    return bool(asked.matrix) or (asked.run is not None and bool(store.load(asked.run).children))


def plan(asked: Run, store: RunStore) -> Sweep:
    """The runs of a sweep that is asked for.

    Raises:
        UserError: the matrix is wrong (`bad-matrix`), a name is taken (`run-exists`), or the sweep that is
            scored has runs that were not started (`sweep-incomplete`).
    """
    flow = load_flow(asked.flow)
    matrix = checked(asked.matrix, flow, asked.variant)
    base = None if asked.run is None else store.load(asked.run)
    if base is not None and base.children:
        if BASE in matrix:
            raise InputError(f"matrix {BASE}: --run says which runs are scored", code="bad-matrix")
        there = {run.name for run in members(base, store)}
        absent = [name for name in base.children if name not in there]
        if absent:
            raise InputError(
                f"{base.name!r} has runs that were not started: {', '.join(absent)}",
                code="sweep-incomplete",
                hint=f"pf run resume {base.name}",
            )
        matrix = {BASE: list(base.children), **matrix}
    names = names_of(asked.name, combinations(matrix), asked.run if base and base.children else None)
    taken = [name for name in (asked.name, *names) if name in set(store.names())]
    if taken:
        raise InputError(
            f"runs of these names exist: {', '.join(taken)}",
            code="run-exists",
            hint=f"pf run resume {taken[0]}  goes on with it; or choose another --name",
        )
    for name in (asked.name, *names):
        check_name(name)
    parent = asked.model_copy(update={"matrix": matrix, "children": names})
    return Sweep(parent, _children(parent))


def _children(parent: Run) -> tuple[Run, ...]:
    """What each run asks for: nothing but what is asked, so that a sweep that was cut can make them anew."""
    nodes = [node.name for node in load_flow(parent.flow).nodes]
    common: dict[str, Any] = {
        "matrix": {},
        "children": [],
        "parent": parent.name,
        "description": None,
        "status": Status.NotStarted,
        "created": 0.0,
        "started": 0.0,
        "ended": None,
        "seconds": 0.0,
        "lines": LineCounts(),
        "failures": {},
        "usage": {},
        "cost": None,
        "prices": [],
        "fingerprint": {},
        "error": None,
        "pid": None,
        "tracking": {},
    }
    found: list[Run] = []
    for name, choice in zip(parent.children, combinations(parent.matrix), strict=True):
        said = f"{parent.display_name}: {label(choice)}" if parent.display_name else label(choice)
        own = {"name": name, "display_name": said, **of_choice(parent, choice, nodes)}
        found.append(parent.model_copy(update={**common, **own}))
    return tuple(found)


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
        going = _Going(kept, store, connections, summarize, stop, emit)
        for note in notes:
            going.note(note)
        ended = await going.execute(sweep.children)
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
        children = _children(parent.model_copy(update={"environment_variables": variables}))
        if not force:
            _refuse_changes(parent, children[0], store)
        going = _Going(parent, store, connections, summarize, stop, emit)
        going.changes = dict(changes or {})
        going.variables = dict(environment_variables or {})
        going.retry_failed, going.force = retry_failed, force
        ended = await going.execute(children)
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


class _Going:
    """One execution of a sweep."""

    def __init__(
        self,
        parent: Run,
        store: RunStore,
        connections: ConnectionProvider,
        summarize: Summarize | None,
        stop: Stop | None,
        emit: RunEmit,
    ) -> None:
        self.parent = parent
        self.store = store
        self.folder = store.folder(parent.name)
        self.connections = connections
        self.summarize = summarize
        self.stop = stop or Stop()
        self.emit = emit
        self.changes: dict[str, Any] = {}
        self.variables: dict[str, str] = {}
        self.retry_failed = False
        self.force = False
        self._began = time.monotonic()
        self._redact = redactor(connections)
        self._refused: dict[str, str] = {}
        """Why runs could not be started, by name."""

    async def execute(self, children: Sequence[Run]) -> Run:
        """Every run that has something left to do, until the sweep is stopped or its money is spent."""
        self._begin()
        try:
            failure: Failure | None = None
            for number, child in enumerate(children, 1):
                if self.stop.reason is not None:
                    break
                failure = self._spent(child)
                if failure is not None:
                    break
                await self._one(child, f"{number} of {len(children)}: {label(child.choice)}")
                self._save()
            return self._end(failure)
        except asyncio.CancelledError:
            self._ended_as(Status.Canceled)
            raise
        except OSError as error:
            with suppress(OSError):
                self._ended_as(Status.Failed, Failure("disk", f"the sweep cannot be kept: {error}"))
            raise

    async def _one(self, child: Run, said: str) -> None:
        there = child.name in self.store.names()
        if there and is_done(self.store.load(child.name), retry_failed=self.retry_failed):
            return
        self.note(said)
        stop = Stop(grace_s=self.stop.grace_s)
        self.stop.when_asked(lambda: stop.ask(self.stop.reason or ""))
        left = self._left(child)
        how: dict[str, Any] = {
            "store": self.store,
            "connections": self.connections,
            "summarize": self.summarize,
            "stop": stop,
            "emit": self.emit,
        }
        try:
            if there:
                ended = await resume_batch(
                    child.name,
                    changes={**self.changes, **left},
                    environment_variables=self.variables,
                    retry_failed=self.retry_failed,
                    force=self.force,
                    **how,
                )
            else:
                ended = await run_batch(child.model_copy(update=left), **how)
        except UserError as error:  # its data or its flow changed after the sweep began
            self._refused[child.name] = str(error)
            self.note(f"{child.name}: {error}", "error")
            return
        self.log(f"{ended.name} is {ended.status}")
        self.emit(RunEnded(ended))

    def note(self, text: str, level: str = "info") -> None:
        """Say something to people, and keep it in the sweep's log."""
        self.log(text)
        self.emit(Log(text, level))

    def log(self, text: str) -> None:
        """Keep something in the sweep's log."""
        with suppress(OSError), (self.folder / "log.txt").open("ab") as log:
            log.write(self._redact(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n".encode()))

    def _others(self, child: Run) -> Usage:
        """What the other runs have taken."""
        usage = Usage()
        for run in members(self.parent, self.store):
            if run.name != child.name:
                usage.add(usage_of(run))
        return usage

    def _spent(self, child: Run) -> Failure | None:
        """Why no further run may start: what all may take together is gone."""
        if child.name in self.store.names() and is_done(
            self.store.load(child.name), retry_failed=self.retry_failed
        ):
            return None
        return spent_up(self.parent, self._others(child))

    def _left(self, child: Run) -> dict[str, Any]:
        """What a run may take of what all may take."""
        others, found = self._others(child), dict[str, Any]()
        if self.parent.max_cost is not None:
            found["max_cost"] = self.parent.max_cost - (others.cost or 0.0)
        if self.parent.max_tokens is not None:
            found["max_tokens"] = self.parent.max_tokens - others.total_tokens
        return found

    def _begin(self) -> None:
        now = time.time()
        self.parent = self.parent.model_copy(
            update={
                "status": Status.Running,
                "created": self.parent.created or now,
                "started": now,
                "ended": None,
                "error": None,
                "pid": os.getpid(),
            }
        )
        self._save()
        self._began = time.monotonic()
        self.log(f"{len(self.parent.children)} runs: {', '.join(self.parent.children)}")

    def _save(self) -> None:
        self.parent = gathered(self.parent, members(self.parent, self.store))
        self.store.save(self.parent)

    def _end(self, failure: Failure | None) -> Run:
        runs = members(self.parent, self.store)
        undone = [name for name in self.parent.children if name not in {r.name for r in runs if is_done(r)}]
        if not undone:
            return self._ended_as(Status.Completed)
        if self.stop.reason is not None or any(run.status is Status.Canceled for run in runs):
            return self._ended_as(Status.Canceled)
        failure = failure or next(
            (
                Failure(
                    run.error["code"],
                    str(run.error["message"]).replace(
                        f"pf run resume {run.name}", f"pf run resume {self.parent.name}"
                    ),
                )
                for run in runs
                if run.error is not None and run.error["code"] == BUDGET
            ),
            None,
        )
        why = "; ".join(self._why(name, runs) for name in undone[:5])
        more = f"; and {len(undone) - 5} more" if len(undone) > 5 else ""
        return self._ended_as(
            Status.Failed,
            failure
            or Failure(
                "children-failed", f"{len(undone)} of {len(self.parent.children)} runs failed: {why}{more}"
            ),
        )

    def _why(self, name: str, runs: Sequence[Run]) -> str:
        if name in self._refused:
            return f"{name} ({self._refused[name]})"
        error = next((run.error for run in runs if run.name == name), None)
        return f"{name} ({error['code']})" if error else name

    def _ended_as(self, status: Status, error: Failure | None = None) -> Run:
        seconds = self.parent.seconds + time.monotonic() - self._began
        self.parent = self.parent.model_copy(
            update={
                "status": status,
                "ended": time.time(),
                "seconds": seconds,
                "error": None if error is None else {"code": error.code, "message": error.message},
                "pid": None,
            }
        )
        self._save()
        self.log(f"{status}: {self.parent.lines.completed} completed, {self.parent.lines.failed} failed")
        return self.parent
