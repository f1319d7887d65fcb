"""How do the runs of a sweep follow each other? Until all are done, it is stopped, or the money is spent."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Failure, Status
from promptflow_lite.errors import PromptflowError, UserError
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.combinations import label
from promptflow_lite.runs.events import RunEmit, RunEnded
from promptflow_lite.runs.execution import Summarize
from promptflow_lite.runs.family import gathered, is_done, members, usage_of
from promptflow_lite.runs.redact import redactor
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.said import RunLog
from promptflow_lite.runs.spending import BUDGET, spent_up
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import RunStore
from promptflow_lite.tools.scope import Usage

__all__ = ["Again", "Series"]

_SHOWN = 5
"""Runs of which it is said why they failed."""


@dataclass(frozen=True)
class Again:
    """How runs are gone on with; see `resume_batch`."""

    changes: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    retry_failed: bool = False
    force: bool = False


class Series:
    """One execution of a sweep.

    Args:
        parent: the sweep, whose lock the caller holds.
        store: where it is kept.
        connections: what the nodes of its runs may use.
        summarize: as for `run_batch`.
        stop: the caller's way to end the sweep early.
        emit: told of each run's lines, and of what a person should know.
        again: how runs are gone on with.
    """

    def __init__(
        self,
        parent: Run,
        store: RunStore,
        *,
        connections: ConnectionProvider,
        summarize: Summarize | None,
        stop: Stop | None,
        emit: RunEmit,
        again: Again | None = None,
    ) -> None:
        self.parent = parent
        self.store = store
        self.connections = connections
        self.summarize = summarize
        self.stop = stop or Stop()
        self.emit = emit
        self.again = again or Again()
        self._began = time.monotonic()
        self.log = RunLog(store.folder(parent.name), redactor(connections))
        self._refused: dict[str, str] = {}
        """Why runs could not be started, by name."""

    async def execute(self, children: Sequence[Run]) -> Run:
        """Every run that has something left to do, until the sweep is stopped or its money is spent."""
        self._begin()
        try:
            failure: Failure | None = None
            for number, child in enumerate(children, 1):
                if self._has_ended(child):
                    continue
                failure = spent_up(self.parent, self._others(child))
                if failure is not None or self.stop.reason is not None:
                    break
                await self._one(child, f"{number} of {len(children)}: {label(child.choice)}")
                self._save()
            return self._end(failure)
        except asyncio.CancelledError:
            self._ended_as(Status.Canceled)
            raise
        except PromptflowError as error:
            self._ended_as(Status.Failed, Failure(error.code, error.message))
            raise
        except OSError as error:
            with suppress(OSError):
                self._ended_as(Status.Failed, Failure("disk", f"the sweep cannot be kept: {error}"))
            raise

    async def _one(self, child: Run, said: str) -> None:
        there = child.name in self.store.names()
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
                    changes={**self.again.changes, **left},
                    environment_variables=self.again.variables,
                    retry_failed=self.again.retry_failed,
                    force=self.again.force,
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

    def _others(self, child: Run) -> Usage:
        """What the other runs have taken."""
        usage = Usage()
        for run in members(self.parent, self.store):
            if run.name != child.name:
                usage.add(usage_of(run))
        return usage

    def _has_ended(self, child: Run) -> bool:
        if child.name not in self.store.names():
            return False
        return is_done(self.store.load(child.name), retry_failed=self.again.retry_failed)

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
        done = {run.name for run in runs if is_done(run)}
        undone = [name for name in self.parent.children if name not in done]
        if not undone:
            return self._ended_as(Status.Completed)
        if self.stop.reason is not None or any(run.status is Status.Canceled for run in runs):
            return self._ended_as(Status.Canceled)
        return self._ended_as(Status.Failed, failure or self._budget(runs) or self._failed(undone, runs))

    def _budget(self, runs: Sequence[Run]) -> Failure | None:
        """What the run says that the money ran out in; it is the sweep that goes on."""
        for run in runs:
            if run.error is not None and run.error["code"] == BUDGET:
                resume = "pf run resume "
                message = str(run.error["message"])
                return Failure(
                    BUDGET, message.replace(f"{resume}{run.name} ", f"{resume}{self.parent.name} ")
                )
        return None

    def _failed(self, undone: Sequence[str], runs: Sequence[Run]) -> Failure:
        why = [self._why(name, runs) for name in undone[:_SHOWN]]
        more = [f"and {len(undone) - _SHOWN} more"] if len(undone) > _SHOWN else []
        count = f"{len(undone)} of {len(self.parent.children)} runs failed"
        return Failure("children-failed", f"{count}: {'; '.join([*why, *more])}")

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
