"""A job's process: it executes the run of one job, or goes on with it, and keeps what comes of it.

The endpoint that is served starts it (`runs.spawned`), and it ends with that. Where none is served a command
starts it, alone.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from promptflow_lite.connections.store import provider
from promptflow_lite.engine.events import LineEnded, Log
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import PromptflowError, UserError
from promptflow_lite.registry import Registry
from promptflow_lite.runs.batch import resume_batch, run_batch, tell
from promptflow_lite.runs.events import RunEvent, RunStarted
from promptflow_lite.runs.job import Tracker
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.lifeline import attach
from promptflow_lite.runs.lock import hold
from promptflow_lite.runs.records import dumps, loads, pretty
from promptflow_lite.runs.redact import redactor
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import JOURNAL, RunStore
from promptflow_lite.serving import log as serving_log
from promptflow_lite.serving.batch import intake, predictions
from promptflow_lite.serving.batch.job import Job, JobStatus
from promptflow_lite.serving.deployment import flow_of
from promptflow_lite.settings import settings

__all__ = ["alone", "job_store", "main"]

_TELL_S = 0.5
_OF_DATA = frozenset(
    {
        "bad-data",
        "data-not-found",
        "no-lines",
        "no-data",
        "missing-column",
        "bad-column-mapping",
        "data-changed",
        "run-changed",
    }
)
"""Codes of what is wrong with the sender's data, which the sender may read; anything else is the owner's."""

log = logging.getLogger("promptflow_lite.batch")


def main() -> None:
    """Execute a job for the endpoint that is served, and end with it."""
    attach().close()
    _execute(Path(sys.argv[4]))


def alone() -> None:
    """Execute a job for a command that has ended by now."""
    _execute(Path(sys.argv[1]))


def job_store() -> RunStore:
    """Where the runs of jobs are: this home's, wherever new runs of commands are kept."""
    return RunStore(settings().runs)


def _execute(folder: Path) -> None:
    job = Job(folder)
    serving_log.configure(job.deployment.settings.logging_level, redactor(provider(settings())))
    try:
        with hold(folder):
            if job.ended is None:
                asyncio.run(_Scoring(job).execute())
    except UserError as error:
        if error.code != "run-busy":
            raise
        log.warning("another process executes this job")


def _by_folder(source: str) -> str:
    """A flow by its folder, where that tells the same: runs are shown by that name."""
    path = Path(source)
    return str(path.parent) if path.name in ("flow.dag.yaml", "flow.flex.yaml") else source


