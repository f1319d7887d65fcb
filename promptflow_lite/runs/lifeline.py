"""How does a process end with the one that started it? However that ends, and with every program it started.

What it can rely on (`runs.spawned` sees to it): three numbers on its command line, which are its socket, the
end of a pipe whose other end closes when the process that started it is gone, and that process's id. It is a
fresh interpreter, the first of its session and of its process group.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys

__all__ = ["attach"]

_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""
_WATCH = "(read -r gone; kill -KILL 0) <&3 >/dev/null 2>&1 &"


def attach() -> socket.socket:
    """The socket to whoever started this process, with which it ends from now on."""
    channel, lifeline, leader = (int(text) for text in sys.argv[1:4])
    for handle in (channel, lifeline):
        os.set_inheritable(handle, False)  # a program that a tool starts shall not keep them open
    _end_with(leader, lifeline)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return socket.socket(fileno=channel)


def _end_with(leader: int, lifeline: int) -> None:
    """End this process when its leader ends, with the programs that tools started.

    A shell in its process group waits for the pipe's end, and kills the group; it is nobody's child, so no
    tool comes upon it. Linux kills this process by itself, which is quicker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != leader:  # it ended before it was asked about
        os.kill(os.getpid(), signal.SIGKILL)

    shell = os.posix_spawn(
        "/bin/sh", ["sh", "-c", _WATCH], {}, file_actions=[(os.POSIX_SPAWN_DUP2, lifeline, 3)]
    )
    os.waitpid(shell, 0)
