"""How does one execution of a run go, from its first line to its last file?

What is done is on the disk before it is shown as done, so a run that ends early, however it ends, goes on
with the lines that are missing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.events import LineEnded, Log, Throttled
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, Status
from promptflow_lite.errors import UserError
from promptflow_lite.runs.early import BATCH_TIMEOUT, Early
from promptflow_lite.runs.events import RunEmit, RunStarted
from promptflow_lite.runs.garbage import seldom_collected
from promptflow_lite.runs.in_flight import InFlight
from promptflow_lite.runs.job import Executor, FlowJob, Line
from promptflow_lite.runs.journal import Journal
from promptflow_lite.runs.listeners import heard
from promptflow_lite.runs.local import LocalExecutor
from promptflow_lite.runs.prepare import Prepared
from promptflow_lite.runs.prices import Prices
from promptflow_lite.runs.processes import ProcessExecutor
from promptflow_lite.runs.records import Key, decode, dumps, key_of, key_text, loads
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.said import Pauses, RunLog
from promptflow_lite.runs.spending import Account, spent_up
from promptflow_lite.runs.standing import begun, counted, ended
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import IN_FLIGHT, JOURNAL, RunStore, write_json, write_outputs
from promptflow_lite.runs.tally import Tally, accounted
from promptflow_lite.settings import settings
from promptflow_lite.tools.scope import Usage, caching
from promptflow_lite.tools.shared import listening

__all__ = ["Execution", "Summarize", "job_of"]

Summarize = Callable[[Sequence[LineResult]], Mapping[str, Any]]


def job_of(prepared: Prepared, store: RunStore) -> FlowJob:
    """What an executor needs for a run that is kept in `store`."""
    return prepared.job.model_copy(update={"folder": str(store.root / prepared.run.name)})


def _without(keys: set[Key], lines: Iterable[Line]) -> Iterable[Line]:
    return (line for line in lines if line.key not in keys) if keys else lines


def _marked(lines: Iterable[Line], marks: InFlight) -> Iterator[Line]:
    for line in lines:
        marks.begin(line.key)
        yield line


class Execution:
    """One execution of a run, from the first line to the last file.

    Args:
        prepared: the run, its flow and its lines.
        executor: runs the user's code; open, and closed by the caller.
        store: has the run's folder.
        connections: for the process of lines that this one may have died of.
        redact: takes secrets out of what is written.
        summarize: metrics from the lines, for an evaluation without aggregation nodes.
        stop: the caller's way to end the run early.
        emit: told of each line once it is safe, and of what a person should know.
    """

    def __init__(
        self,
        prepared: Prepared,
        executor: Executor,
        store: RunStore,
        *,
        connections: ConnectionProvider,
        redact: Callable[[bytes], bytes],
        summarize: Summarize | None,
        stop: Stop | None,
        emit: RunEmit,
    ) -> None:
        self.aggregates = any(node.aggregation for node in prepared.flow.nodes)
        self.prepared = prepared
        self.executor = executor
        self.connections = connections
        self.store = store
        self.folder = store.folder(prepared.run.name)
        self.redact = redact
        self.scores = prepared.flow.type == "evaluation" or prepared.base is not None
        self.unscored = 0
        """Completed lines in which an evaluator found nothing to score."""
        self.summarize = summarize if self.scores and not self.aggregates else None
        self.stop = stop or Stop()
        self.emit = emit
        self.tally = Tally(prepared.flow, keep_outputs=self.summarize is not None)
        self.account = Account(Prices.of(settings()), self.note)
        self.log = RunLog(self.folder, redact)
        self.pauses = Pauses(prepared.run.name)
        self.run = prepared.run
        self.keys = prepared.lines.keys()
        self.early = Early(prepared.run, len(prepared.lines))
        self._began = time.monotonic()
        self.deadline: asyncio.Timeout | None = None
        self.suspects: set[Key] = set()
        """Lines that were under way when a process of this run died, and have no record yet."""
        self.in_flight: InFlight | None = None
        """Marks of the lines that are under way; `None` where no line can take this process with it."""
        self.journal = Journal(self.folder / JOURNAL, on_safe=self._is_safe, redact=redact, disk=store.disk)

    def note(self, *texts: str) -> None:
        """Say something to people, and keep it in the run's log."""
        for text in texts:
            self.log(text)
            self.emit(Log(text))

    def _throttled(self, told: Throttled) -> None:
        """Pass on that calls wait; a long pause is said, and kept in the log."""
        self.emit(told)
        if (text := self.pauses.worth_a_word(told)) is not None:
            self.note(text)

    async def execute(self, *, retry_failed: bool = False) -> Run:
        """Execute the lines that are missing, then finish; however it ends, the run in the store says how."""
        try:
            todo, count = self._todo(retry_failed)
            with heard(self.emit) as self.emit, listening(self._throttled), caching(self.prepared.job.cache):
                self._begin(count)
                with seldom_collected():
                    await self._lines(todo)
                await self.journal.drain()
                if self.tally.count < len(self.prepared.lines):
                    return self._ended_early()
                return await self._finish()
        except asyncio.CancelledError:
            self.journal.close()
            self._end(Status.Canceled)
            raise
        except UserError as error:  # the data changed while it was read
            self._end(Status.Failed, Failure(error.code, error.message))
            raise
        except OSError as error:
            with suppress(OSError):  # a full disk takes no run.json; the lock tells that nobody goes on
                self._end(Status.Failed, Failure("disk", f"the run cannot be kept: {error}"))
            raise
        finally:
            self.journal.close()
            if self.in_flight is not None:
                self.in_flight.close()

    def _todo(self, retry_failed: bool) -> tuple[Iterable[Line], int]:
        """The lines without a final record, and how many; what the others left behind is counted."""
        records = self.journal.records
        if records.torn:
            self.note("a cut record at the end of the journal is dropped; its line runs again")
        if records.broken:
            where = ", ".join(map(str, records.broken[:20]))
            self.note(f"{JOURNAL}, line {where}: no whole record; what it was about runs again")
        final = (Status.Completed,) if retry_failed else ()
        done = {key for key in records.keys(*final) if key in self.keys}
        self.tally.add_all(decode(r) for r in records.each(*final) if key_of(r) in done)
        self.early.failed = self.tally.failed
        if not self.executor.is_isolated:
            at_death = InFlight.read(self.folder / IN_FLIGHT)
            self.suspects = {key for key in at_death if key in self.keys and key not in done}
            self.in_flight = InFlight(self.folder / IN_FLIGHT, self.suspects)
        lines = self.prepared.lines
        return _without(done, lines), len(lines) - len(done)

    def _begin(self, todo: int) -> None:
        self.run = begun(self.run)
        self._save()
        self._began = time.monotonic()
        self.log(f"{todo} of {len(self.prepared.lines)} lines to run, {self.run.concurrency} in flight")
        self.emit(RunStarted(self.run, todo))

    async def _lines(self, todo: Iterable[Line]) -> None:
        """Every line that is to do, or, once a stop is asked for, those in flight that make it in time."""
        self.stop.when_asked(self._hurry)
        self.account.spent.add(self.tally.usage)
        if (failure := spent_up(self.run, self.account.spent)) is not None:
            self.stop.ask(failure.code)
        limit = self.run.batch_timeout_s
        loop = asyncio.get_running_loop()
        timer = None if limit is None else loop.call_later(limit, self.stop.ask, BATCH_TIMEOUT)
        try:
            async with asyncio.timeout(None) as self.deadline:
                if self.stop.reason is not None:
                    self._hurry()
                await self._execute(self.executor, _without(self.suspects, todo))
                if self.suspects and self.stop.reason is None:
                    await self._execute_suspects()
        except TimeoutError:
            if self.stop.reason is None:
                raise
        finally:
            self.deadline = None
            if timer is not None:
                timer.cancel()

    async def _execute(self, executor: Executor, todo: Iterable[Line]) -> None:
        marks = self.in_flight
        lines = todo if executor.is_isolated or marks is None else _marked(todo, marks)
        if isinstance(executor, LocalExecutor):
            executor.keep = self._keep
        async with aclosing(executor.run(self.stop.ends(lines), self.log)) as results:
            async for result in results:
                await self._keep(result)
        if isinstance(executor, LocalExecutor) and executor.advice:
            self.note(executor.advice)

    async def _keep(self, result: LineResult) -> None:
        """Write the result of a line down, and look what it means for the others."""
        await self.journal.add(self.account.charge(result))
        failure = self.early.after(result, self.account.spent)
        if failure is not None:
            self.stop.ask(failure.code)
        if self.in_flight is not None:
            self.in_flight.end((result.line_number or 0, result.repeat))

    async def _execute_suspects(self) -> None:
        """The lines that this run's process may have died of: where they can kill no more than a worker."""
        self.note(
            f"{len(self.suspects)} lines were under way when the process of this run died: "
            "they run last, in a process of their own"
        )
        executor = ProcessExecutor(self.connections, workers=1)
        try:
            await executor.open(job_of(self.prepared, self.store))
            await self._execute(executor, (x for x in self.prepared.lines if x.key in self.suspects))
        finally:
            await executor.close()

    def _hurry(self) -> None:
        if self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + self.stop.grace_s)

    def _is_safe(self, result: LineResult) -> None:
        self.tally.add(result)
        if result.error is not None:
            which = key_text((result.line_number or 0, result.repeat))
            self.log(f"line {which} failed: {result.error.code}: {result.error.message}")
        self.emit(LineEnded(result))

    def _ended_early(self) -> Run:
        write_outputs(self.folder, self.journal.records, self.keys, self.store.disk)
        error = self.early.reason(self.tally.usage, self.stop.reason)
        return self._end(Status.Canceled if error is None else Status.Failed, error)

    async def _finish(self) -> Run:
        write_outputs(self.folder, self.journal.records, self.keys, self.store.disk)
        if self.prepared.skipped:
            write_json(
                self.folder / "skipped.json",
                {key_text(key): why for key, why in self.prepared.skipped.items()},
                self.store.disk,
            )
        result = await self._aggregate()
        if self.scores:
            metrics, self.unscored = accounted(result.metrics, self.tally, len(self.prepared.skipped))
            result = dataclasses.replace(result, metrics=metrics)
        write_json(self.folder / "metrics.json", result.metrics, self.store.disk)
        self.run = self.run.model_copy(update={"metrics": result.metrics})
        error = result.error or self.early.too_many_failed()
        return self._end(Status.Completed if error is None else Status.Failed, error)

    async def _aggregate(self) -> AggregationResult:
        if self.aggregates:
            result = await self.executor.aggregate(self.tally.in_order(), self.emit)
            result = dataclasses.replace(result, metrics=self._redacted(result.metrics))
            self.account.charge_nodes(result.node_runs)
            for node_run in result.node_runs.values():
                self.tally.usage.add(node_run.usage or Usage())
            write_json(self.folder / "aggregation.json", self._redacted(result), self.store.disk)
            return result
        metrics = dict(self.summarize(self.tally.in_order())) if self.summarize else {}
        return AggregationResult(metrics)

    def _end(self, status: Status, error: Failure | None = None) -> Run:
        seconds = time.monotonic() - self._began
        self.run = ended(self.run, status, self._redacted(error), seconds=seconds)
        self._save()
        self.log(f"{status}: {self.run.lines.completed} completed, {self.run.lines.failed} failed")
        return self.run

    def _redacted(self, value: Any) -> Any:
        """`value` as JSON holds it, without secrets."""
        return loads(self.redact(dumps(value)))

    def _save(self) -> None:
        self.run = counted(
            self.run,
            self.tally,
            lines=len(self.prepared.lines),
            skipped=len(self.prepared.skipped),
            unscored=self.unscored,
            sources=self.account.sources,
        )
        self.store.save(self.run)
