"""What does a Ray actor do for a run? Binds the flow once, and runs the lines that it is sent, side by side.

It takes and gives bytes of JSON only: what a user's code returns is never unpickled by the run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from promptflow_lite.connections.passing import received
from promptflow_lite.connections.store import provider
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.errors import FlowError, UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.runs import snapshot
from promptflow_lite.runs.images import KeptImages
from promptflow_lite.runs.job import FlowJob, Line, flow_of
from promptflow_lite.runs.local import result_of
from promptflow_lite.runs.records import decode, dumps, encode, loads
from promptflow_lite.settings import settings
from promptflow_lite.tools.bind import bind
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.scope import within

__all__ = ["LineWorker", "Shipped"]

_DEEP = "1/2/3/4/5/6/7/8"
"""Where a flow is unpacked, so that the `..` of its includes stay within the temporary folder."""


class Shipped(NamedTuple):
    """A flow's files, for machines that do not share the run's disk."""

    name: str
    """Of the flow's folder."""
    entry: str
    """The flow's file in it; empty for the folder itself."""
    files: dict[str, bytes]
    """By path from the flow's folder."""
    digest: str
    """What the files are; a folder at the same path that is the same is taken in their place."""


class LineWorker:
    """The actor.

    Args:
        job: the `FlowJob` as JSON.
        connections: class and values by name.
        shipped: the flow's files; `None` where the flow is a module's.
    """

    def __init__(
        self, job: bytes, connections: Mapping[str, Mapping[str, Any]], shipped: Shipped | None
    ) -> None:
        self._job = FlowJob.model_validate_json(job)
        self._connections = connections
        self._shipped = shipped
        self._folder = Path(tempfile.mkdtemp(prefix="pf-ray-"))
        self._sent: set[str] = set()

    async def open(self) -> dict[str, Any]:
        """Import the user's code: notes and this process's id, or what is wrong with the flow."""
        try:
            self._job = self._job.model_copy(update={"flow": self._flow(), "folder": str(self._folder)})
            bound = bind(
                flow_of(self._job),
                received(self._connections, provider(settings())),
                overrides=self._job.connections,
            )
        except FlowError as error:
            return {"diagnostics": list(error.diagnostics)}
        except UserError as error:
            return {"message": error.message, "code": error.code, "hint": error.hint}
        self._bound = bound
        self._images = KeptImages(self._folder, bound.flow.message_format)
        Home(bound.folder).__enter__()  # for as long as this process lives
        return {"notes": list(bound.notes), "pid": os.getpid()}

    async def run(self, body: bytes) -> tuple[bytes, dict[str, bytes]]:
        """The record of a line, and the images that came with it."""
        line = Line(**loads(body))
        with within(self._bound.connections):
            result = self._images.keep(await result_of(self._bound, line, self._job))
        return encode(result), self._new_images()

    async def aggregate(self, body: bytes, images: dict[str, bytes]) -> tuple[bytes, dict[str, bytes]]:
        """What came of the aggregation nodes over lines."""
        for name, content in images.items():
            self._image(name).write_bytes(content)
            self._sent.add(name)
        lines = self._images.revived([decode(record) for record in loads(body)])
        result = self._images.kept(await aggregate(self._bound, lines))
        return dumps(result), self._new_images()

    def _flow(self) -> str:
        shipped = self._shipped
        if shipped is None or self._is_here(shipped):
            return self._job.flow
        root = self._folder / _DEEP / shipped.name
        for name, content in shipped.files.items():
            path = Path(os.path.normpath(root / name))
            if not path.is_relative_to(self._folder):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return str(root / shipped.entry)

    def _is_here(self, shipped: Shipped) -> bool:
        try:
            return snapshot.digest(load_flow(self._job.flow)) == shipped.digest
        except (UserError, OSError):
            return False

    def _image(self, name: str) -> Path:
        folder = self._folder / "images"
        folder.mkdir(exist_ok=True)
        return folder / Path(name).name

    def _new_images(self) -> dict[str, bytes]:
        folder = self._folder / "images"
        if not folder.is_dir():
            return {}
        new = [path for path in folder.iterdir() if path.name[0] != "." and path.name not in self._sent]
        self._sent.update(path.name for path in new)
        return {path.name: path.read_bytes() for path in new}
