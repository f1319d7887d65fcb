"""How does one process serve? uvicorn, and an end that finishes what is in flight and refuses the rest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI

from promptflow_lite.errors import UserError
from promptflow_lite.serving.door import Closing
from promptflow_lite.serving.protocol import Connection

__all__ = ["Server", "allow_connections", "claim", "is_loopback"]

_KEEP_ALIVE_S = 30
_LINGER_S = 1.0
_LOOK_S = 0.1


class Server(uvicorn.Server):
    """One process's server.

    Args:
        app: what it serves.
        closing: is told when the end begins.
        grace_s: how long what is in flight may take then.
        warm: reads what the first request would wait for.
        on_ready: called once it takes requests, and is warm.
    """

    def __init__(
        self,
        app: FastAPI,
        closing: Closing,
        *,
        grace_s: float = 30.0,
        warm: Callable[[], Awaitable[None]] | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self._closing = closing
        self._grace_s = grace_s
        self._warm = warm
        self._on_ready = on_ready
        self.signal: int | None = None
        """The signal that ended it."""
        self.leaves_at_once = False
        """Whether it stops listening when its end begins, since another process listens on."""

    def end(self) -> None:
        """Begin the end."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            if self._warm is not None:
                await self._unless_it_ends(self._warm)
            self._on_ready()

    async def _unless_it_ends(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do work that may take minutes, such as a download; a signal cuts it short."""
        task = asyncio.ensure_future(work())
        while not task.done() and not self.should_exit:
            await asyncio.wait([task], timeout=_LOOK_S)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        else:
            task.result()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight, and meanwhile 503 to what is new; then close."""
        self._closing.begun = True
        if self.leaves_at_once:
            self._closing.refuses = False
            self._stop_accepting()
            await asyncio.sleep(_LINGER_S)  # what was accepted a moment ago has yet to say what it wants
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s):
                while self._is_busy() and not self.force_exit:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.05)
        await super().shutdown(sockets)

    def _stop_accepting(self) -> None:
        """Leave new connections to the others; closing the server would drop those that are half accepted."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())

    def _is_busy(self) -> bool:
        connections = [c for c in self.server_state.connections if isinstance(c, Connection)]
        return any(c.cycle is not None and not c.cycle.response_complete for c in connections)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear SIGINT and SIGTERM; the caller turns them into an exit code. Only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: object) -> None:
        """Begin the end; a second Ctrl-C does not wait for what is in flight."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.signal = self.signal or sig
        self.should_exit = True


def allow_connections() -> None:
    """Let the process have as many open connections as the system lets it ask for."""
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def claim(host: str, port: int) -> socket.socket:
    """A socket bound to the address; it listens once a server starts on it, and not before.

    Raises:
        UserError: the address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _, address = found[0]
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        hint = "another program listens there; --port 0 takes a free one" if error.errno == 98 else None
        why = error.strerror or str(error)
        raise UserError(f"cannot listen on {host}:{port}: {why}", code="cannot-listen", hint=hint) from error
    made.setblocking(False)
    return made


def is_loopback(bound: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    address = str(bound.getsockname()[0])
    return address == "::1" or address.startswith(("127.", "::ffff:127."))
