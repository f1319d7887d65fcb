"""Which files make a flow what it is? Its snapshot in a run's folder, its digest, and what has changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from promptflow_lite.flow.registered import LOCK, Registered, locked, unlock
from promptflow_lite.flow.spec import Flow

__all__ = ["changed", "digest", "files", "take"]

_LARGEST = 10 * 1024 * 1024
_MOST = 1000
_LEFT_OUT = ("__pycache__", "mlruns", "mlartifacts", "node_modules", "mlflow.db", LOCK)
_LEFT_OUT_ENDS = (".index", ".pyc", ".db-wal", ".db-shm", ".env", ".pem", ".key")
_CONNECTION = re.compile(rb"Connection\.schema\.json|^\s*[\"']?(?:api_key|secrets)[\"']?\s*:", re.MULTILINE)
"""What a connection file holds and a flow file does not: connections stay where they are kept."""
_INCLUDED = "includes"


def files(flow: Flow) -> tuple[dict[str, Path], list[str]]:
    """The files of a flow, by their path in a snapshot, and notes on what is left out.

    Left out are hidden files, caches, indexes, files over 10 MB, and whatever holds keys.
    """
    found: dict[str, Path] = {}
    notes: list[str] = []
    own = Path(flow.document.file).absolute()
    for name, path in _candidates(flow):
        if len(found) == _MOST:
            notes.append(f"snapshot: only the first {_MOST} files of {flow.folder}")
            break
        if path.stat().st_size > _LARGEST:
            notes.append(f"snapshot: {name} is left out, it is over 10 MB")
        elif (
            path.suffix in (".yaml", ".yml", ".json")
            and path != own
            and _CONNECTION.search(path.read_bytes())
        ):
            notes.append(f"snapshot: {name} is left out, it looks like a connection")
        else:
            found[name] = path
    return found, notes


def take(flow: Flow, into: Path) -> list[str]:
    """Copy the flow's files to the folder `into`; gives notes on what was left out."""
    found, notes = files(flow)
    for name, path in found.items():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    if flow.prompts:
        into.mkdir(parents=True, exist_ok=True)
        (into / LOCK).write_bytes(locked(flow.prompts))
    return notes


def digest(flow: Flow, *, without: Path | None = None) -> str:
    """The SHA-256 of what a flow is: names and contents of its files.

    Args:
        flow: the flow.
        without: a file that does not count, such as the run's data.
    """
    whole = hashlib.sha256()
    for name, path in files(flow)[0].items():
        if _counts(path) and path != without:
            whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for uri, prompt in sorted(flow.prompts.items()):
        whole.update(f"{uri}\0{hashlib.sha256(prompt.text.encode()).hexdigest()}\n".encode())
        if prompt.parameters:
            whole.update(json.dumps(prompt.parameters, sort_keys=True).encode())
    return whole.hexdigest()


def changed(flow: Flow, snapshot: Path) -> list[str]:
    """The names of the files and of the registered prompts that differ from a snapshot, are new, or gone."""
    now = {name: path for name, path in files(flow)[0].items() if _counts(path)}
    then = {
        str(path.relative_to(snapshot)): path
        for path in snapshot.rglob("*")
        if path.is_file() and _counts(path)
    }
    same = {n for n in now.keys() & then.keys() if now[n].read_bytes() == then[n].read_bytes()}
    before = unlock(snapshot / LOCK)
    prompts = before.keys() | flow.prompts.keys()
    moved = [_moved(uri, before.get(uri), flow.prompts.get(uri)) for uri in sorted(prompts)]
    return sorted((now.keys() | then.keys()) - same) + [text for text in moved if text is not None]


def _moved(uri: str, before: Registered | None, now: Registered | None) -> str | None:
    """In words, how a prompt differs; `None` if it does not."""
    if before is not None and now is not None:
        if before.text != now.text:
            return f"{uri} was {before.uri}, is {now.uri}"
        return None if before.parameters == now.parameters else f"what was registered with {uri} for the call"
    return uri


def _counts(path: Path) -> bool:
    """Whether a file can change what the flow does, rather than tell people about it."""
    return path.name != LOCK and path.stem.upper() not in ("README", "LICENSE", "CHANGELOG", "NOTICE")


def _candidates(flow: Flow) -> Iterator[tuple[str, Path]]:
    for name, path in _walk(flow.folder, ""):
        if flow.document.file or path.suffix == ".py":  # of `module:function` the folder is no flow's own
            yield name, path
    for text in flow.additional_includes:
        path = (flow.folder / text).resolve()
        if path.is_dir():
            yield from _walk(path, f"{_INCLUDED}/{path.name}/")
        elif path.is_file():
            yield f"{_INCLUDED}/{path.name}", path


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_left_out(name))
        for name in sorted(names):
            path = Path(at, name)
            if not _is_left_out(name) and path.is_file():
                yield prefix + path.relative_to(folder).as_posix(), path


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name in _LEFT_OUT or name.endswith(_LEFT_OUT_ENDS)
