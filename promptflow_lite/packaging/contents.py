"""Which files does a flow need elsewhere? Its folder and what it includes, in their places; no secrets."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from promptflow_lite.errors import FlowError, UserError
from promptflow_lite.flow.includes import check_includes
from promptflow_lite.flow.spec import Flow

__all__ = ["Copied", "copy"]

_LEFT_OUT = frozenset({"__pycache__", "mlruns", "mlartifacts", "mlflow.db", "node_modules", "venv"})
_WITH_SECRETS = (".env", ".pem", ".key", ".pfx", ".p12")
_CONNECTION = re.compile(rb"Connection\.schema\.json|^\s*[\"']?(?:api_key|secrets)[\"']?\s*:", re.MULTILINE)
_LARGEST_CONNECTION = 64 * 1024


class Copied(NamedTuple):
    """A flow's files in another place."""

    source: str
    """The flow's own file, from the folder that they were copied to."""
    notes: list[str]
    """For people: what was left out, and what came from elsewhere."""


def copy(flow: Flow, into: Path, *, besides: Path | None = None) -> Copied:
    """Copy a flow, so that it can be loaded from there.

    Hidden files, caches and what holds secrets are left out. Symbolic links are followed: where one leads out
    of the folder is the author's choice, and said.

    Args:
        flow: any flow that has a file.
        into: a new folder.
        besides: a folder that is left out, such as the one that is being made.

    Raises:
        FlowError: an include is not there.
        UserError: the flow is an entry of an installed package, and has no folder.
    """
    own = Path(flow.document.file).absolute()
    if not flow.document.file or not own.is_file():
        raise UserError(
            f"{flow.document.file or flow.name!r} has no folder that could be packed",
            hint="pf flow save --entry MODULE:NAME --path DIR  makes a flow's folder of it",
            code="not-supported",
        )
    missing = check_includes(flow)
    if missing:
        raise FlowError(missing)
    parts = [flow.folder.resolve(), *_included(flow)]
    root = Path(os.path.commonpath([part if part.is_dir() else part.parent for part in parts]))
    notes: list[str] = []
    for part in parts:
        for path in _files(part, besides):
            name = path.relative_to(root).as_posix()
            why = _why_not(path, is_own=path == own.resolve())
            if why is not None:
                notes.append(f"{name} is left out: {why}")
                continue
            if not path.resolve().is_relative_to(part):
                notes.append(f"{name} leads to {path.resolve()}: what is there now goes along")
            target = into / root.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    return Copied(PurePosixPath(root.name, own.resolve().relative_to(root)).as_posix(), notes)


def _included(flow: Flow) -> list[Path]:
    """What it includes; `x.zip` stands for the folder `x` where there is no such file."""
    found = [(flow.folder / text).resolve() for text in flow.additional_includes]
    return [path if path.exists() else path.with_suffix("") for path in found]


def _files(part: Path, besides: Path | None) -> Iterator[Path]:
    if part.is_file():
        yield part
        return
    for at, folders, names in os.walk(part, followlinks=False):
        here = Path(at)
        folders[:] = sorted(n for n in folders if not _is_passed_over(n) and here / n != besides)
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in linked:
            yield from (path for path in _under(here / name))
        for name in sorted(names):
            path = here / name
            if path.is_file() and not (_is_passed_over(name) and not name.endswith(_WITH_SECRETS)):
                yield path


def _under(linked: Path) -> Iterator[Path]:
    """The files of a folder that a link leads to; links inside it are not followed."""
    for at, folders, names in os.walk(linked):
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        yield from (Path(at, name) for name in sorted(names) if not _is_passed_over(name))


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name in _LEFT_OUT or name.endswith((".pyc", ".db-wal", ".db-shm"))


def _why_not(path: Path, *, is_own: bool) -> str | None:
    if path.name.endswith(_WITH_SECRETS):
        return "files of its kind hold secrets"
    is_small = path.stat().st_size <= _LARGEST_CONNECTION
    if (
        not is_own
        and is_small
        and path.suffix in (".yaml", ".yml", ".json")
        and _CONNECTION.search(path.read_bytes())
    ):
        return "it looks like a connection"
    return None
