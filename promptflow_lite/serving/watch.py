"""Did the flow's files change? A look at them twice a second; two looks that agree are a change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from promptflow_lite.errors import UserError
from promptflow_lite.flow.load import load_flow

__all__ = ["Stamps", "changes", "stamps"]

_LOOK_S = 0.5
_SKIPPED = frozenset({"__pycache__", "node_modules", "venv"})
_MOST = 20_000

Stamps = dict[str, tuple[int, int]]


async def changes(source: Path, seen: Stamps) -> AsyncIterator[list[str]]:
    """The names of the files that changed, each time that some did and then rested for a moment.

    Args:
        source: a flow's folder, or its file; what the flow includes from elsewhere is watched too.
        seen: how the files were when the flow was loaded.
    """
    before = seen
    while True:
        await asyncio.sleep(_LOOK_S)
        now = await asyncio.to_thread(stamps, source)
        if now == before and now != seen:
            names = sorted({name for name, _ in seen.items() ^ now.items()})
            seen = now
            yield [os.path.basename(name) for name in names]  # noqa: PTH119  names, not paths
        before = now


def stamps(source: Path) -> Stamps:
    """When each file of the flow was written, and its size."""
    found: Stamps = {}
    for root in _roots(source):
        if root.is_file():
            _note(str(root), found)
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
            for name in files:
                if not name.startswith("."):
                    _note(os.path.join(folder, name), found)  # noqa: PTH118  a fifth of Path
            if len(found) > _MOST:
                break
    return found


def _roots(source: Path) -> list[Path]:
    folder = source if source.is_dir() else source.parent
    try:
        included = load_flow(source).additional_includes
    except UserError:  # half written: its own files are watched, and tell when it is whole
        included = ()
    return [folder, *(folder / name for name in included)]


def _note(path: str, found: Stamps) -> None:
    try:
        stat = os.stat(path)  # noqa: PTH116  a fifth of Path
    except OSError:  # gone since it was listed
        return
    found[path] = (stat.st_mtime_ns, stat.st_size)
