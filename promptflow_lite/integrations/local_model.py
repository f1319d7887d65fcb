"""What answers for a `local` connection? A llama.cpp server on loopback, started at its first use.

It is xllamacpp's: prebuilt, without dependencies, OpenAI-compatible. It runs in a process of its own
(`integrations.local_server` says why), which ends with this one, or with the last worker process of the run.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

from promptflow_lite.connections import weights
from promptflow_lite.connections.base import Connection, Secret
from promptflow_lite.connections.telling import DownloadLines
from promptflow_lite.errors import MissingExtra, UserError
from promptflow_lite.integrations.local_shared import Shared, can_share, join
from promptflow_lite.settings import settings

__all__ = ["LocalServer", "serve"]

_KEPT_PROMPTS_MIB = 128
"""The server's own default would be 8 GB."""
_LOADING_S = 300.0


@dataclass
class LocalServer:
    """A running server of one model."""

    base_url: str
    """With `/v1` at its end."""
    api_key: Secret
    model: str
    parallel: int
    """How many calls it works on at a time."""
    key: Hashable
    """Its weights and how it is served."""
    holder: Alone | Shared = field(repr=False)
    """What keeps it alive."""

    @property
    def is_running(self) -> bool:
        """Whether it can still be asked."""
        return self.holder.is_running

    def close(self) -> None:
        """Let go of it: where nobody shares it, its memory is free then."""
        self.holder.close()


@dataclass
class Alone:
    """A server that is this process's."""

    process: subprocess.Popen[str]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def close(self) -> None:
        """Stop it."""
        _end(self.process)


_Key = tuple[Path, int, int, int]

# The weights are in memory once a process: all flows and loops share the servers, and the first caller loads.
_SERVERS: dict[_Key, LocalServer] = {}
_LOCK = threading.Lock()


def serve(connection: Connection, model: str, together: Path | None = None) -> LocalServer:
    """The server of a connection's model; starts it, and fetches the weights, if need be. Blocks meanwhile.

    Args:
        connection: of type `local`.
        model: a name of the catalogue or of the cache, or the path of a GGUF file.
        together: the folder of the processes that shall have one server among them.

    Raises:
        MissingExtra: xllamacpp is not installed.
        UserError: the weights cannot be fetched, or are no model.
    """
    if find_spec("xllamacpp") is None:
        raise MissingExtra("xllamacpp", "local")
    folder = settings().models
    with _LOCK:
        found = weights.find(model, folder) or _pull(model, folder)
        parallel = int(connection.get("parallel") or 1)
        threads = int(connection.get("threads") or max(1, (os.cpu_count() or 2) - 1))
        key = (found.path, int(connection.get("n_ctx") or 4096), threads, parallel)
        server = _SERVERS.get(key)
        if server is None or not server.is_running:
            if server is not None:
                server.close()
            server = _SERVERS[key] = _served(found, key, together)
        return server


def _served(found: weights.Weights, key: _Key, together: Path | None) -> LocalServer:
    if together is None or not can_share():
        said, process = _start(found, *key[1:])
        return _server(said, key, Alone(process))

    def start(pipe: Path) -> tuple[dict[str, Any], Callable[[], None]]:
        said, process = _start(found, *key[1:], lifeline=pipe)

        def let_go() -> None:
            _close_pipes(process)
            process.returncode = (
                0  # not waited for: the others may need it for longer than this process lives
            )

        return said, let_go

    shared = join(together, key, start)
    return _server(shared.said, key, shared)


def _server(said: dict[str, Any], key: _Key, holder: Alone | Shared) -> LocalServer:
    address, secret = f"{said['address']}/v1", Secret(said["key"])
    return LocalServer(address, secret, said["model"], said["parallel"], key, holder)


def _pull(name: str, folder: Path) -> weights.Weights:
    """The weights, fetched before the first answer can be given."""
    lines = DownloadLines(name, sys.stderr)
    lines.say(
        f"the weights are not in {folder} yet; fetching them once ('pf model pull {name}' does it ahead)"
    )
    try:
        return weights.pull(name, folder, lines)
    finally:
        lines.close()


def _start(
    found: weights.Weights, n_ctx: int, threads: int, parallel: int, lifeline: Path | None = None
) -> tuple[dict[str, Any], subprocess.Popen[str]]:
    """What it takes to ask the server, and its process."""
    key = secrets.token_urlsafe(24)
    wanted = {
        "path": str(found.path.absolute()),
        "name": found.name,
        "n_ctx": n_ctx,
        "threads": threads,
        "parallel": parallel,
        "kept_prompts_mib": _KEPT_PROMPTS_MIB,
        "api_key": key,  # by stdin: a command line is for all to see
        **({} if lifeline is None else {"lifeline": str(lifeline)}),
    }
    process = subprocess.Popen(
        # -P: a flow's folder, which may be the working one, is not where the server's modules come from.
        [sys.executable, "-P", "-m", "promptflow_lite.integrations.local_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the flow; it ends the server when it ends
    )
    said = _told(process, wanted)
    if "address" not in said:
        _end(process)
        why = said.get("error", "its process ended while it was loaded")
        raise UserError(f"{found.path} cannot be loaded as a model: {why}", code="bad-model")
    return {"address": said["address"], "key": key, "model": found.name, "parallel": parallel}, process


def _told(process: subprocess.Popen[str], wanted: dict[str, Any]) -> dict[str, str]:
    """What the server says once the model is loaded; nothing if it ends before, or takes too long."""
    to, back = cast(IO[str], process.stdin), cast(IO[str], process.stdout)  # both are pipes
    late = threading.Timer(_LOADING_S, process.kill)
    late.daemon = True
    late.start()
    try:
        print(json.dumps(wanted), file=to, flush=True)
        said: dict[str, str] = json.loads(back.readline() or "{}")
        return said
    except BrokenPipeError:
        return {}
    finally:
        late.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    _close_pipes(process)


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@atexit.register
def _close_all() -> None:
    """Stop the servers with the process."""
    for server in _SERVERS.values():
        server.close()
