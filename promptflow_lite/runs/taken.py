"""How is a run taken over that was made elsewhere? Its folder is copied, Prompt flow's is read.

Prompt flow: `.runs/<name>` holds `flow_artifacts/` (a record a line), `inputs.jsonl`, `metrics.json` and the
flow's snapshot (flow-language 6.4). Of these a journal is made, so that the run can be looked at, scored and
compared as any other.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from promptflow_lite.engine.results import Failure, LineResult, Status
from promptflow_lite.errors import InputError
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import encode, loads
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.store import JOURNAL, RunStore, write, write_json, write_outputs

__all__ = ["take_over"]


def take_over(source: Path, store: RunStore, *, name: str | None = None, **about: Any) -> Run:
    """The run in the folder `source`, kept in `store`.

    Args:
        source: a run's folder, of this house or of Prompt flow.
        store: where it shall be.
        name: its name there; `None` keeps the folder's.
        about: `display_name`, `description`, `tags`, where they shall be others.

    Raises:
        InputError: the folder holds no run (`no-run`), or the name is taken (`run-exists`).
    """
    try:
        return _taken(source.expanduser().resolve(), store, name, about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{source}: what is there is no run that can be read: {error}", code="no-run"
        ) from error


def _taken(source: Path, store: RunStore, name: str | None, about: dict[str, Any]) -> Run:
    ours = source / "run.json"
    changes = {
        key: value for key, value in {**about, "name": name or source.name}.items() if value is not None
    }
    if ours.is_file():
        run = Run.model_validate_json(ours.read_bytes()).model_copy(update=changes)
        folder = store.create(run)
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("lock", "run.json"))
        store.save(run)
        return run
    if not (source / "flow_artifacts").is_dir():
        raise InputError(
            f"{source} holds no run",
            code="no-run",
            hint="a folder of $PF_HOME/runs, or of Prompt flow's ~/.promptflow/.runs",
        )
    return _of_prompt_flow(source, store, changes)


def _of_prompt_flow(source: Path, store: RunStore, changes: dict[str, Any]) -> Run:
    lines = sorted(_lines(source), key=lambda line: line.line_number or 0)
    failed = sum(line.status is not Status.Completed for line in lines)
    metrics = loads((source / "metrics.json").read_bytes()) if (source / "metrics.json").is_file() else {}
    started = min((line.started for line in lines if line.started), default=time.time())
    ended = max((line.started + line.seconds for line in lines), default=started)
    fields = {
        "flow": str(source / "snapshot"),
        "status": Status.Completed,
        "created": started,
        "started": started,
        "ended": ended,
        "seconds": ended - started,
        "lines": LineCounts(total=len(lines), completed=len(lines) - failed, failed=failed),
        "failures": {"node-error": failed} if failed else {},
        "metrics": metrics,
        "usage": _usage(lines),
        "properties": {"taken_from": str(source)},
    }
    run = Run(**{**fields, **changes})
    folder = store.create(run)
    snapshot = source / "snapshot"
    if snapshot.is_dir():
        shutil.copytree(snapshot, folder / "snapshot", dirs_exist_ok=True)
        run = run.model_copy(update={"flow": str(folder / "snapshot")})
    write(folder / JOURNAL, b"".join(encode(line) for line in lines))
    write_json(folder / "metrics.json", metrics)
    records = Records.read(folder / JOURNAL)
    write_outputs(folder, records, set(records.keys()))
    store.save(run)
    return run


def _lines(source: Path) -> Iterator[LineResult]:
    for file in sorted((source / "flow_artifacts").glob("*.jsonl")):
        for text in file.read_bytes().splitlines():
            if text.strip():
                record = loads(text)
                yield _line(record["line_number"], record["run_info"])


def _line(number: int, info: dict[str, Any]) -> LineResult:
    status = Status.Completed if info["status"] == "Completed" else Status.Failed
    error = info.get("error") or {}
    spent = info.get("system_metrics") or {}
    result = LineResult(
        line_number=number,
        status=status,
        inputs={key: value for key, value in (info.get("inputs") or {}).items() if key != "line_number"},
        outputs=info.get("output") or {},
        error=None if status is Status.Completed else Failure("node-error", str(error.get("message", ""))),
        started=_seconds(info.get("start_time")),
        seconds=float(spent.get("duration") or 0),
    )
    result.usage.prompt_tokens = int(spent.get("prompt_tokens") or 0)
    result.usage.completion_tokens = int(spent.get("completion_tokens") or 0)
    return result


def _usage(lines: list[LineResult]) -> dict[str, int]:
    prompt = sum(line.usage.prompt_tokens for line in lines)
    completion = sum(line.usage.completion_tokens for line in lines)
    total = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return total if prompt + completion else {}


def _seconds(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
