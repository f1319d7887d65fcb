"""What is a process of ours? An interpreter that runs one of our modules, is talked to, and ends with us.

It is a new interpreter in a session of its own: it gets no Ctrl-C of the terminal, shares no lock with a
thread of this process as a fork would, and is killed together with every program that it has started.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess  # our own interpreter with our own module
import sys
from collections.abc import Callable, Container
from contextlib import suppress

from promptflow_lite.engine.threads import in_thread
from promptflow_lite.runs.frames import Frames, Message, pack

__all__ = ["Spawned"]

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from {} import main; main()"
_AT_ONCE = 65536


class Spawned:
    """A process; made by `spawn`.

    Args:
        process: the process.
        channel: our end of the socket pair.
        output: our end of the pipe that is its stdout and stderr.
        lifeline: our end of the pipe that tells it that we live.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], channel: socket.socket, output: int, lifeline: int
    ) -> None:
        self.pid = process.pid
        self.frames = Frames()
        """What it says; `None` once it is gone."""
        self.is_closed = False
        self._process = process
        self._channel = channel
        self._output = output
        self._lifeline = lifeline
        self._write: Callable[[bytes], object]
        self._transport: asyncio.Transport | None = None
        self._exit: asyncio.Task[int] | None = None

    @classmethod
    def spawn(cls, module: str, *more: str, without: Container[str] = ()) -> Spawned:
        """A process that runs the `main` of one of our modules, which begins with `lifeline.attach`.

        Args:
            module: its name.
            more: what else stands on its command line.
            without: environment variables that it shall not have.
        """
        ours, theirs = socket.socketpair()
        alive, lifeline = os.pipe()
        output, printed = os.pipe()
        handles = (theirs.fileno(), alive)
        boot = _BOOT.format(module)
        command = [sys.executable, "-P", "-c", boot, *map(str, handles), str(os.getpid()), *more]
        try:
            process = subprocess.Popen(  # noqa: S603  our own interpreter
                [*command, json.dumps(sys.path)],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                pass_fds=handles,
                start_new_session=True,
                env={name: text for name, text in os.environ.items() if name not in without},
            )
        except BaseException:
            ours.close()
            os.close(lifeline)
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(alive)
            os.close(printed)
        return cls(process, ours, output, lifeline)

    async def open(self, write: Callable[[bytes], object]) -> None:
        """Begin to talk.

        Args:
            write: takes what it prints.
        """
        loop = asyncio.get_running_loop()
        self._write = write
        self._channel.setblocking(False)
        os.set_blocking(self._output, False)
        self._transport, _ = await loop.create_connection(lambda: self.frames, sock=self._channel)
        loop.add_reader(self._output, self.read_output)
        # Its exit is waited for too: a program that it forked may hold the socket open behind it.
        self._exit = loop.create_task(in_thread(self._process.wait, {}))
        self._exit.add_done_callback(lambda _: self.frames.queue.put_nowait(None))

    def send(self, message: Message) -> None:
        """Say something to it; nothing, once it is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack(message))

    def read_output(self) -> None:
        """Take what it has printed by now."""
        if self.is_closed:
            return
        with suppress(BlockingIOError):
            while text := os.read(self._output, _AT_ONCE):
                self._write(text)
            asyncio.get_running_loop().remove_reader(self._output)  # nobody writes there any more

    async def exited(self, within_s: float | None = None) -> int:
        """Its exit code, once it has ended; below 0 a signal's number.

        Raises:
            TimeoutError: it has not in that time.
        """
        async with asyncio.timeout(within_s):
            return await (
                in_thread(self._process.wait, {}) if self._exit is None else asyncio.shield(self._exit)
            )

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, with every program that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of what this side holds; does nothing the second time."""
        if self.is_closed:
            return
        self.is_closed = True
        with suppress(RuntimeError):  # the loop is closed
            asyncio.get_running_loop().remove_reader(self._output)
        if self._transport is not None:
            self._transport.abort()
        else:
            self._channel.close()
        os.close(self._output)
        os.close(self._lifeline)
        if self._exit is None:
            self._process.wait()
