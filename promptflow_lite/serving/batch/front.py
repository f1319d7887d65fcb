"""How is a batch endpoint served? A process at the door, and one for each job that runs."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress

from promptflow_lite.connections.store import provider
from promptflow_lite.runs.disk import DISK
from promptflow_lite.runs.records import pretty
from promptflow_lite.runs.redact import redactor
from promptflow_lite.serving import log as serving_log
from promptflow_lite.serving.batch.app import create_app
from promptflow_lite.serving.batch.queue import Queue
from promptflow_lite.serving.batch.store import Kept
from promptflow_lite.serving.call import Limits
from promptflow_lite.serving.door import Access, Closing
from promptflow_lite.serving.keys import OwnersKeys
from promptflow_lite.serving.server import Server, allow_connections
from promptflow_lite.serving.way import Way
from promptflow_lite.settings import settings

__all__ = ["serve"]


def serve(
    kept: Kept,
    bound: socket.socket,
    way: Way,
    *,
    say: Callable[[str], None],
    on_ready: Callable[[], None],
) -> int | None:
    """Serve until a signal; the signal. Jobs that run then stop, and go on the next time.

    Args:
        kept: the endpoint.
        bound: the socket to listen on.
        way: how it is reached.
        say: is told what a person should know.
        on_ready: called once it takes requests.

    Raises:
        UserError: another process serves it.
    """
    with kept.serving():
        return asyncio.run(_serve(kept, bound, way, say, on_ready))


async def _serve(
    kept: Kept, bound: socket.socket, way: Way, say: Callable[[str], None], on_ready: Callable[[], None]
) -> int | None:
    allow_connections()
    serving_log.configure(way.log_level, redactor(provider(settings())))
    owners = secrets.token_urlsafe(32)
    keys = OwnersKeys(kept.keys if kept.read().auth_mode == "key" else None, owners)
    closing, queue = Closing(), Queue(kept, say)
    access = Access(keys, hosts=way.hosts, origins=way.origins)
    app = create_app(kept, queue, access, Limits(body_bytes=way.max_body_bytes), closing=closing)

    def ready() -> None:
        status = {"process": os.getpid(), "url": way.url, "key": owners}
        DISK.write_file(kept.status, [pretty(status)])
        on_ready()

    server = Server(app, closing, grace_s=way.grace_s, on_ready=ready)
    keeping = asyncio.create_task(queue.keep())
    keeping.add_done_callback(lambda task: _end_over(task, server))
    try:
        await server.serve(sockets=[bound])
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await queue.close()
    return server.signal


def _end_over(task: asyncio.Task[None], server: Server) -> None:
    """A queue that broke down ends the service, and says why."""
    if not task.cancelled():
        server.end()
