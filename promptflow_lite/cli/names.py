"""Which names can the shell complete? Runs and connections, by looking at their folders."""

from __future__ import annotations

from pathlib import Path

from promptflow_lite.settings import settings

__all__ = ["connection_names", "run_names"]


def run_names(incomplete: str) -> list[str]:
    """Runs whose name starts with `incomplete`, the newest first."""
    found = [
        folder
        for folder in _entries(settings().runs)
        if folder.is_dir() and folder.name.startswith(incomplete)
    ]
    return [folder.name for folder in sorted(found, key=lambda folder: folder.stat().st_mtime, reverse=True)]


def connection_names(incomplete: str) -> list[str]:
    """Connections of files whose name starts with `incomplete`, sorted."""
    found = [file.stem for file in _entries(settings().connections) if file.suffix in (".yaml", ".yml")]
    return sorted(name for name in found if name.startswith(incomplete))


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
