"""Which files of a run does MLflow keep? The table of its lines, its snapshot, its own records."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from promptflow_lite.integrations.mlflow.reach import Store
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import dumps
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL

__all__ = ["log"]

_TOLD_WHOLE = (
    "run.json",
    "metrics.json",
    "aggregation.json",
    "outputs.jsonl",
    "skipped.json",
    "log.txt",
    JOURNAL,
)
_LARGEST = 10 * 1024 * 1024


def log(store: Store, run_id: str, run: Run, folder: Path, records: Records) -> None:
    """Log the files of a run."""
    client = store.client
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(temporary, "outputs.json")
        table.write_bytes(dumps(_lines(records)))
        client.log_artifact(run_id, str(table))
    client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps([{"path": "outputs.json", "type": "table"}]))
    for name in _TOLD_WHOLE:
        path = folder / name
        if path.is_file() and path.stat().st_size <= _LARGEST:
            client.log_artifact(run_id, str(path), "run")
    snapshot = folder / "snapshot"
    if snapshot.is_dir() and any(snapshot.iterdir()):  # a sweep has none of its own
        client.log_artifacts(run_id, str(snapshot), "snapshot")


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
