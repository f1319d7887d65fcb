"""Which files of a run does MLflow keep? Tables, pictures, the report, the snapshot, our own records."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from promptflow_lite.engine.events import Log
from promptflow_lite.errors import PromptflowError
from promptflow_lite.evaluation.report import write_report
from promptflow_lite.integrations.mlflow import confusion
from promptflow_lite.integrations.mlflow.reach import Store
from promptflow_lite.runs.events import RunEmit
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import dumps
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import GATE, JOURNAL, RunStore

__all__ = ["log"]

_TOLD_WHOLE = (
    "run.json",
    "metrics.json",
    "aggregation.json",
    "outputs.jsonl",
    "skipped.json",
    "log.txt",
    GATE,
    JOURNAL,
)
_LARGEST = 10 * 1024 * 1024


def log(store: Store, run_id: str, run: Run, folder: Path, records: Records, emit: RunEmit) -> None:
    """Log the files of a run; `emit` is told of a report that could not be written."""
    client = store.client
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        listed = _tables(run, records, made)
        for name, matrix in confusion.matrices(run.metrics).items():
            if confusion.draw(matrix, made / f"{_plain(name)}.svg", title=f"{name} of {run.name}"):
                listed.append({"path": f"{_plain(name)}.svg", "type": "image"})
        if records.entries:
            _report(run, folder, made / "report.html", emit)
        client.log_artifacts(run_id, str(made))
    client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps(listed))
    for name in _TOLD_WHOLE:
        path = folder / name
        if path.is_file() and path.stat().st_size <= _LARGEST:
            client.log_artifact(run_id, str(path), "run")
    snapshot = folder / "snapshot"
    if snapshot.is_dir() and any(snapshot.iterdir()):  # a sweep has none of its own
        client.log_artifacts(run_id, str(snapshot), "snapshot")


def _tables(run: Run, records: Records, into: Path) -> list[dict[str, str]]:
    """Write the tables; how MLflow lists them."""
    tables = {"outputs.json": _lines(records)} if records.entries else {}
    for name, matrix in confusion.matrices(run.metrics).items():
        tables[f"{_plain(name)}.json"] = confusion.table(matrix)
    for name, table in tables.items():
        (into / name).write_bytes(dumps(table))
    return [{"path": name, "type": "table"} for name in tables]


def _report(run: Run, folder: Path, path: Path, emit: RunEmit) -> None:
    """The page of the run; of an evaluation, that of the run that it scored, with the scores."""
    store = RunStore(folder.parent)
    name = run.run if run.run is not None and run.run in store.names() else run.name
    try:
        write_report(store, [name], path)
    except (PromptflowError, OSError) as error:
        emit(Log(f"MLflow: the report of {run.name} is left out: {error}", "warning"))


def _plain(name: str) -> str:
    """A metric's name as a file's."""
    return re.sub(r"[^\w.-]", "_", name)


def _lines(records: Records) -> dict[str, list[Any]]:
    """The lines as MLflow keeps tables (pandas' `split`); its `log_table` would append to an old one."""
    inputs: dict[str, None] = {}
    outputs: dict[str, None] = {}
    for record in records.each():
        inputs |= dict.fromkeys(record["inputs"])
        outputs |= dict.fromkeys(record["outputs"])
    columns = [
        "line_number",
        "status",
        *(f"inputs.{k}" for k in inputs),
        *(f"outputs.{k}" for k in outputs),
        "error",
    ]
    rows = [
        [
            record["line_number"],
            record["status"],
            *(record["inputs"].get(key) for key in inputs),
            *(record["outputs"].get(key) for key in outputs),
            f"{record['error']['code']}: {record['error']['message']}" if record["error"] else None,
        ]
        for record in records.each()
    ]
    return {"columns": columns, "data": rows}
