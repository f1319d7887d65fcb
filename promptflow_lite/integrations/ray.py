"""How does a Ray cluster execute lines? In actors that bind the flow once; this process alone keeps results.

Lines go to actors one by one and come back one by one (not in Ray Data's blocks), so a result is in the
journal as soon as it is there, and a node that is lost costs the lines that were in flight on it: they run
again elsewhere. docs/decisions/009 says more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import warnings
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.connections.passing import passed
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, Status
from promptflow_lite.errors import FlowError, MissingExtra, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from promptflow_lite.integrations.ray_worker import LineWorker, Shipped
from promptflow_lite.runs import snapshot
from promptflow_lite.runs.drain import Done, drained
from promptflow_lite.runs.job import FlowJob, Line, flow_of
from promptflow_lite.runs.records import Key, decode, decode_aggregation, dumps, loads

__all__ = ["RayExecutor"]

_GRACE_S = 10.0
"""Seconds after a line's time in which its actor may say so itself."""
_KNOCK_S = 10.0
_NODES_LOST = 5
"""How often a line may lose its node before it is given up."""

Log = Callable[[str], None]


class RayExecutor:
    """The Executor of a Ray cluster.

    Args:
        connections: what the flow's nodes may use; those that the flow names are sent to the actors.
        address: `ray://host:port`, or a cluster's `host:port`; `None`: the cluster that this process is part
            of, that `RAY_ADDRESS` names or that runs here, or a new one on this machine.
        workers: how many actors; `None`: as many as the cluster has CPUs.
    """

    is_isolated = True

    def __init__(
        self, connections: ConnectionProvider, *, address: str | None = None, workers: int | None = None
    ) -> None:
        _bring_token(address or os.environ.get("RAY_ADDRESS"))  # Ray looks for it while it is imported
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("ray", "ray") from error
        self._ray = ray
        self._connections = connections
        self._address = address
        self._workers = workers
        self._is_ours = False
        self._job: FlowJob
        self._actors: list[_Actor] = []
        self._idle: list[_Actor] = []

    async def open(self, job: FlowJob) -> Sequence[str]:
        """Connect, and start the first actor, which says whether the flow is sound.

        Raises:
            UserError: the cluster cannot be reached (`ray-unreachable`); what is wrong with the flow.
        """
        self._job = job
        if not self._ray.is_initialized():
            await asyncio.to_thread(self._connect)  # in the main thread it would take our signal handlers
            self._is_ours = True
        flow = flow_of(job)
        given = passed(self._connections, named_in=_named(flow, job))
        self._arguments = (
            job.model_dump_json().encode(),
            self._ray.put(given),
            self._ray.put(_shipped(job)),
        )
        first = await self._hire()
        self._idle.append(first)
        nodes = sum(node["Alive"] for node in self._ray.nodes())
        return [*first.notes, f"Ray: {self._count()} actors on {nodes} node(s)"]

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        how: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        address = self._address or os.environ.get("RAY_ADDRESS")
        try:
            _knock(address)
            if address is None:
                try:
                    self._ray.init("auto", **how)
                except ConnectionError:
                    self._ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", **how)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # the error says it, too
                    self._ray.init(address, **how)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"the Ray cluster {address or 'on this machine'} cannot be reached: {_said(error)}",
                code="ray-unreachable",
                hint="--executor ray://HOST:10001, or HOST:6379 from a machine of the cluster; "
                "a cluster with tokens lets in who has its token in RAY_AUTH_TOKEN or ~/.ray/auth_token",
            ) from error

    def _count(self) -> int:
        cpus = int(self._ray.cluster_resources().get("CPU", 1))
        return max(1, min(self._workers or cpus, self._job.concurrency))

    def run(self, lines: Iterable[Line], log: Log) -> AsyncGenerator[LineResult, None]:
        """One result for each line, as it ends. At most `job.concurrency` lines are in flight."""
        crew = _Crew(self, iter(lines), log)
        return drained(partial(crew.work, self._count()), crew.done)

    async def aggregate(self, lines: Sequence[LineResult], emit: Emit = ignore) -> AggregationResult:
        """What came of the aggregation nodes over `lines`; an actor that dies of them is tried twice."""
        body = dumps(list(lines))
        images = {path.name: path.read_bytes() for path in self._images().glob("*")}
        reason = ""
        for _ in range(2):
            actor = await self.hire()
            try:
                record, new = await actor.call("aggregate", body, images)
            except self._ray.exceptions.RayActorError as error:
                self.dismiss(actor)
                reason = _first_line(error)
                continue
            self.release(actor)
            self.keep_images(new)
            return decode_aggregation(loads(record))
        return AggregationResult(
            error=Failure("worker-died", f"the aggregation's actor died twice: {reason}")
        )

    async def close(self) -> None:
        """End the actors, and leave the cluster if `open` has joined it."""
        for actor in [*self._actors]:
            self.dismiss(actor)
        self._idle.clear()
        if self._is_ours:
            self._is_ours = False
            await asyncio.to_thread(self._ray.shutdown)

    async def hire(self) -> _Actor:
        """An actor that is ready."""
        return self._idle.pop() if self._idle else await self._hire()

    def release(self, actor: _Actor) -> None:
        """Give back an actor that has nothing to do: it still has its room in the cluster."""
        self._idle.append(actor)

    def dismiss(self, actor: _Actor) -> None:
        """End an actor."""
        actor.is_gone = True
        if actor in self._actors:
            self._actors.remove(actor)
            with suppress(Exception):  # it is dead, or the cluster is gone
                self._ray.kill(actor.handle)

    async def _hire(self) -> _Actor:
        for _ in range(_NODES_LOST):
            actor = await self._start()
            if actor is not None:
                return actor
        raise UserError("Ray nodes die as soon as an actor starts on them", code="ray-unreachable")

    async def _start(self) -> _Actor | None:
        """A new actor that is ready; `None`: its node was lost before."""
        how = {"num_cpus": 1, "max_restarts": 0, "max_concurrency": max(1000, self._job.concurrency)}
        worker = self._ray.remote(LineWorker).options(scheduling_strategy="SPREAD", **how)
        actor = _Actor(worker.remote(*self._arguments))
        self._actors.append(actor)
        try:
            said = await actor.call("open")
        except asyncio.CancelledError:  # it may still wait for room
            self.dismiss(actor)
            raise
        except self._ray.exceptions.RayActorError as error:
            self.dismiss(actor)
            if self.has_lost_its_node(error):
                return None
            raise UserError(
                f"the flow ends its process before the first line: {_first_line(error)}", code="worker-died"
            ) from error
        if "diagnostics" in said:
            raise FlowError(said["diagnostics"])
        if "message" in said:
            raise UserError(said["message"], code=said["code"], hint=said["hint"])
        actor.notes = said["notes"]
        return actor

    def keep_images(self, images: dict[str, bytes]) -> None:
        """Put images where the run keeps them."""
        for name, content in images.items():
            folder = self._images()
            folder.mkdir(exist_ok=True)
            (folder / Path(name).name).write_bytes(content)

    def _images(self) -> Path:
        return Path(self._job.folder) / "images"

    @property
    def job(self) -> FlowJob:
        """What is executed."""
        return self._job

    @property
    def dead(self) -> tuple[type[Exception], ...]:
        """What a call raises whose actor is gone."""
        return (self._ray.exceptions.RayActorError,)

    def has_lost_its_node(self, error: Exception) -> bool:
        """Whether an actor is away because of its machine or the network, and not by its own doing."""
        if isinstance(error, self._ray.exceptions.ActorUnavailableError):
            return True
        return "its node has died" in str(error)


