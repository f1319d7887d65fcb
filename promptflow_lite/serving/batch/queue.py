"""Which jobs run now, and which wait? Those of the endpoint's folder, first come first served.

Nothing is lost with the process: a job is a folder, and one that has not ended is started, or gone on with,
by whoever serves the endpoint next.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from signal import SIGTERM

from promptflow_lite.errors import UserError
from promptflow_lite.runs.spawned import Spawned
from promptflow_lite.serving.batch import changes
from promptflow_lite.serving.batch.job import Job, JobStatus
from promptflow_lite.serving.batch.scoring import job_store
from promptflow_lite.serving.batch.spec import Jobs
from promptflow_lite.serving.batch.store import Kept
from promptflow_lite.serving.refusal import Refusal

__all__ = ["Queue"]

_LOOK_S = 0.25
_PAUSE_S = 5.0
"""After the disk has refused."""
_TIDY_S = 3600.0
_STOP_S = 15.0
"""What a job gets at the end of the service: lines in flight have 10 seconds."""
_MOST_DEATHS = 3
_RETRY_AFTER = b"10"
_MODULE = "promptflow_lite.serving.batch.scoring"
_CALLERS_KEY = "PF_SERVE_KEY"
_DAY_S = 86_400.0


class Queue:
    """The jobs of one endpoint that is served.

    Args:
        kept: the endpoint.
        say: is told what a person should know.
    """

    def __init__(self, kept: Kept, say: Callable[[str], None]) -> None:
        self._kept = kept
        self._say = say
        self._waiting: list[str] = []
        self._running: dict[str, Spawned | None] = {}
        self._over: set[str] = set()
        self._coming = 0
        """Callers whose data is being received."""
        self._deaths: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._tidied = float("-inf")

    def add(self, name: str) -> None:
        """A job has come."""
        if name not in self._waiting and name not in self._running:
            self._waiting.append(name)
            self._changed.set()

    @contextmanager
    def room(self, limits: Jobs) -> Iterator[None]:
        """Hold a place for a job that comes in.

        Raises:
            Refusal: 429, as many wait as may.
        """
        running = sum(Job(self._kept.jobs_folder / name).ended is None for name in self._running)
        if running + len(self._waiting) + self._coming >= limits.max_running + limits.max_queued:
            raise Refusal(
                429, "too-many-jobs", "too many jobs wait", headers=[(b"retry-after", _RETRY_AFTER)]
            )
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    async def keep(self) -> None:
        """Start what waits as room comes free; until it is cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._look)
                self._start()
                if time.monotonic() - self._tidied > _TIDY_S:
                    self._tidied = time.monotonic()
                    await asyncio.to_thread(self._tidy)
            except OSError as error:  # a full disk shall not end the service
                self._say(f"{error.filename or self._kept.folder}: {error.strerror}")
                await asyncio.sleep(_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()
            self._changed.clear()

    async def close(self) -> None:
        """Have the jobs stop; they go on when the endpoint is served again."""
        self._is_closed = True
        for process in self._running.values():
            if process is not None:
                process.signal(SIGTERM)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _look(self) -> None:
        """Find jobs that commands have made, and those that were not ended when the service was."""
        known = {*self._over, *self._waiting, *self._running}
        fresh = [Job(self._kept.jobs_folder / n) for n in self._kept.job_names() if n not in known]
        for job in reversed(fresh):
            if job.status.is_final:
                self._over.add(job.name)
            elif job.pid is None:  # else a command executes it
                self._waiting.append(job.name)
        for name in [*self._waiting]:
            job = Job(self._kept.jobs_folder / name)
            if job.is_cancelled and job.pid is None:
                if job.ended is None:
                    job.end(JobStatus.Canceled)
                self._waiting.remove(name)
                self._over.add(name)

    def _start(self) -> None:
        limit = self._kept.read().jobs.max_running
        while self._waiting and len(self._running) < limit and not self._is_closed:
            name = self._waiting.pop(0)
            self._running[name] = None
            task = asyncio.get_running_loop().create_task(self._run(Job(self._kept.jobs_folder / name)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job) -> None:
        process = Spawned.spawn(_MODULE, str(job.folder), without=(_CALLERS_KEY,))
        self._running[job.name] = process
        try:
            with await asyncio.to_thread(job.log.open, "ab", buffering=0) as log:
                await process.open(log.write)
                code = await process.exited()
                process.read_output()
        except OSError as error:
            self._say(f"job {job.name}: {error}")
            code = 1
        finally:
            process.kill()
            process.close()
            del self._running[job.name]
        self._changed.set()
        if self._is_closed:
            return
        if job.ended is not None:
            self._over.add(job.name)
            return
        if job.pid is not None:  # a command executes it: looked at again
            return
        self._deaths[job.name] = self._deaths.get(job.name, 0) + 1
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._say(f"job {job.name}: its process ended with {how}; {job.log} may say why")
        if self._deaths[job.name] >= _MOST_DEATHS:
            said = "its process ended too often before it was done"
            job.end(JobStatus.Failed, error={"code": "job-died", "message": said})
            self._over.add(job.name)
        else:
            self._waiting.append(job.name)

    def _tidy(self) -> None:
        """Remove what nobody wants any more: old jobs with their runs, half-sent files, copies of flows."""
        limit = time.time() - self._kept.read().jobs.keep_days * _DAY_S
        runs = job_store()
        for job in self._kept.jobs():
            ended = job.ended
            if ended is not None and ended["ended"] < limit:
                with suppress(UserError):
                    runs.delete(job.name)
                job.delete()
        folder = self._kept.jobs_folder
        for home in folder.iterdir() if folder.is_dir() else ():
            if not (home / "job.json").is_file() and home.stat().st_mtime < time.time() - _TIDY_S:
                shutil.rmtree(home, ignore_errors=True)
        changes.sweep(self._kept)
