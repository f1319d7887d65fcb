"""What answers for a `local` connection? A llama.cpp server in this process, started at its first use.

It is xllamacpp's: prebuilt, without dependencies, OpenAI-compatible, on loopback only.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.connections import weights
from promptflow_lite.connections.base import Connection, Secret
from promptflow_lite.connections.telling import DownloadLines
from promptflow_lite.errors import MissingExtra, UserError
from promptflow_lite.settings import settings

__all__ = ["LocalServer", "serve"]


@dataclass
class LocalServer:
    """A running server of one model."""

    base_url: str
    """With `/v1` at its end."""
    api_key: Secret
    model: str
    parallel: int
    """How many calls it works on at a time."""
    _engine: Any = field(repr=False, default=None)

    def close(self) -> None:
        """Stop it and free its memory."""
        self._engine = None


_KEPT_PROMPTS_MIB = 128
"""The server's own default would be 8 GB."""

_Key = tuple[Path, int, int, int]

# The weights are in memory once a process: all flows and loops share the servers, and the first caller loads.
_SERVERS: dict[_Key, LocalServer] = {}
_LOCK = threading.Lock()


def serve(connection: Connection, model: str) -> LocalServer:
    """The server of a connection's model; starts it, and fetches the weights, if need be. Blocks meanwhile.

    Args:
        connection: of type `local`.
        model: a name of the catalogue or of the cache, or the path of a GGUF file.

    Raises:
        MissingExtra: xllamacpp is not installed.
        UserError: the weights cannot be fetched, or are no model.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra("xllamacpp", "local") from error
    folder = settings().models
    with _LOCK:
        found = weights.find(model, folder) or _pull(model, folder)
        parallel = int(connection.get("parallel") or 1)
        threads = int(connection.get("threads") or max(1, (os.cpu_count() or 2) - 1))
        key = (found.path, int(connection.get("n_ctx") or 4096), threads, parallel)
        server = _SERVERS.get(key)
        if server is None or server._engine is None:
            server = _SERVERS[key] = _start(xllamacpp, found, *key[1:])
        return server


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


def _start(xllamacpp: Any, found: weights.Weights, n_ctx: int, threads: int, parallel: int) -> LocalServer:
    key = Secret(secrets.token_urlsafe(24))
    params = xllamacpp.CommonParams()
    params.model.path = str(found.path)
    params.n_ctx = n_ctx * parallel  # the server splits its context among its slots
    params.n_parallel = parallel
    # As many threads as cores is a trap: with anything else running the rate falls 5 to 20 times.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # Nodes with different prompts take turns; a kept prompt is not read again: a quarter of the CPU.
    params.cache_ram_mib = _KEPT_PROMPTS_MIB
    params.verbosity = 1  # silent
    params.ui = False
    params.warmup = False
    params.port = 0
    params.hostnames = ["127.0.0.1"]
    params.api_keys = [str(key)]
    params.model_alias = {found.name}
    params.endpoint_metrics = True
    try:
        engine = xllamacpp.Server(params)
        # A server that is stopped before its loop turns never ends (2 of 8 starts); this waits for it.
        engine.handle_metrics()
    except RuntimeError as error:
        raise UserError(f"{found.path} cannot be loaded as a model: {error}", code="bad-model") from error
    return LocalServer(f"{engine.listening_address}/v1", key, found.name, parallel, engine)


@atexit.register
def _close_all() -> None:
    """Stop the servers while the interpreter still stands."""
    with contextlib.suppress(RuntimeError):
        for server in _SERVERS.values():
            server.close()
