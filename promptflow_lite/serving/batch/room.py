"""Is there room for a file that a caller sends? What all of them take has a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from promptflow_lite.serving.batch.spec import Jobs
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.running import log

__all__ = ["LATER", "Room"]

LATER = (b"retry-after", b"60")


class Room:
    """What callers' files take.

    Args:
        jobs: the folder of an endpoint's jobs; what was sent lies in the folder `data` of each.
    """

    def __init__(self, jobs: Path) -> None:
        self._jobs = jobs
        self._coming = 0
        """Bytes that those who are sending now may send."""

    @asynccontextmanager
    async def hold(self, length: int | None, limits: Jobs) -> AsyncIterator[None]:
        """Keep room for a file while it comes.

        Args:
            length: its bytes, if the sender says so.
            limits: of the endpoint.

        Raises:
            Refusal: 503, too much is kept.
        """
        most = min(limits.max_upload_bytes, limits.max_kept_bytes)
        wanted = most if length is None else min(length, limits.max_upload_bytes)
        self._coming += wanted  # at once, so that two who come together do not get the same room
        try:
            if await asyncio.to_thread(self._kept) + self._coming > limits.max_kept_bytes:
                log.warning(
                    "callers' files take jobs.max_kept_bytes (%d); one is refused", limits.max_kept_bytes
                )
                raise Refusal(503, "no-room", "too much is kept; come back later", headers=[LATER])
            yield
        finally:
            self._coming -= wanted

    def _kept(self) -> int:
        """Bytes of the files that have come."""
        total = 0
        for home in self._jobs.iterdir() if self._jobs.is_dir() else ():
            with suppress(OSError):  # removed just now, or of a path
                if (home / "job.json").is_file():
                    total += sum(file.stat().st_size for file in (home / "data").iterdir())
        return total