class _Scoring:
    """One execution of a job.

    Args:
        job: the job.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._deployment = job.deployment
        self._store = job_store()
        self._connections = provider(settings())
        self._stop = Stop()
        self._counts = {"total": 0, "completed": 0, "failed": 0, "skipped": 0}
        self._told = 0.0

    async def execute(self) -> None:
        """Execute it to its end, or until a signal: then whoever starts it again goes on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.ask, "canceled")
        if self._job.is_cancelled:
            self._job.end(JobStatus.Canceled)
            return
        try:
            run = await self._run()
        except PromptflowError as error:
            if self._job.is_cancelled:
                self._job.end(JobStatus.Canceled)
                return
            log.error("the job failed [%s]: %s", error.code, error)
            self._job.end(JobStatus.Failed, **self._why(error))
            return
        if run.status is Status.Canceled and not self._job.is_cancelled:
            log.info("stopped; the job goes on when it is started again")
            return
        self._finish(run)
        if self._deployment.settings.tracking:
            await asyncio.to_thread(self._track, run)

    def _track(self, run: Run) -> None:
        """Tell MLflow: when the job has ended, so that nobody waits for that."""
        tracker: Tracker = Registry("trackers").get("mlflow")()
        tell(run, self._store, [tracker], self._listen)

    async def _run(self) -> Run:
        """The run of the job, begun or gone on with; failed rows are run again as often as they may."""
        name, retries = self._job.name, self._deployment.settings.retry_settings.max_retries
        folders, data = self._job.asked["folders"], self._job.asked["data"]
        if folders and not intake.is_still_inside(Path(data), folders):
            raise UserError(f"{data}: it does not lie there any more", code="data-not-found")
        if name in self._store.names():
            run = await self._resume(name)
        else:
            shutil.rmtree(self._store.root / name, ignore_errors=True)  # of a kill before its first file
            run = await run_batch(
                self._asked(),
                store=self._store,
                connections=self._connections,
                stop=self._stop,
                emit=self._listen,
            )
        for attempt in range(retries):
            is_over = run.error is not None and run.error["code"] != "error-threshold"
            if not run.lines.failed or is_over or self._stop.reason in ("canceled",):
                break
            log.info("%d rows failed; run again, %d of %d times", run.lines.failed, attempt + 1, retries)
            self._stop = self._fresh_stop()
            run = await self._resume(name, retry_failed=True)
        return run

    def _fresh_stop(self) -> Stop:
        """A new wish: the one of the last pass was asked when too many rows had failed."""
        stop, loop = Stop(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.ask, "canceled")
        return stop

    async def _resume(self, name: str, *, retry_failed: bool = False) -> Run:
        return await resume_batch(
            name,
            store=self._store,
            connections=self._connections,
            environment_variables=self._deployment.settings.environment_variables,
            retry_failed=retry_failed,
            stop=self._stop,
            emit=self._listen,
        )

    def _asked(self) -> Run:
        deployment, asked = self._deployment, self._job.asked
        how = deployment.settings
        mapping = {**deployment.column_mapping, **asked["literals"]}
        about = asked["about"]
        return Run(
            name=self._job.name,
            flow=_by_folder(deployment.source),
            data=asked["data"],
            column_mapping=mapping or None,
            variant=" ".join(f"${{{node}.{name}}}" for node, name in deployment.variants.items()) or None,
            connections={node: dict(changes) for node, changes in deployment.connections.items()},
            environment_variables=dict(how.environment_variables),
            init=dict(deployment.init),
            concurrency=how.mini_batch_size * deployment.workers,
            workers=deployment.workers,
            line_timeout_s=how.retry_settings.timeout,
            error_threshold=how.error_threshold,
            display_name=about.get("display_name"),
            description=about.get("description"),
            tags=about.get("tags") or {},
            properties={"batch_endpoint": asked["endpoint"], "batch_deployment": deployment.name},
        )

    def _listen(self, event: RunEvent) -> None:
        match event:
            case RunStarted(run=run):
                lines = run.lines
                self._counts = {
                    "total": lines.total,
                    "completed": lines.completed,
                    "failed": lines.failed,
                    "skipped": lines.skipped,
                }
                self._tell()
            case LineEnded(result=result):
                self._counts["failed" if result.error else "completed"] += 1
                if result.error:
                    log.warning("row %s failed [%s]", result.line_number, result.error.code)
                else:
                    log.debug("row %s completed in %.2f s", result.line_number, result.seconds)
                if time.monotonic() - self._told > _TELL_S:
                    self._tell()
            case Log(text=text, level=level):
                log.log(logging.getLevelNamesMapping().get(level.upper(), logging.INFO), "%s", text)

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._job.tell({**self._counts, "time": time.time()})

    def _finish(self, run: Run) -> None:
        """Write what came of the run, then that the job has ended: in that order, so a kill loses neither."""
        status = JobStatus(run.status) if not self._job.is_cancelled else JobStatus.Canceled
        folder = self._store.folder(run.name)
        records = Records.read(folder / JOURNAL)
        facts = {
            "run": run.name,
            "lines": run.lines.model_dump(),
            "failures": run.failures,
            "errors": predictions.errors_of(records),
            "metrics": run.metrics,
            "usage": run.usage,
            "cost": run.cost,
            "seconds": run.seconds,
            "error": self._public(run.error),
        }
        self._job.tell({**run.lines.model_dump(), "time": time.time()})
        self._job.end(status, output=self._write(run, records, {"status": status, **facts}), **facts)
        log.info("%s: %d rows completed, %d failed", status, run.lines.completed, run.lines.failed)

    def _write(self, run: Run, records: Records, summary: dict[str, Any]) -> str:
        """Keep the predictions, if they are wanted, and the summary; the name of the file to fetch."""
        how, home = self._deployment.settings, self._job.folder / "output"
        home.mkdir(mode=0o700, exist_ok=True)
        redact = redactor(self._connections)
        plain = loads(redact(dumps(summary)))
        (home / predictions.SUMMARY).write_bytes(pretty(plain))
        if how.output_action == "summary_only":
            return predictions.SUMMARY
        flow = flow_of(self._deployment.source, variants=self._deployment.variants)
        try:
            ids = predictions.ids_of(Path(run.data or ""), how.id_column)
        except UserError as error:  # the data is gone, or has changed, since it was run
            log.warning("the ids of the rows cannot be read: %s", error)
            ids = None
        predictions.write(home / how.output_file_name, records, flow.outputs, ids)
        return how.output_file_name

    def _why(self, error: PromptflowError) -> dict[str, Any]:
        """Why there is no run, for the sender."""
        code = error.code or "failed"
        text = str(error) if code in _OF_DATA else ""
        return {"error": self._public({"code": code, "message": text or None})}

    def _public(self, error: dict[str, Any] | None) -> dict[str, Any] | None:
        """A failure in words that a stranger may read: no path of ours, nothing that user code said."""
        if error is None:
            return None
        code = error["code"]
        message = error.get("message") if code in {*_OF_DATA, "error-threshold"} else None
        if message is None:
            return {"code": code, "message": "the deployment cannot run it; its owner's log says why"}
        asked = self._job.asked
        return {"code": code, "message": message.replace(asked["data"], asked["shown"])}
