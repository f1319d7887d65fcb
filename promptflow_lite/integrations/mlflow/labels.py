"""What did people say of each line? Their labels, as assessments beside those of the judge.

They have the name of the judge's score, which is how MLflow finds out what a judge and people agree on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptflow_lite.integrations.mlflow.assessments import SOURCE_RUN
from promptflow_lite.integrations.mlflow.reach import Store
from promptflow_lite.runs.store import LABELS

if TYPE_CHECKING:
    from mlflow.entities import Assessment, TraceInfo

__all__ = ["tell_labels"]


def tell_labels(
    store: Store, folder: Path, infos: Mapping[str, TraceInfo], *, judge: str, run_id: str
) -> int:
    """Tell what is kept in a judge's run; a label that has changed takes the place of the old one.

    Args:
        store: to which store.
        folder: the run's.
        infos: by line, the trace that was judged.
        judge: the name of its flow.
        run_id: of the judge's run, in MLflow.

    Returns:
        How many labels MLflow has now.
    """
    from mlflow.tracing.client import TracingClient

    path = folder / LABELS
    if not path.is_file():
        return 0
    kept = json.loads(path.read_bytes())
    client = TracingClient(store.uri)
    count = 0
    for line, said in kept["lines"].items():
        if line not in infos:
            continue
        info = infos[line]
        before = dict(_of_people(info, run_id))
        for person, value in said.items():
            count += 1
            known = before.get(person)
            if known is not None and known.value == value:
                continue
            if known is not None:
                client.delete_assessment(info.trace_id, str(known.assessment_id))
            client.log_assessment(info.trace_id, _label(f"{judge}/{kept['score']}", person, value, run_id))
    return count


def _of_people(info: TraceInfo, run_id: str) -> Iterator[tuple[str, Any]]:
    """By person, what was told before."""
    for one in info.assessments:
        if one.source.source_type == "HUMAN" and (one.metadata or {}).get(SOURCE_RUN) == run_id:
            yield str(one.source.source_id), one


def _label(name: str, person: str, value: Any, run_id: str) -> Assessment:
    from mlflow.entities import AssessmentSource, Feedback

    source = AssessmentSource(source_type="HUMAN", source_id=person)
    return Feedback(name=name, value=value, source=source, metadata={SOURCE_RUN: run_id})
