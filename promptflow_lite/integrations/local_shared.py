"""How do the worker processes of a run use one embedded model? The first one starts it, the others join.

Each of them holds an end of a named pipe open; the server ends when the last one is gone, however it went,
and not when the worker that started it dies of a line.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["Shared", "can_share", "join"]

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]  # Windows


class Shared:
    """A server that other processes may use too.

    Args:
        said: its `address`, `key`, `model` and `parallel`.
        pipe: our end of the pipe that keeps it alive.
    """

    def __init__(self, said: dict[str, Any], pipe: int) -> None:
        self.said = said
        self._pipe: int | None = pipe

    @property
    def is_running(self) -> bool:
        """Whether the server still has its end."""
        pipe = self._pipe
        if pipe is None:
            return False
        end = select.poll()  # one for each who asks: two threads may not ask the same one at a time
        end.register(pipe, 0)
        return not end.poll(0)

    def close(self) -> None:
        """Let go of it; it ends with the last who does."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None  # another file may have its number next


def can_share() -> bool:
    """Whether this system has what it takes."""
    return fcntl is not None


def join(
    folder: Path, key: object, start: Callable[[Path], tuple[dict[str, Any], Callable[[], None]]]
) -> Shared:
    """The server of `key` that the processes with this folder share; started if there is none.

    Args:
        folder: only theirs, and only for their user: what it takes to ask the server is kept in it.
        key: which model, and how it is served.
        start: starts it with the pipe's path, and returns once the server has the pipe open: what the others
            need to know, and what lets go of the server, which from then on lives as long as the pipe does.
    """
    name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    pipe, card = folder / f"model-{name}.pipe", folder / f"model-{name}.json"
    with _locked(folder / f"model-{name}.lock"):
        with suppress(OSError):  # there is none yet, or nobody reads the pipe: its server is gone
            return Shared(json.loads(card.read_text(encoding="utf-8")), _opened(pipe))
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe, 0o600)
        said, let_go = start(pipe)
        ours = _opened(pipe)
        let_go()
        card.touch(0o600)
        card.write_text(json.dumps(said), encoding="utf-8")
        return Shared(said, ours)


def _opened(pipe: Path) -> int:
    return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