def _bring_token(address: str | None) -> None:
    """Show the cluster's token, where there is one: Ray does so by itself, but not for `ray://` (2.60)."""
    if address is None or not address.startswith("ray://"):
        return
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or Path("~/.ray/auth_token").expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _said(error: Exception) -> str:
    """What an error says, without the server's stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else str(error)


class _Actor:
    """A handle of an actor."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.notes: list[str] = []
        self.is_gone = False

    async def call(self, method: str, *arguments: Any) -> Any:
        """What a method of the actor gives."""
        return await getattr(self.handle, method).remote(*arguments)


class _Crew:
    """The actors of one execution, and the lines that they share.

    An actor that dies by itself was killed by one of its lines, and nobody knows by which: each of them is
    tried once more with no other beside it, and the one that kills again is failed. An actor that went with
    its machine says nothing against its lines: they go back to all.

    Args:
        executor: gives actors.
        source: the lines.
        log: takes what belongs in the run's log.
    """

    def __init__(self, executor: RayExecutor, source: Iterator[Line], log: Log) -> None:
        self._executor = executor
        self._source = source
        self._log = log
        self.done: Done = asyncio.Queue(executor.job.concurrency)
        self._again: deque[Line] = deque()
        self._suspects: deque[Line] = deque()
        self._nodes_lost: Counter[Key] = Counter()
        self._in_flight = 0
        self._is_exhausted = False
        self._changed = asyncio.Condition()

    async def work(self, workers: int) -> None:
        """Have every line done."""
        concurrency = self._executor.job.concurrency
        shares = [concurrency // workers + (number < concurrency % workers) for number in range(workers)]
        async with asyncio.TaskGroup() as group:
            desks = [group.create_task(self._desk(share)) for share in shares]
            async with self._changed:
                await self._changed.wait_for(lambda: self._is_done)
            for desk in desks:
                desk.cancel()

    @property
    def _is_done(self) -> bool:
        return self._is_exhausted and not (self._in_flight or self._again or self._suspects)

    async def _desk(self, share: int) -> None:
        while not self._is_done:
            actor = await self._executor.hire()
            try:
                while not (self._is_done or actor.is_gone):
                    while self._suspects and not actor.is_gone:
                        await self._do(actor, self._taken(self._suspects.popleft()), is_alone=True)
                    async with asyncio.TaskGroup() as group:
                        for _ in range(share):
                            group.create_task(self._slot(actor))
            finally:  # at the end desks are cancelled, since one may still wait for room in the cluster
                if actor.is_gone:
                    self._executor.dismiss(actor)
                else:
                    self._executor.release(actor)

    async def _slot(self, actor: _Actor) -> None:
        """One line after the other, until the actor is gone or only suspects are left."""
        while not actor.is_gone and not self._is_done:
            line = self._next()
            if line is not None:
                await self._do(actor, line, is_alone=False)
            elif self._suspects:
                return
            else:
                async with self._changed:
                    self._changed.notify_all()  # the source may have ended just now
                    await self._changed.wait_for(
                        lambda: self._is_done or self._again or self._suspects or actor.is_gone
                    )

    def _next(self) -> Line | None:
        if self._again:
            return self._taken(self._again.popleft())
        if self._is_exhausted:
            return None
        line = next(self._source, None)
        self._is_exhausted = line is None
        return None if line is None else self._taken(line)

    def _taken(self, line: Line) -> Line:
        self._in_flight += 1
        return line

    async def _do(self, actor: _Actor, line: Line, *, is_alone: bool) -> None:
        started, began = time.time(), time.monotonic()
        body = dumps({"number": line.number, "inputs": line.inputs, "repeat": line.repeat})
        failure: Failure | None = None
        try:
            async with asyncio.timeout(self._executor.job.line_timeout_s + _GRACE_S):
                record, images = await actor.call("run", body)
        except TimeoutError:
            actor.is_gone = True
            self._executor.dismiss(actor)
            seconds = self._executor.job.line_timeout_s
            failure = Failure("timeout", f"the line took longer than {seconds:g} s; its actor was ended")
        except self._executor.dead as error:
            was_hanging, actor.is_gone = actor.is_gone, True
            failure = self._given_up(line, error, is_alone=is_alone, is_innocent=was_hanging)
        else:
            self._executor.keep_images(images)
            await self.done.put(decode(loads(record)))
        if failure is not None:
            seconds = time.monotonic() - began
            await self.done.put(
                LineResult(
                    line.number,
                    Status.Failed,
                    dict(line.inputs),
                    error=failure,
                    started=started,
                    seconds=seconds,
                    repeat=line.repeat,
                )
            )
        self._in_flight -= 1
        async with self._changed:
            self._changed.notify_all()

    def _given_up(self, line: Line, error: Exception, *, is_alone: bool, is_innocent: bool) -> Failure | None:
        """Why the line of a dead actor is failed, or `None`: it is tried again."""
        if is_innocent or self._executor.has_lost_its_node(error):
            self._nodes_lost[line.key] += 1
            if self._nodes_lost[line.key] > _NODES_LOST:
                return Failure("worker-died", f"the line's Ray node was lost {_NODES_LOST + 1} times")
            self._log(f"line {line.number}: its Ray node or actor is gone; it runs again elsewhere")
            self._again.append(line)
        elif is_alone:
            return Failure("worker-died", f"the line ended its Ray actor: {_first_line(error)}")
        else:
            self._log(f"line {line.number}: its Ray actor died; tried again, alone in a new one")
            self._suspects.append(line)
        return None


def _knock(address: str | None) -> None:
    """See whether anybody listens there: Ray itself asks for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()


def _first_line(error: Exception) -> str:
    """The cause that Ray tells, without its list of ids."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    return lines[min(1, len(lines) - 1)] if lines else type(error).__name__


def _named(flow: Flow, job: FlowJob) -> str:
    """The text in which the connections stand that the flow may use."""
    said = [flow.document.data, job.connections, job.environment_variables, job.init]
    return dumps(said).decode()


def _shipped(job: FlowJob) -> Shipped | None:
    """The flow's files, the includes at their places beside it."""
    path = Path(job.flow)
    if not path.exists():
        return None
    flow = load_flow(path)
    files = {name: file.read_bytes() for name, file in snapshot.files(flow)[0].items()}
    for text in flow.additional_includes:
        prefix = f"includes/{Path(text).name}"
        for name in [name for name in files if name == prefix or name.startswith(f"{prefix}/")]:
            files[text.rstrip("/") + name.removeprefix(prefix)] = files.pop(name)
    entry = "" if path.is_dir() else path.name
    return Shipped(flow.folder.name, entry, files, snapshot.digest(flow))
