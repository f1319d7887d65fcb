"""How is a folder written, so that it is whole or not at all, and nothing of the user's is lost?"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptflow_lite.errors import UserError

__all__ = ["RECORD", "made"]

RECORD = "build.json"
"""What a build says of itself: what it is of, and which files are its own."""


@contextmanager
def made(output: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """A fresh folder, which takes its place at the end; an earlier build there is replaced.

    What others have put beside an earlier build stays.

    Args:
        output: where the build shall be.
        about: what its record says.

    Raises:
        UserError: other files are in the way (`output-exists`).
    """
    _refuse(output, [])
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        yield fresh
        _open(fresh)
        names = sorted(path.name for path in fresh.iterdir())
        _refuse(output, names)
        record = {**about, "files": [*names, RECORD]}
        (fresh / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (fresh / RECORD).chmod(0o644)
        _replace(fresh, output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _open(folder: Path) -> None:
    """Let others read it, whatever the maker's umask: who serves it there is not who owns it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _refuse(output: Path, names: list[str]) -> None:
    if output.exists() and not output.is_dir():
        raise UserError(f"--output: {output} is a file", code="output-exists")
    if not output.is_dir() or not any(output.iterdir()):
        return
    earlier = _files_of(output)
    if earlier is None:
        raise UserError(
            f"--output: {output} holds other files",
            code="output-exists",
            hint="name a new folder, or that of an earlier build, which is replaced",
        )
    others = [name for name in names if name not in earlier and (output / name).exists()]
    if others:
        raise UserError(
            f"--output: {', '.join(others)} in {output} is of no build, and would be written over",
            code="output-exists",
        )


def _files_of(output: Path) -> list[str] | None:
    """The files of the build that is there; `None` where none is."""
    try:
        found = json.loads((output / RECORD).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [name for name in found if isinstance(name, str) and Path(name).name == name and name != ".."]


def _replace(fresh: Path, output: Path) -> None:
    for name in _files_of(output) or ():
        old = output / name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    output.mkdir(exist_ok=True)
    for path in fresh.iterdir():
        path.replace(output / path.name)
