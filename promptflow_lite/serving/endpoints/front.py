"""How is an endpoint served? A process at the door, those of the deployments behind it, the state's file.

A change of the state is taken up within a quarter of a second: a new deployment serves once its processes are
ready, one that is replaced or deleted finishes what it has. What is so is written to the status file, which
whoever made the change can wait for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from promptflow_lite.connections.store import provider
from promptflow_lite.errors import UserError
from promptflow_lite.runs.disk import DISK
from promptflow_lite.runs.records import pretty
from promptflow_lite.runs.redact import redactor
from promptflow_lite.serving import log as serving_log
from promptflow_lite.serving.app import Options, create_app
from promptflow_lite.serving.call import Limits
from promptflow_lite.serving.door import Access, Closing
from promptflow_lite.serving.endpoints.collecting import Collecting
from promptflow_lite.serving.endpoints.fleet import Fleet
from promptflow_lite.serving.endpoints.logs import Log, Routed
from promptflow_lite.serving.endpoints.mirror import Mirror
from promptflow_lite.serving.endpoints.rolling import Judge, Rolling
from promptflow_lite.serving.endpoints.rollout import Record, aborted
from promptflow_lite.serving.endpoints.split import Split
from promptflow_lite.serving.endpoints.store import Kept
from promptflow_lite.serving.keys import OwnersKeys
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.server import Server, allow_connections
from promptflow_lite.serving.way import Way
from promptflow_lite.settings import settings

__all__ = ["serve"]

_LOOK_S = 0.2
_TELL_S = 1.0

Say = Callable[[str], None]


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
        front = _Front(kept, way, say, judge)
        asyncio.run(front.serve(bound, on_ready))
        return front.signal


class _Front:
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
        self._group: asyncio.TaskGroup
        self._split: Split
        self._fleet: Fleet
        self._rolling: Rolling
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
            self._fleet = Fleet(
                self._kept,
                self._split,
                self._group,
                log_of=self._log_of,
                say=self._say,
                changed=self._tell,
            )
            self._fleet.take(spec)
            await self._fleet.settled()
            self._is_open = True
            self._tell()
            watching = self._group.create_task(self._watch(stamp))
            try:
                await self.server.serve(sockets=[bound])
            finally:
                watching.cancel()
                self._is_open = False
                await self._fleet.close()

    async def _watch(self, stamp: tuple[int, int] | None) -> None:
        """Take up changes of the state."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = _stamp(self._kept.state)
            if now is not None and now != stamp:
                stamp = now
                try:
                    self._fleet.take(self._kept.read())
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

    def _abort(self, name: str, record: Record) -> None:
        """Take the traffic from a deployment that fails too often."""
        why = (
            f"deployment {name!r} loses its traffic: {record.rate:.0%} of its last {record.size} answers "
            f"failed, more than {record.limits.max_error_rate:.0%}"
        )
        after = aborted(self._split.spec, name, why)
        if after is None:
            return
        self._split.take(after)  # now, and then for ever
        self._say(why)
        self._log_of(name).note(why)
        self._group.create_task(asyncio.to_thread(self._keep_abort, name, why))

    def _keep_abort(self, name: str, why: str) -> None:
        try:
            self._kept.change(lambda spec: aborted(spec, name, why) or spec)
        except (UserError, OSError) as error:
            self._say(f"that could not be kept: {error}")

    def _tell(self) -> None:
        """Write down what is so."""
        if not self._is_open:
            return
        spec = self._split.spec
        self._told = monotonic()
        body = {
            "process": os.getpid(),
            "url": self._way.url,
            "key": self._owners,
            "change": spec.change,
            "deployments": self._fleet.states(spec),
            "rollout": self._rolling.status(),
        }
        try:
            DISK.write_file(self._kept.status, [pretty(body)])
        except OSError as error:
            self._say(f"{self._kept.status}: {error.strerror}")

    def _log_of(self, name: str) -> Log:
        return self._logs.setdefault(name, Log(self._kept.log(name), self._redact))

    def _log(self) -> None:
        """Failures go to stderr, and with what flows print to the logs of the deployments."""
        serving_log.configure(self._way.log_level, self._redact)
        logger = logging.getLogger("promptflow_lite")
        for handler in logger.handlers:
            handler.setLevel(self._way.log_level.upper())
        logger.setLevel(logging.INFO)
        logger.addHandler(Routed(self._logs.get, self._redact))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:  # deleted meanwhile
        return None
    return found.st_mtime_ns, found.st_ino
