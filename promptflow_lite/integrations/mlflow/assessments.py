"""What did an evaluation say of each line? Its scores, as assessments on the traces of the run it scored.

The traces belong to the evaluation then, too: MLflow's evaluation page shows them with its scores, and
`mlflow.genai.compare_evaluations` pairs them with those of another run over the same data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Status
from promptflow_lite.integrations.mlflow.facts import asks_models, flow_name, score_of
from promptflow_lite.integrations.mlflow.lines import LINE_TAG
from promptflow_lite.integrations.mlflow.reach import Store
from promptflow_lite.integrations.mlflow.traces import GROUP, Progress, each, found
from promptflow_lite.runs.events import RunEmit
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import key_of, key_text
from promptflow_lite.runs.run import Run

if TYPE_CHECKING:
    from mlflow.entities import Feedback, TraceInfo

__all__ = ["SOURCE_RUN", "Scores"]

_LINKS = 100
"""Traces that one call links to a run."""
SOURCE_RUN = "mlflow.assessment.sourceRunId"
"""What an assessment has of the MLflow run that it was made in."""
_SCORER_TRACE = "mlflow.assessment.scorerTraceId"
_PERSON_TAG = "scored_by"
"""A tag of ours, of an evaluation that only passes on what somebody said: the name of that person."""
_STARTED = "promptflow_lite.started"
"""When the evaluation of the line began: another value is another try."""


class Scores:
    """The scores of one evaluation run, being told.

    Args:
        store: to which store.
        experiment: in which experiment.
        run_id: the evaluation's, in MLflow.
        run: the evaluation.
        records: its journal.
    """

    def __init__(self, store: Store, experiment: str, run_id: str, run: Run, records: Records) -> None:
        self._store = store
        self._experiment = experiment
        self._run_id = run_id
        self._run = run
        self._records = records
        self._person = run.tags.get(_PERSON_TAG)
        self._kind = "HUMAN" if self._person else "LLM_JUDGE" if asks_models(records) else "CODE"

    def tell(self, base: Run, base_id: str, *, scorer_traces: Mapping[str, str], emit: RunEmit) -> None:
        """Attach the scores that are missing; take back those of lines that were scored again.

        Args:
            base: the run that was scored.
            base_id: the same, in MLflow.
            scorer_traces: by line, the trace of the judge's work.
            emit: told how far it is, and where there is nothing to attach scores to.
        """
        infos = {
            info.tags[LINE_TAG]: info
            for info in found(self._store, self._experiment, base, source_run=base_id)
        }
        if not infos:
            text = f"MLflow: no traces of {base.name} to attach scores to; pf run sync {base.name} tells them"
            emit(Log(f"{text}, then  pf run sync {self._run.name}"))
            return
        self._link([info.trace_id for info in infos.values()])
        progress = Progress(emit, len(infos), "lines' scores")

        def attach(record: Mapping[str, Any]) -> None:
            line = key_text(key_of(record))
            if line in infos:
                self._attach(record, infos[line], scorer_traces.get(line))

        records, done = self._records.each(), 0
        while group := list(islice(records, GROUP)):
            for _ in each(attach, group, self._store):
                done += 1
                progress.at(done)

    def _link(self, trace_ids: list[str]) -> None:
        if self._store.is_of_files:  # it keeps no links
            return
        for at in range(0, len(trace_ids), _LINKS):
            self._store.client.link_traces_to_run(trace_ids[at : at + _LINKS], self._run_id)

    def _attach(self, record: Mapping[str, Any], info: TraceInfo, scorer_trace: str | None) -> None:
        from mlflow.tracing.client import TracingClient

        client = TracingClient(self._store.uri)
        mine = [a for a in info.assessments if (a.metadata or {}).get(SOURCE_RUN) == self._run_id]
        before = [a for a in mine if _STARTED in (a.metadata or {})]  # labels of people are not of a try
        started = str(record["started"])
        same = {a.name for a in before if (a.metadata or {}).get(_STARTED) == started}
        for stale in before:
            if (stale.metadata or {}).get(_STARTED) != started:
                client.delete_assessment(info.trace_id, str(stale.assessment_id))
        metadata = {
            SOURCE_RUN: self._run_id,
            _STARTED: started,
            **({_SCORER_TRACE: scorer_trace} if scorer_trace is not None else {}),
        }
        for feedback in self._feedback(record, metadata):
            if feedback.name not in same:
                client.log_assessment(info.trace_id, feedback)

    def _feedback(self, record: Mapping[str, Any], metadata: Mapping[str, str]) -> Iterator[Feedback]:
        """An assessment for each score, named as `as_scorer` names them; one that says why there is none."""
        from mlflow.entities import AssessmentError, AssessmentSource, Feedback

        name = flow_name(self._run)
        told: dict[str, Any] = {
            "source": AssessmentSource(source_type=self._kind, source_id=self._person or name),
            "metadata": dict(metadata),
            "create_time_ms": round((record["started"] + record["seconds"]) * 1000),
        }
        if record["status"] != Status.Completed:
            error = record["error"] or {"code": "unknown", "message": ""}
            yield Feedback(name=name, error=AssessmentError(error["code"], error["message"]), **told)
            return
        outputs = record["outputs"]
        for output, value in outputs.items():
            if (score := score_of(value)) is not None:
                rationale = _rationale(output, value, outputs)
                yield Feedback(name=f"{name}/{output}", value=score, rationale=rationale, **told)


def _rationale(output: str, value: Any, outputs: Mapping[str, Any]) -> str | None:
    """The reason beside a score; of a grade in words, the word."""
    given: Iterable[Any] = (outputs.get(f"{output}_reason"), outputs.get("reason"), value)
    return next((text for text in given if isinstance(text, str) and text), None)
