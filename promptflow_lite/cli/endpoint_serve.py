"""`pf endpoint serve`, and `pf flow serve --source endpoint.yml`: listen, announce, serve."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptflow_lite.cli import endpoints, rollout
from promptflow_lite.cli.console import paint, say, say_safely
from promptflow_lite.cli.endpoint_keys import show_made
from promptflow_lite.serving.endpoints import files
from promptflow_lite.serving.endpoints.front import serve as serve_endpoint
from promptflow_lite.serving.endpoints.store import Kept
from promptflow_lite.serving.keys import Keys, write
from promptflow_lite.serving.server import claim, is_loopback
from promptflow_lite.serving.way import Way, names_here, origins_of
from promptflow_lite.settings import settings

__all__ = ["Where", "announced", "applied", "serve"]


Listen = Callable[[socket.socket, Way, Callable[[], None]], int | None]
"""Serves on a socket until a signal, which it gives; calls the last once it takes requests."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """The options as they were typed."""

    host: str
    port: int
    allowed_hosts: Sequence[str]
    cors_origins: Sequence[str] = ()
    max_body_bytes: int
    grace_s: float
    log_level: str
    mlflow: str = ""
    mcp: bool = False


def serve(kept: Kept, where: Where) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code."""

    def listen(bound: socket.socket, way: Way, on_ready: Callable[[], None]) -> int | None:
        return serve_endpoint(
            kept,
            bound,
            way,
            say=say_safely,
            on_ready=on_ready,
            judge=rollout.judge,
        )

    return announced(kept.name, where, listen)


def announced(name: str, where: Where, listen: Listen) -> int:
    """Serve until Ctrl-C or SIGTERM, and say at which address; the exit code.

    Args:
        name: of the endpoint.
        where: where it listens.
        listen: serves.
    """
    bound = claim(where.host, where.port)
    with contextlib.closing(bound):
        way = _way_of(bound, where)
        said = f"serving {name} at {paint(way.url, 'bold')} (Ctrl-C ends it)"
        ended_by = listen(bound, way, lambda: say(said))
    return 0 if ended_by is None else 128 + ended_by


def _way_of(bound: socket.socket, where: Where) -> Way:
    """How what listens on a socket is reached, and with which limits."""
    host, port = bound.getsockname()[:2]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  told, not bound
    url = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
    return Way(
        url=url,
        hosts=names_here(where.host, where.allowed_hosts) if is_loopback(bound) else None,
        origins=origins_of(where.cors_origins),
        max_body_bytes=where.max_body_bytes,
        grace_s=where.grace_s,
        log_level=where.log_level,
        mlflow=where.mlflow,
        mcp=where.mcp,
    )


def applied(file: Path) -> Kept:
    """The endpoint that a file describes, made or changed as it says."""
    asked, inner = files.endpoint(file, {})
    name = asked.body.get("name")
    given = Keys(settings().serve_keys).lines()
    if name in endpoints.kept_endpoints().names():
        kept = endpoints.update(file, {})
        there = {one.body["name"] for one in inner}
        for old in sorted(kept.read().deployments.keys() - there) if inner else ():
            drop = f"pf deployment delete --name {old} --endpoint-name {name}"
            say_safely(f"deployment {old!r} is not in {file}, and stays as it is;  {drop}  ends it")
    else:
        kept, made = endpoints.create(file, {})
        if not given:
            show_made(kept, made)
    if given:  # as in a container: whoever starts it says which keys open it
        write(kept.keys, given)
    return kept
