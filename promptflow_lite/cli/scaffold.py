"""What does a new flow start from? The templates, copied into a folder."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from promptflow_lite.errors import UserError

__all__ = ["TEMPLATES", "create"]

TEMPLATES = ("standard", "chat", "evaluation")


def create(folder: Path, template: str, *, overwrite: bool) -> list[Path]:
    """Write the files of `template` into `folder`; returns them.

    Raises:
        UserError: `folder` has files and `overwrite` is not set, or it is a file.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file", code="not-a-folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(
            f"{folder} has files already",
            hint="--yes writes the template's files over them",
            code="folder-not-empty",
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with as_file(files("promptflow_lite.cli") / "templates" / template) as source:
        for file in sorted(path for path in source.iterdir() if path.is_file()):
            target = folder / file.name
            target.write_bytes(file.read_bytes())
            written.append(target)
    return written
