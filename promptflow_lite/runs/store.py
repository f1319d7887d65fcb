"""Where are runs kept? A folder each under `$PF_HOME/runs`: run.json, snapshot/, lines.jsonl and results.

No database, no service: a run is read with any tool and copied with any other.
"""

from __future__ import annotations

import re
import shutil
import time
import unicodedata
from collections.abc import Callable, Container
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError, RunNotFound, UserError, near_miss
from promptflow_lite.runs import lock
from promptflow_lite.runs.disk import DISK, Disk
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import Key, dumps, key_of, pretty
from promptflow_lite.runs.run import LineCounts, Run

__all__ = [
    "GATE",
    "IN_FLIGHT",
    "JOURNAL",
    "LABELS",
    "RunStore",
    "check_name",
    "copy_completed",
    "default_name",
    "write_json",
    "write_outputs",
]

JOURNAL = "lines.jsonl"
IN_FLIGHT = "in-flight"
"""Marks of the lines that are under way; gone when the run ends in an orderly way."""
GATE = "gate.json"
"""What a gate said of the run, the last time that one was asked."""
LABELS = "labels.json"
"""What people said of the lines of a judge's run, the last time that it was held against them."""
_FILES = (".yaml", ".yml", ".prompty")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_name(name: str) -> str:
    """`name`, if a run may have it.

    Raises:
        InputError: it is no run name (code `bad-name`).
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"no run can be named {name!r}: at most 128 letters, digits, '_', '-' and '.'; no sign first",
            code="bad-name",
        )
    return name


def default_name(flow: Path, variant: str | None, now: datetime) -> str:
    """Prompt flow's default: `{flow folder}_{variant}_{time}`, in letters, digits and `_`.

    Flex flows and prompty files have no variants: theirs is `{flow folder}_{time}`.

    >>> default_name(Path("flows/web"), "${summarize.variant_1}", datetime(2026, 1, 2, 3, 4, 5, 6))
    'web_variant_1_20260102_030405_000006'
    """
    is_entry = ":" in flow.name
    folder = flow.parent if is_entry or flow.suffix in _FILES else flow
    stem = _plain(folder.absolute().name)[:64].rstrip("_") or "flow"
    if is_entry or flow.suffix == ".prompty" or _is_flex(flow):
        return f"{stem}_{now:%Y%m%d_%H%M%S_%f}"
    chosen = (variant or "").strip("${}").rpartition(".")[2]
    return f"{stem}_{_plain(chosen)[:24].strip('_') or 'variant_0'}_{now:%Y%m%d_%H%M%S_%f}"


def _is_flex(flow: Path) -> bool:
    folder, named = (flow.parent, flow.name) if flow.suffix in _FILES else (flow, "")
    with suppress(OSError):
        return ".flex." in named or (not named and any(folder.glob("flow.flex.y*ml")))
    return False


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", unicodedata.normalize("NFKC", text)).strip("_")


class RunStore:
    """The runs under a folder.

    Args:
        root: the folder.
        elsewhere: where a new run of a flow is kept instead, if anywhere; the root gets a link to it.
        disk: what runs are written to.
    """

    def __init__(
        self,
        root: Path,
        *,
        elsewhere: Callable[[Path], Path | None] | None = None,
        disk: Disk = DISK,
    ) -> None:
        self.root = root.absolute()
        self._elsewhere = elsewhere
        self.disk = disk

    def names(self) -> list[str]:
        """The names of all runs, sorted."""
        return sorted(path.parent.name for path in self.root.glob("*/run.json"))

    def folder(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            RunNotFound: no run has that name.
        """
        folder = self.root / name
        if not _NAME.fullmatch(name) or not (folder / "run.json").is_file():
            names = self.names()
            hint = near_miss(name, names) or (
                "pf run list  shows them" if names else "pf run create  makes one"
            )
            raise RunNotFound(name, names[-8:], hint=hint)
        return folder

    def create(self, run: Run) -> Path:
        """A new folder for `run`.

        Raises:
            InputError: the name is no name (`bad-name`), or taken (`run-exists`).
        """
        folder = self.root / check_name(run.name)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        away = self._elsewhere(Path(run.flow)) if self._elsewhere is not None else None
        try:
            if away is None:
                folder.mkdir(mode=0o700)
            else:
                (away / run.name).mkdir(parents=True, mode=0o700)
                folder.symlink_to(away / run.name, target_is_directory=True)
        except FileExistsError:
            raise InputError(
                f"a run named {run.name!r} exists",
                code="run-exists",
                hint=f"pf run resume {run.name}  goes on with it; or choose another --name",
            ) from None
        try:
            self.disk.sync_folder(folder.resolve().parent)
            self.save(run)
        except OSError:  # a folder without a run would only take the name
            with suppress(OSError):
                shutil.rmtree(folder.resolve())
                folder.unlink(missing_ok=True)
            raise
        return folder

    def save(self, run: Run) -> None:
        """Write `run.json`: the old one or the new one is there at any instant."""
        content = run.model_dump_json(indent=2).encode() + b"\n"
        self.disk.write_file(self.root / run.name / "run.json", [content])

    def load(self, name: str) -> Run:
        """A run as it is; one whose process is gone is Failed (`interrupted`), with what its journal holds.

        Raises:
            RunNotFound: no run has that name.
            UserError: its `run.json` cannot be read (code `run-broken`).
        """
        folder = self.folder(name)
        try:
            run = Run.model_validate_json((folder / "run.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise UserError(f"{folder / 'run.json'} cannot be read: {error}", code="run-broken") from error
        if run.status is not Status.Running:
            return run
        if lock.holder(folder) is not None:
            return run.model_copy(update={"lines": _counts(run, folder)})
        run = Run.model_validate_json((folder / "run.json").read_bytes())  # it may have ended just now
        return _interrupted(run, folder) if run.status is Status.Running else run

    def all(self) -> tuple[list[Run], list[str]]:
        """Every run, the newest first, and complaints about those that cannot be read."""
        runs: list[Run] = []
        complaints: list[str] = []
        for name in self.names():
            try:
                runs.append(self.load(name))
            except UserError as error:
                complaints.append(str(error))
        return sorted(runs, key=lambda run: run.created, reverse=True), complaints

    def delete(self, name: str) -> None:
        """Remove a run's folder.

        Raises:
            RunNotFound: no run has that name.
            UserError: a process executes it (code `run-busy`).
        """
        folder = self.folder(name)
        with lock.hold(folder):
            gone = folder.with_name(f".{name}.{time.time_ns()}")
            folder.rename(gone)
        if gone.is_symlink():
            shutil.rmtree(gone.resolve(), ignore_errors=True)
            gone.unlink()
        else:
            shutil.rmtree(gone)


def _counts(run: Run, folder: Path) -> LineCounts:
    """What the journal holds by now; `run.json` is written at the beginning and at the end."""
    records = Records.read(folder / JOURNAL)
    completed, failed = len(records.keys(Status.Completed)), len(records.keys(Status.Failed))
    return run.lines.model_copy(update={"completed": completed, "failed": failed})


def _interrupted(run: Run, folder: Path) -> Run:
    error = {
        "code": "interrupted",
        "message": f"the process {run.pid} that executed it is gone; pf run resume {run.name}  goes on",
    }
    return run.model_copy(
        update={"status": Status.Failed, "error": error, "lines": _counts(run, folder), "pid": None}
    )


def write(path: Path, content: bytes, disk: Disk = DISK) -> None:
    """Replace a file in one step, safely on the disk."""
    disk.write_file(path, [content])


def write_json(path: Path, value: Any, disk: Disk = DISK) -> None:
    """Replace a JSON file in one step."""
    disk.write_file(path, [pretty(value)])


def write_outputs(folder: Path, records: Records, keys: Container[Key], disk: Disk = DISK) -> None:
    """Write `outputs.jsonl`: the outputs of the completed lines among `keys`, in order of line number."""
    repeated = records.are_repeated

    def outputs(record: dict[str, Any]) -> bytes:
        number, repeat = key_of(record)
        which = {"line_number": number, "repeat": repeat} if repeated else {"line_number": number}
        return dumps({**which, **record["outputs"]}) + b"\n"

    completed = records.each(Status.Completed)
    disk.write_file(folder / "outputs.jsonl", (outputs(r) for r in completed if key_of(r) in keys))


def copy_completed(source: Path, target: Path, disk: Disk = DISK) -> None:
    """Begin the journal of the folder `target` with the completed lines of `source`."""
    disk.write_file(target / JOURNAL, Records.read(source / JOURNAL).raw(Status.Completed))
    with suppress(FileNotFoundError):  # what that run's process died of, this one shall not run into
        shutil.copyfile(source / IN_FLIGHT, target / IN_FLIGHT)
