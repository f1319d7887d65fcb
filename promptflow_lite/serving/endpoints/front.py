"""How is an endpoint served? A process at the door, those of the deployments behind it, the state's file.

A change of the state is taken up within a quarter of a second: a new deployment serves once its processes are
ready, one that is replaced or deleted finishes what it has. What is so is written to the status file, which
whoever made the change can wait for.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from promptflow_lite.connections.store import provider
from promptflow_lite.errors import PromptflowError, UserError
from promptflow_lite.runs.disk import DISK
from promptflow_lite.runs.records import pretty
from promptflow_lite.runs.redact import redactor
from promptflow_lite.serving import log as serving_log
from promptflow_lite.serving.app import Options, create_app
from promptflow_lite.serving.call import Limits
from promptflow_lite.serving.deployment import flow_of
from promptflow_lite.serving.door import Access, Closing
from promptflow_lite.serving.endpoints.collecting import Collecting
from promptflow_lite.serving.endpoints.logs import Log, Routed
from promptflow_lite.serving.endpoints.mirror import Mirror
from promptflow_lite.serving.endpoints.remote import Remote
from promptflow_lite.serving.endpoints.rolling import Judge, Rolling
from promptflow_lite.serving.endpoints.rollout import Record, without
from promptflow_lite.serving.endpoints.spec import DeploymentSpec, EndpointSpec
from promptflow_lite.serving.endpoints.split import Split
from promptflow_lite.serving.endpoints.store import Kept
from promptflow_lite.serving.keys import Keys
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.server import Server, allow_connections
from promptflow_lite.settings import settings

__all__ = ["Front", "OwnersKeys", "Way", "serve"]

_LOOK_S = 0.2
_TELL_S = 1.0
_OTHERS_S = 10.0
"""What a deployment without traffic may hold up the start of the service."""
_GRACE_OF_RETIRED_S = 600.0
"""What a deployment that was replaced may still take for what it runs; a request's own limit comes first."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the endpoint is reached, and with which limits."""

    url: str
    hosts: tuple[str, ...] | None = None
    origins: tuple[str, ...] = ()
    max_body_bytes: int = 8 * 1024 * 1024
    grace_s: float = 30.0
    log_level: str = "warning"
    mcp: bool = False
    """Whether the endpoint is offered as an MCP tool too."""
    mlflow: str = ""
    """The address of an MLflow that is told of requests as traces; empty for none."""


class OwnersKeys(Keys):
    """The endpoint's keys, and one that only the owner of its folder can read, for `pf endpoint invoke`.

    Args:
        file: the hashed keys; `None` where nobody needs one.
        owners: the owner's key, new at each start.
    """

    def __init__(self, file: Path | None, owners: str) -> None:
        super().__init__(file=file)
        self._owners = owners.encode()

    def admit(self, given: bytes | None) -> bool:
        """Whether `given` is one of the keys; takes as long whichever it is."""
        is_known = super().admit(given)
        return hmac.compare_digest(given or b"", self._owners) or is_known


def serve(
    kept: Kept, bound: socket.socket, way: Way, *, say: Say, on_ready: Callable[[], None], judge: Judge
) -> int | None:
    """Serve until a signal; the signal.

    Args:
        kept: the endpoint.
        bound: the socket to listen on.
        way: how it is reached.
        say: is told what a person should know.
        on_ready: called once it takes requests.
        judge: gives the verdicts of a roll-out.

    Raises:
        UserError: another process serves it.
    """
    with kept.serving():
        front = Front(kept, way, say, judge)
        asyncio.run(front.serve(bound, on_ready))
        return front.signal


