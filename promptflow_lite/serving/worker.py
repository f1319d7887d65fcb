"""One worker: `python -m promptflow_lite.serving.worker SOCKET`, started by `serving.workers`.

Its plan comes as the first line of stdin, then what it shall do; the end of stdin ends it. It says `ready`
on stdout; whatever user code prints goes to stderr.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import IO

from promptflow_lite.errors import PromptflowError
from promptflow_lite.serving.one import make
from promptflow_lite.serving.plan import Plan
from promptflow_lite.serving.server import Server
from promptflow_lite.tools.home import Home

__all__ = ["main"]


def main() -> int:
    """Serve the plan; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    orders = os.fdopen(0, "rb", buffering=0)  # a buffer would swallow the orders that come after the plan
    plan = Plan.of_json(orders.readline())
    plan.configure_log()
    try:
        deployment = plan.deployment()
        server = make(plan, deployment, on_ready=lambda: print("ready", file=out, flush=True))
    except PromptflowError as error:
        print(error, file=sys.stderr)
        return 2
    bound = socket.socket(fileno=int(sys.argv[1]))
    bound.setblocking(False)
    with Home(deployment.bound.folder):  # entered once, not for each request
        asyncio.run(_serve(server, bound, orders))
    return 0


async def _serve(server: Server, bound: socket.socket, orders: IO[bytes]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), orders)

    async def obey() -> None:
        word = (await reader.readline()).strip()
        server.leaves_at_once = word == b"leave"
        server.end()

    async with asyncio.TaskGroup() as group:
        obeying = group.create_task(obey())
        await server.serve(sockets=[bound])
        obeying.cancel()


if __name__ == "__main__":
    sys.exit(main())
