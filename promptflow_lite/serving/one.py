"""How is a plan served by this process? Bind, listen, serve; the signal that ended it comes back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from promptflow_lite.serving.app import create_app
from promptflow_lite.serving.deployment import Alone, BoundDeployment
from promptflow_lite.serving.door import Closing
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.plan import Plan
from promptflow_lite.serving.server import Server, allow_connections
from promptflow_lite.tools.home import Home

__all__ = ["make", "serve"]


def make(plan: Plan, deployment: BoundDeployment, *, on_ready: Callable[[], None] = lambda: None) -> Server:
    """The server of a plan, ready to run."""
    allow_connections()
    endpoint, closing, metrics = Alone(deployment), Closing(), Metrics()
    app = create_app(endpoint, plan.options(endpoint, metrics), closing=closing, metrics=metrics)
    return Server(app, closing, grace_s=plan.grace_s, warm=deployment.warm, on_ready=on_ready)


def serve(
    plan: Plan,
    deployment: BoundDeployment,
    bound: socket.socket,
    *,
    on_ready: Callable[[], None] = lambda: None,
) -> int | None:
    """Serve until a signal; the signal."""
    server = make(plan, deployment, on_ready=on_ready)
    with Home(deployment.bound.folder):  # entered once, not for each request
        asyncio.run(server.serve(sockets=[bound]))
    return server.signal
