"""How do several processes serve one flow, and how is it replaced while they do?

Each worker is a fresh interpreter on the same listening socket, so that a changed flow gets fresh modules and
a fresh environment, and a crash of user code takes one worker with it. A change is served by new workers once
they are ready; then the old ones finish what they have and leave. Where the new ones do not get ready, the
old ones stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from prometheus_client import multiprocess

from promptflow_lite.serving.metrics import SHARED
from promptflow_lite.serving.plan import Plan
from promptflow_lite.serving.watch import Stamps, changes, stamps

__all__ = ["serve"]

_READY_S = 120.0
_LONGEST_PAUSE_S = 10.0

Say = Callable[[str], None]


def serve(
    plan: Plan,
    bound: socket.socket,
    *,
    workers: int,
    reload: bool,
    say: Say,
    on_ready: Callable[[], None],
) -> int:
    """Serve until a signal; the exit code.

    Args:
        plan: what each worker serves.
        bound: the socket that all listen on.
        workers: how many.
        reload: whether to watch the flow's folder.
        say: is told what a person should know.
        on_ready: called once the first workers take requests.
    """
    shared = Path(tempfile.mkdtemp(prefix="pf-metrics-"))
    try:
        crew = _Crew(plan, bound, workers, say, shared)
        return asyncio.run(crew.serve(on_ready, reload=reload))
    finally:
        shutil.rmtree(shared, ignore_errors=True)


class _Worker:
    """One process, and the pipe that tells it what to do; when we are gone, the pipe ends and so does it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.is_leaving = False

    async def is_ready(self) -> bool:
        """Whether it takes requests; waits until it does, or has ended."""
        if self.process.stdout is None:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                return (await self.process.stdout.readline()).strip() == b"ready"
        return False

    def tell(self, word: bytes) -> None:
        """`leave`: finish without listening on. `end`: finish, and refuse what is new."""
        self.is_leaving = True
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(word + b"\n")

    def kill(self) -> None:
        """End it now."""
        if self.process.returncode is None:
            self.process.kill()


class _Crew:
    """The workers that serve now, and those that are on their way out."""

    def __init__(self, plan: Plan, bound: socket.socket, size: int, say: Say, shared: Path) -> None:
        self._plan = plan
        self._bound = bound
        self._size = size
        self._say = say
        self._shared = shared
        self._all: set[_Worker] = set()
        self._serving: list[_Worker] = []
        self._ended = asyncio.Event()
        self._signal = 0
        self._group: asyncio.TaskGroup

    async def serve(self, on_ready: Callable[[], None], *, reload: bool) -> int:
        """Serve until a signal; the exit code."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sig, self._end, sig)
        async with asyncio.TaskGroup() as self._group:
            seen = stamps(Path(self._plan.source)) if reload else {}
            fresh = await self._start()
            if fresh is None:
                return 128 + self._signal if self._signal else 2
            self._serving = fresh
            on_ready()
            watcher = self._group.create_task(self._watch(seen)) if reload else None
            await self._ended.wait()
            if watcher is not None:
                watcher.cancel()
            for worker in self._all:
                worker.tell(b"end")
        return 128 + self._signal

    def _end(self, sig: int) -> None:
        if self._ended.is_set() or not self._serving:  # asked twice, or before there is anything to finish
            for worker in self._all:
                worker.kill()
        self._signal = self._signal or sig
        self._ended.set()

    async def _start(self) -> list[_Worker] | None:
        """New workers, all ready; `None` where one of them was not, and then none is left."""
        fresh = [await self._spawn()]  # the first alone: it says once what is wrong with the flow
        if await fresh[0].is_ready():
            fresh += [await self._spawn() for _ in range(self._size - 1)]
            async with asyncio.TaskGroup() as group:
                ready = [group.create_task(worker.is_ready()) for worker in fresh[1:]]
            if all(task.result() for task in ready):
                return fresh
        for worker in fresh:
            worker.is_leaving = True
            worker.kill()
        return None

    async def _spawn(self) -> _Worker:
        number = self._bound.fileno()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "promptflow_lite.serving.worker",
            str(number),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[number],
            start_new_session=True,  # Ctrl-C comes to us, and we tell them
            env={**os.environ, SHARED: str(self._shared)},
        )
        worker = _Worker(process)
        self._all.add(worker)
        assert process.stdin is not None  # noqa: S101  # it is a pipe
        process.stdin.write(self._plan.to_json() + b"\n")
        self._group.create_task(self._tend(worker))
        if self._ended.is_set():  # while it was made
            worker.kill()
        return worker

    async def _tend(self, worker: _Worker) -> None:
        """Wait for a worker's end; put another in its place if nobody asked for the end."""
        code = await worker.process.wait()
        self._all.discard(worker)
        multiprocess.mark_process_dead(worker.process.pid, str(self._shared))  # type: ignore[no-untyped-call]
        if worker.is_leaving or worker not in self._serving or self._ended.is_set():
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._say(f"a worker ended with {how}; another takes its place")
        self._serving.remove(worker)
        pause = 0.1
        while not self._ended.is_set():
            other = await self._spawn()
            if await other.is_ready():
                self._serving.append(other)
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _watch(self, seen: Stamps) -> None:
        async for names in changes(Path(self._plan.source), seen):
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            self._say(f"{shown} changed: loading the flow anew")
            fresh = await self._start()
            if fresh is None:
                self._say("the flow is served as it was before")
                continue
            old, self._serving = self._serving, fresh
            for worker in old:
                worker.tell(b"leave")
            self._say("the changed flow is served now")
