"""How are requests kept without anyone waiting for it? A bounded queue, and a thread that writes whole lines.

Each process writes files of its own, so several may share a folder. A line goes to the system in one write:
what was flushed survives the end of the process, however that comes; what was not is half a second's worth.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.reply import dumps
from promptflow_lite.serving.traffic.aside import Aside
from promptflow_lite.serving.traffic.retention import Retention, sweep
from promptflow_lite.serving.traffic.scrub import scrub
from promptflow_lite.serving.traffic.seen import Seen, record_of

__all__ = ["Collection", "Collector"]

_log = logging.getLogger("promptflow_lite.serving.traffic")

_ROLLED_BYTES = 64 * 1024 * 1024
_SEGMENTS = 8
_SWEEP_S = 600.0
_FOLDERS = {"day": "%Y-%m-%d/all", "hour": "%Y-%m-%d/%H", "minute": "%Y-%m-%d/%H.%M"}

Redact = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What is kept of the requests that are sampled."""

    inputs: bool = True
    outputs: bool = True
    rolling_rate: Literal["day", "hour", "minute"] = "hour"
    """How long one file is written to, if it does not get too large before."""
    retention: Retention = field(default_factory=Retention)
    """How long files are kept."""

    @property
    def rolled_bytes(self) -> int:
        """What a file may have: so little that there are several to choose from when room is made."""
        return min(_ROLLED_BYTES, (self.retention.most_bytes or sys.maxsize) // _SEGMENTS)


class Collector:
    """Keeps requests under a folder: `DEPLOYMENT/DATE/HOUR-PROCESS.jsonl`.

    Args:
        folder: where; made at the first request.
        redact: replaces the secrets of connections.
        metrics: where what is kept, and what is lost, is counted.
        collection_of: what is kept of a deployment's requests; `None` for nothing.
    """

    wants_values = False

    def __init__(
        self,
        folder: Path,
        redact: Redact,
        metrics: Metrics,
        collection_of: Callable[[str], Collection | None] = lambda name: Collection(),
    ) -> None:
        self._folder = folder
        self._redact = redact
        self._metrics = metrics
        self._collection_of = collection_of
        self._segments: dict[str, _Segment] = {}
        self._swept: dict[str, float] = {}
        """When a deployment's old files were last looked for, by the monotonic clock."""
        self._aside = Aside("pf-collector", self._write, self._lose)
        self._said = 0.0

    def __call__(self, seen: Seen) -> None:
        """Keep a request soon, or count that it is lost: the queue holds 4,096, of 64 MB together."""
        self._aside.put(seen)

    def close(self) -> None:
        """Write what is left, for at most five seconds."""
        self._aside.close()

    def _lose(self, seen: Seen) -> None:
        self._metrics.not_collected(seen.deployment, "queue-full", 1)

    def _write(self, items: list[Seen]) -> None:
        """Write what has come, by deployment."""
        waiting: dict[str, list[bytes]] = {}
        asked: dict[str, Collection] = {}
        for seen in items:
            kept = self._collection_of(seen.deployment)
            if kept is None:
                continue
            line = dumps(record_of(seen, inputs=kept.inputs, outputs=kept.outputs))
            waiting.setdefault(seen.deployment, []).append(line + b"\n")
            asked[seen.deployment] = kept
        for deployment, lines in waiting.items():
            text, _ = scrub(self._redact(b"".join(lines)))
            try:
                self._segment(deployment, asked[deployment]).write(text)
            except OSError as error:  # a disk that is full costs records, never a request
                self._segments.pop(deployment, None)
                self._metrics.not_collected(deployment, "disk", len(lines))
                self._complain(error)
            else:
                self._metrics.collected(deployment, len(lines))
        self._sweep()

    def _segment(self, deployment: str, kept: Collection) -> _Segment:
        """The file that is written to now."""
        period = datetime.now(UTC).strftime(_FOLDERS[kept.rolling_rate])
        found = self._segments.get(deployment)
        if found is None or found.period != period or found.size > kept.rolled_bytes or found.is_deleted:
            self._swept.pop(deployment, None)
            if found is not None:
                found.close()
            found = self._segments[deployment] = _Segment.open(self._folder / deployment, period)
        return found

    def _sweep(self) -> None:
        """Delete what is kept no longer, for each deployment when a file begins and now and then."""
        now = time.monotonic()
        for deployment in self._segments:
            kept = self._collection_of(deployment)
            if kept is None or now - self._swept.get(deployment, -_SWEEP_S) < _SWEEP_S:
                continue
            self._swept[deployment] = now
            try:
                gone = sweep(self._folder / deployment, kept.retention, time.time())
            except OSError as error:
                self._complain(error)
                continue
            if gone:
                size = sum(segment.size for segment in gone)
                _log.info("%s: deleted %d old files of requests, %d bytes", deployment, len(gone), size)

    def _complain(self, error: OSError) -> None:
        if time.monotonic() > self._said:
            self._said = time.monotonic() + 60
            _log.error("requests are not kept as they should be: %s: %s", self._folder, error.strerror)


@dataclass
class _Segment:
    """A file of whole lines."""

    handle: int
    period: str
    size: int = 0

    @classmethod
    def open(cls, folder: Path, period: str) -> _Segment:
        stem = folder / period
        stem.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = stem.with_name(f"{stem.name}-{os.getpid()}-{secrets.token_hex(4)}.jsonl")
        return cls(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), period)

    @property
    def is_deleted(self) -> bool:
        """Whether somebody has deleted it: what is written there would be lost."""
        return os.fstat(self.handle).st_nlink == 0

    def write(self, text: bytes) -> None:
        """Write whole lines; where the disk takes a part of them, none of it stays.

        Raises:
            OSError: it took only a part, or none.
        """
        written = os.write(self.handle, text)
        if written < len(text):
            os.ftruncate(self.handle, self.size)
            self.close()
            raise OSError(28, "no space left on device")
        self.size += written

    def close(self) -> None:
        os.close(self.handle)
