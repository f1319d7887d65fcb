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
_WATCHED = (".py", ".yaml", ".yml", ".jinja2", ".jinja", ".j2", ".prompty", ".env", "samples.json")
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
    """When each file of the flow was written, and its size: its code, YAML and prompts.

    Other files are left out: a flow may well write into its own folder while it runs.
    """
    found: Stamps = {}
    roots, named = _parts(source)
    for root in roots:
        if root.is_file():
            _note(str(root), found)
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
            for name in files:
                if name in named or name.endswith(_WATCHED):
                    _note(os.path.join(folder, name), found)  # noqa: PTH118  a fifth of Path
            if len(found) > _MOST:
                break
    return found


def _parts(source: Path) -> tuple[list[Path], set[str]]:
    """Where the flow's files are, and the names of those that its nodes name."""
    folder = source if source.is_dir() else source.parent
    try:
        flow = load_flow(source)
    except UserError:  # half written: what is there is watched, and tells when it is whole
        return [folder], set()
    paths = [node.source.path for node in flow.nodes if node.source is not None and node.source.path]
    return [folder, *(folder / name for name in flow.additional_includes)], {
        Path(path).name for path in paths
    }


def _note(path: str, found: Stamps) -> None:
    try:
        stat = os.stat(path)  # noqa: PTH116  a fifth of Path
    except OSError:  # gone since it was listed
        return
    found[path] = (stat.st_mtime_ns, stat.st_size)