class Front:
    """The process at the door.

    Args:
        kept: the endpoint.
        way: how it is reached.
        say: is told what a person should know.
        judge: gives the verdicts of a roll-out.
    """

    def __init__(self, kept: Kept, way: Way, say: Say, judge: Judge) -> None:
        self.server: Server | None = None
        self._kept = kept
        self._way = way
        self._say = say
        self._judge = judge
        self._owners = secrets.token_urlsafe(32)
        self._redact = redactor(provider(settings()))
        self._logs: dict[str, Log] = {}
        self._failed: dict[str, dict[str, Any]] = {}
        """Deployments that do not start, by name: their revision, and why."""
        self._starting: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._leaving: set[Remote] = set()
        self._group: asyncio.TaskGroup
        self._split: Split
        self._is_open = False
        self._told = 0.0

    @property
    def signal(self) -> int | None:
        """The signal that ended it."""
        return None if self.server is None else self.server.signal

    async def serve(self, bound: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve until the end is asked for."""
        allow_connections()
        self._log()
        way, spec, metrics, closing = self._way, self._kept.read(), Metrics(), Closing()
        keys = OwnersKeys(self._kept.keys if spec.auth_mode == "key" else None, self._owners)
        self._split = Split(spec, Mirror(metrics), self._abort)
        collecting = Collecting(self._split, mlflow=way.mlflow)
        self._rolling = Rolling(self._kept, self._split, self._judge, self._say)
        app = create_app(
            self._split,
            Options(
                access=Access(keys, hosts=way.hosts, origins=way.origins),
                limits=Limits(body_bytes=way.max_body_bytes),
                feedback=self._kept.feedback,
                only=settings().response_fields,
                mcp=way.mcp,
                traffic=collecting.traffic(self._kept, self._redact, metrics),
            ),
            closing=closing,
            metrics=metrics,
        )
        self.server = Server(app, closing, grace_s=way.grace_s, on_ready=on_ready)
        async with asyncio.TaskGroup() as self._group:
            stamp = _stamp(self._kept.state)
            self._take(spec)
            await self._settled()
            self._is_open = True
            self._tell()
            watching = self._group.create_task(self._watch(stamp))
            try:
                await self.server.serve(sockets=[bound])
            finally:
                watching.cancel()
                self._is_open = False
                for _, task in self._starting.values():
                    task.cancel()
                await self._split.close()
                for remote in [*self._leaving]:
                    await remote.close()

    async def _settled(self) -> None:
        """Wait until the deployments with traffic serve or have failed to; for others not as long."""
        with_traffic = [t for name, (_, t) in self._starting.items() if self._split.spec.traffic.get(name)]
        if with_traffic:
            await asyncio.wait(with_traffic)
        others = [task for _, task in self._starting.values()]
        if others:
            await asyncio.wait(others, timeout=_OTHERS_S)

    async def _watch(self, stamp: tuple[int, int] | None) -> None:
        """Take up changes of the state."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = _stamp(self._kept.state)
            if now is not None and now != stamp:
                stamp = now
                try:
                    self._take(self._kept.read())
                except UserError as error:  # the endpoint is served as it was before
                    self._say(str(error))
                self._tell()
            await self._roll()

    async def _roll(self) -> None:
        """Go on with a roll-out; say every second how far it is."""
        await self._rolling.look()
        found = self._rolling.status()
        if found is not None and monotonic() > self._told + _TELL_S:
            self._tell()

    def _take(self, spec: EndpointSpec) -> None:
        self._split.take(spec)
        for name in [*self._split.deployments]:
            if name not in spec.deployments:
                self._retire(self._split.drop(name))
        for name in [*self._starting]:
            if name not in spec.deployments:
                self._starting.pop(name)[1].cancel()
        for name in [*self._failed]:
            if (
                name not in spec.deployments
                or self._failed[name]["revision"] != spec.deployments[name].revision
            ):
                del self._failed[name]
        for deployment in spec.deployments.values():
            self._follow(deployment)

    def _follow(self, wanted: DeploymentSpec) -> None:
        """Have the wanted revision of a deployment serve, sooner or later."""
        name, serving = wanted.name, self._split.get(wanted.name)
        starting = self._starting.get(name)
        if starting is not None and starting[0] != wanted.revision:
            self._starting.pop(name)[1].cancel()
            starting = None
        is_there = serving is not None and serving.spec.revision == wanted.revision
        if not is_there and starting is None and name not in self._failed:
            self._starting[name] = (wanted.revision, self._group.create_task(self._start(wanted)))

    async def _start(self, wanted: DeploymentSpec) -> None:
        """Start a deployment, and let it take the place of the one of its name."""
        name = wanted.name
        log = self._logs.setdefault(name, Log(self._kept.log(name), self._redact))
        remote = None
        try:
            flow = await asyncio.to_thread(
                flow_of,
                wanted.source,
                variants=wanted.variants,
                environment_variables=wanted.environment_variables,
                init=wanted.init,
            )
            remote = Remote(wanted, flow, log, self._tell)
            await remote.start(self._group)
        except asyncio.CancelledError:
            if remote is not None:
                self._retire(remote)
            raise
        except PromptflowError as error:
            self._say(f"deployment {name!r} does not start:\n{error}")
            log.note(f"deployment {name!r} does not start: {error}")
            if remote is not None:
                self._retire(remote)
            said = {"revision": wanted.revision, "state": "Failed", "message": str(error), "processes": []}
            self._failed[name] = {**said, "restarts": 0}
        else:
            self._retire(self._split.put(remote))
        if self._starting.get(name, (0,))[0] == wanted.revision:
            del self._starting[name]
        self._tell()

    def _retire(self, remote: Remote | None) -> None:
        if remote is not None:
            self._leaving.add(remote)
            self._group.create_task(self._let_go(remote))

    async def _let_go(self, remote: Remote) -> None:
        await remote.retire(_GRACE_OF_RETIRED_S)
        self._leaving.discard(remote)
        wanted = self._split.spec.deployments.values()
        used = [d.source for d in wanted] + [other.spec.source for other in self._leaving]
        await asyncio.to_thread(self._kept.sweep, used)

    def _abort(self, name: str, record: Record) -> None:
        """Take the traffic from a deployment that fails too often."""
        traffic = without(self._split.spec.traffic, name)
        if traffic is None:
            return
        said = (
            f"deployment {name!r} loses its traffic: {record.rate:.0%} of its last {record.size} answers "
            f"failed, more than {record.limits.max_error_rate:.0%}"
        )
        self._split.take(_taken(self._split.spec, name, traffic, said))  # now, and then for ever
        self._say(said)
        self._logs[name].note(said)
        self._group.create_task(asyncio.to_thread(self._keep_abort, name, said))

    def _keep_abort(self, name: str, why: str) -> None:
        def how(spec: EndpointSpec) -> EndpointSpec:
            traffic = without(spec.traffic, name)
            return spec if traffic is None else _taken(spec, name, traffic, why)

        try:
            self._kept.change(how)
        except (UserError, OSError) as error:
            self._say(f"that could not be kept: {error}")

    def _tell(self) -> None:
        """Write down what is so."""
        if not self._is_open:
            return
        spec, known = self._split.spec, {}
        self._told = monotonic()
        for name, deployment in spec.deployments.items():
            remote = self._split.get(name)
            if name in self._failed:
                known[name] = self._failed[name]
            elif remote is not None and remote.spec.revision == deployment.revision:
                known[name] = remote.status()
            else:
                state = {"revision": deployment.revision, "state": "Starting", "message": ""}
                known[name] = {**state, "processes": [], "restarts": 0}
        body = {
            "process": os.getpid(),
            "url": self._way.url,
            "key": self._owners,
            "change": spec.change,
            "deployments": known,
            "rollout": self._rolling.status(),
        }
        try:
            DISK.write_file(self._kept.status, [pretty(body)])
        except OSError as error:
            self._say(f"{self._kept.status}: {error.strerror}")

    def _log(self) -> None:
        """Failures go to stderr, and with what flows print to the logs of the deployments."""
        serving_log.configure(self._way.log_level, self._redact)
        logger = logging.getLogger("promptflow_lite")
        for handler in logger.handlers:
            handler.setLevel(self._way.log_level.upper())
        logger.setLevel(logging.INFO)
        logger.addHandler(Routed(self._logs.get, self._redact))


def _taken(spec: EndpointSpec, name: str, traffic: Mapping[str, int], why: str) -> EndpointSpec:
    """The endpoint after a deployment lost its traffic; a roll-out to it has failed."""
    progress = spec.progress
    if progress is not None and progress.is_under_way and progress.to == name:
        return replace(spec, traffic=traffic, progress=replace(progress, state="failed", why=why))
    return replace(spec, traffic=traffic)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:  # deleted meanwhile
        return None
    return found.st_mtime_ns, found.st_ino
