"""What did a gate say of a run? Its verdict, as tags that MLflow can search for."""

from __future__ import annotations

import json
from pathlib import Path

from promptflow_lite.integrations.mlflow.reach import Store
from promptflow_lite.runs.store import GATE

__all__ = ["tag_verdict"]

_TAG = "promptflow_lite.gate"
_LONGEST = 5000
"""Characters of a tag's value that every store takes."""


def tag_verdict(store: Store, run_id: str, folder: Path) -> None:
    """Tag an MLflow run with what the last gate said of it: nothing, if none did."""
    path = folder / GATE
    if not path.is_file():
        return
    found = json.loads(path.read_bytes())
    rules = [f"{rule['outcome']}: {rule['rule']}: {rule['why']}" for rule in found["rules"]]
    tags = {
        _TAG: found["outcome"],
        f"{_TAG}.baseline": found["baseline"],
        f"{_TAG}.rules": "\n".join(rules)[:_LONGEST],
    }
    for key, text in tags.items():
        store.client.set_tag(run_id, key, text)
