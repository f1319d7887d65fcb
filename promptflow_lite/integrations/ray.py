"""How does a Ray cluster execute lines? In actors that bind the flow once; this process alone keeps results.

Lines go to actors one by one and come back one by one (not in Ray Data's blocks), so a result is in the
journal as soon as it is there, and a node that is lost costs the lines that were in flight on it: they run
again elsewhere. docs/decisions/009 says more.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.connections.passing import passed
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult
from promptflow_lite.errors import FlowError, MissingExtra, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from promptflow_lite.integrations.ray_crew import NODES_LOST, Actor, Crew, first_line
from promptflow_lite.integrations.ray_reach import bring_token, knock, said
from promptflow_lite.integrations.ray_worker import LineWorker, Shipped
from promptflow_lite.runs import snapshot
from promptflow_lite.runs.drain import drained
from promptflow_lite.runs.job import FlowJob, Line, flow_of
from promptflow_lite.runs.records import decode_aggregation, dumps, loads

__all__ = ["RayExecutor"]

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
        bring_token(address or os.environ.get("RAY_ADDRESS"))  # Ray looks for it while it is imported
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
        self._actors: list[Actor] = []
        self._idle: list[Actor] = []

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
            knock(address)
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
                f"the Ray cluster {address or 'on this machine'} cannot be reached: {said(error)}",
                code="ray-unreachable",
                hint="--executor ray://HOST:10001, or HOST:6379 from a machine of the cluster; "
                "a cluster with tokens lets in who has its token in RAY_AUTH_TOKEN or ~/.ray/auth_token",
            ) from error

    def _count(self) -> int:
        cpus = int(self._ray.cluster_resources().get("CPU", 1))
        return max(1, min(self._workers or cpus, self._job.concurrency))

    def run(self, lines: Iterable[Line], log: Log) -> AsyncGenerator[LineResult, None]:
        """One result for each line, as it ends. At most `job.concurrency` lines are in flight."""
        crew = Crew(self, iter(lines), log)
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
                reason = first_line(error)
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

    async def hire(self) -> Actor:
        """An actor that is ready."""
        return self._idle.pop() if self._idle else await self._hire()

    def release(self, actor: Actor) -> None:
        """Give back an actor that has nothing to do: it still has its room in the cluster."""
        self._idle.append(actor)

    def dismiss(self, actor: Actor) -> None:
        """End an actor."""
        actor.is_gone = True
        if actor in self._actors:
            self._actors.remove(actor)
            with suppress(Exception):  # it is dead, or the cluster is gone
                self._ray.kill(actor.handle)

    async def _hire(self) -> Actor:
        for _ in range(NODES_LOST):
            actor = await self._start()
            if actor is not None:
                return actor
        raise UserError("Ray nodes die as soon as an actor starts on them", code="ray-unreachable")

    async def _start(self) -> Actor | None:
        """A new actor that is ready; `None`: its node was lost before."""
        how = {"num_cpus": 1, "max_restarts": 0, "max_concurrency": max(1000, self._job.concurrency)}
        worker = self._ray.remote(LineWorker).options(scheduling_strategy="SPREAD", **how)
        actor = Actor(worker.remote(*self._arguments))
        self._actors.append(actor)
        try:
            told = await actor.call("open")
        except asyncio.CancelledError:  # it may still wait for room
            self.dismiss(actor)
            raise
        except self._ray.exceptions.RayActorError as error:
            self.dismiss(actor)
            if self.has_lost_its_node(error):
                return None
            raise UserError(
                f"the flow ends its process before the first line: {first_line(error)}", code="worker-died"
            ) from error
        if "diagnostics" in told:
            raise FlowError(told["diagnostics"])
        if "message" in told:
            raise UserError(told["message"], code=told["code"], hint=told["hint"])
        actor.notes = told["notes"]
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


def _named(flow: Flow, job: FlowJob) -> str:
    """The text in which the connections stand that the flow may use."""
    return dumps([flow.document.data, job.connections, job.environment_variables, job.init]).decode()


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
