"""How is something done with requests while nobody waits for it? A bounded queue, and a thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from promptflow_lite.serving.traffic.seen import Seen

__all__ = ["Aside"]

_log = logging.getLogger("promptflow_lite.serving.traffic")
_EVERY_S = 0.5
_LAST_S = 5.0


class Aside:
    """Gives requests to `write` from a thread of its own, twice a second.

    Args:
        name: of the thread.
        write: is given what has come, also when nothing has; only ever called by the thread.
        lost: is told of a request for which there is no room.
        most: requests that may wait.
        most_bytes: what their bodies may have together.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[Seen]], None],
        lost: Callable[[Seen], None],
        *,
        most: int = 4096,
        most_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._name = name
        self._write = write
        self._lost = lost
        self._most = most
        self._room = most_bytes
        self._queue: deque[Seen] = deque()
        self._wake = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    def put(self, seen: Seen) -> None:
        """Take note of a request; never waits."""
        if len(self._queue) >= self._most or seen.size > self._room or self._ended:
            self._lost(seen)
            return
        self._room -= seen.size
        self._queue.append(seen)
        if self._thread is None:
            self.start()
        elif len(self._queue) == self._most // 4:
            self._wake.set()

    def start(self) -> None:
        """Start the thread, if it does not run yet."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Have what is left written, for at most five seconds."""
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_LAST_S)

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(_EVERY_S)
            self._wake.clear()
            self._empty()
        self._empty()

    def _empty(self) -> None:
        items = [self._queue.popleft() for _ in range(len(self._queue))]
        self._room += sum(seen.size for seen in items)
        try:
            self._write(items)
        except Exception:  # what is done aside ends neither the server nor the thread
            _log.exception("%s: requests were not taken note of", self._name)
