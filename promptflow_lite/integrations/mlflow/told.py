"""What is told of one run, and in which order? Its facts first, its traces last: they take longest."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from promptflow_lite.integrations.mlflow import assessments, facts, files, traces
from promptflow_lite.integrations.mlflow.labels import tell_labels
from promptflow_lite.integrations.mlflow.lines import LINE_TAG
from promptflow_lite.integrations.mlflow.reach import Store, patient
from promptflow_lite.integrations.mlflow.verdict import tag_verdict
from promptflow_lite.runs.events import RunEmit
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, LABELS

__all__ = ["NAME_TAG", "Told"]

NAME_TAG = "promptflow_lite.run"
"""The tag of an MLflow run that names ours."""
_BATCH = 500
"""Metrics a call: a batch takes 1,000 entries."""
_METRIC_NAME = re.compile(r"[^\w\-. :/]")


class Told:
    """One run, being told to one store.

    Args:
        store: which.
        run: of what.
        folder: the run's.
        base: the run that it builds on.
        parent: the sweep that it belongs to.
        traces: how many lines get a trace at most.
        emit: told how far it is.
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        folder: Path,
        base: Run | None,
        *,
        parent: Run | None,
        traces: int,
        emit: RunEmit,
    ) -> None:
        self._store = store
        self._client = store.client
        self._run = run
        self._folder = folder
        self._base = _known(base, store)
        self._parent = _known(parent, store)
        self._traces = traces
        self._emit = emit
        self._records = Records.read(folder / JOURNAL)
        self._flow = facts.flow_of(run, folder)

    def all(self) -> dict[str, str]:
        """Tell everything; what the run shall remember of it."""
        experiment = self._experiment()
        with patient():
            run_id = self._run_id(experiment)
            self._log_facts(run_id)
            self._log_data(run_id)
            files.log(self._store, run_id, self._run, self._folder, self._records, self._emit)
            if self._base_id is not None:
                prefix = facts.flow_name(self._run)
                self._log_metrics(
                    self._base_id,
                    {f"{prefix}.{key}": v for key, v in facts.numbers(self._run.metrics).items()},
                )
            tag_verdict(self._store, run_id, self._folder)
            self._client.set_terminated(run_id, "FINISHED", end_time=round((self._run.ended or 0) * 1000))
            self._tell_lines(experiment, run_id)
            self.labels(experiment, run_id)
        return self._found_again(experiment, run_id)

    @property
    def _base_id(self) -> str | None:
        return self._base.tracking["mlflow_run_id"] if self._base is not None else None

    @property
    def _is_evaluation(self) -> bool:
        return facts.is_evaluation(self._run, self._flow)

    def _experiment(self) -> str:
        """The experiment's id: by `MLFLOW_EXPERIMENT_NAME`, else the base run's, else by the flow's name."""
        from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME

        name: str | None = MLFLOW_EXPERIMENT_NAME.get()  # type: ignore[no-untyped-call]  # mlflow's
        kin = self._base or self._parent
        if name is None and kin is not None:
            return kin.tracking["mlflow_experiment_id"]
        name = name or facts.flow_name(self._run)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return self._client.create_experiment(
                name, artifact_location=_artifacts_of(self._store.uri, name)
            )
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _run_id(self, experiment: str) -> str:
        run = self._run
        same = f"tags.`{NAME_TAG}` = '{run.name}' and tags.`{NAME_TAG}.created` = '{run.created}'"
        earlier = self._client.search_runs([experiment], same)
        if earlier:
            return str(earlier[0].info.run_id)
        made = self._client.create_run(
            experiment,
            start_time=round(run.started * 1000),
            tags=self._tags(),
            run_name=run.display_name or run.name,
        )
        return str(made.info.run_id)

    def _tags(self) -> dict[str, str]:
        from mlflow.utils.git_utils import get_git_commit

        run = self._run
        tags: dict[str, str | None] = {
            **run.tags,
            **facts.linked_prompts(run),
            NAME_TAG: run.name,
            f"{NAME_TAG}.created": str(run.created),
            "promptflow_lite.flow_digest": run.fingerprint.get("flow", ""),
            "mlflow.source.name": run.flow,
            "mlflow.source.type": "LOCAL",
            "mlflow.user": _user(),
            "mlflow.source.git.commit": get_git_commit(run.flow),
            "mlflow.note.content": run.description,
        }
        if (kin := self._base or self._parent) is not None:
            tags["mlflow.parentRunId"] = kin.tracking["mlflow_run_id"]
        tags |= {"promptflow_lite.base": run.run, "promptflow_lite.sweep": run.parent}
        if self._is_evaluation:
            tags["mlflow.runType"] = "genai_evaluate"
        return {key: text for key, text in tags.items() if text}

    def _log_facts(self, run_id: str) -> None:
        from mlflow.entities import Param

        params = facts.params(self._run, self._flow, self._records)
        self._client.log_batch(run_id, params=[Param(key, text) for key, text in params.items()])
        self._log_metrics(
            run_id,
            {
                **facts.of_the_lines(self._run, self._records),
                **(facts.aggregates(self._records) if self._is_evaluation else {}),
                **facts.numbers(self._run.metrics),
            },
        )

    def _log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = round((self._run.ended or 0) * 1000)
        logged = [
            Metric(_METRIC_NAME.sub("_", self._metric(key, metrics))[:250], number, now, 0)
            for key, number in metrics.items()
        ]
        for at in range(0, len(logged), _BATCH):
            self._client.log_batch(run_id, metrics=logged[at : at + _BATCH])

    def _metric(self, key: str, metrics: Mapping[str, float]) -> str:
        """Its name: a store of files cannot keep both `f1` and `f1/mean`, a file and a folder of one name."""
        outer, _, inner = key.rpartition("/")
        return f"{outer}.{inner}" if outer in metrics and self._store.is_of_files else key

    def _log_data(self, run_id: str) -> None:
        if self._run.data is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        path = Path(self._run.data)
        dataset = Dataset(
            name=path.name,
            digest=self._run.fingerprint.get("data", "")[:32],
            source_type="local",
            source=json.dumps({"uri": str(path)}),
            profile=json.dumps({"num_rows": self._run.lines.total}),
        )
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "eval")])])

    def _tell_lines(self, experiment: str, run_id: str) -> None:
        """The traces of the lines; of an evaluation, what each line scored, on the traces of its base."""
        if self._run.children:  # a sweep has none of its own
            return
        told = traces.Traces(
            self._store,
            experiment,
            self._run,
            self._flow,
            self._folder,
            source_run=None if self._is_evaluation else run_id,
        )
        if not self._is_evaluation or facts.asks_models(self._records):
            told.tell(self._records, limit=self._traces, emit=self._emit)
        if self._is_evaluation and self._base_id is not None and self._base is not None and self._traces:
            assessments.Scores(self._store, experiment, run_id, self._run, self._records).tell(
                self._base, self._base_id, scorer_traces=told.ids, emit=self._emit
            )

    def labels(self, experiment: str, run_id: str) -> int:
        """Tell what people said of the lines that were judged; how much that is.

        Args:
            experiment: where the run was told.
            run_id: the run's, in MLflow.
        """
        if not (self._folder / LABELS).is_file():
            return 0
        is_own = not self._is_evaluation or self._base is None
        judged, source = (self._run, run_id) if is_own else (self._base or self._run, self._base_id)
        found = traces.found(self._store, experiment, judged, source_run=source)
        infos = {info.tags[LINE_TAG]: info for info in found}
        name = facts.flow_name(self._run)
        return tell_labels(self._store, self._folder, infos, judge=name, run_id=run_id)

    def _found_again(self, experiment: str, run_id: str) -> dict[str, str]:
        plain = self._store.shown
        found = {"mlflow_tracking_uri": plain, "mlflow_experiment_id": experiment, "mlflow_run_id": run_id}
        if urlsplit(plain).scheme in ("http", "https"):
            return {**found, "mlflow_url": f"{plain.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"}
        return {**found, "mlflow_open": f"mlflow ui --backend-store-uri {_quoted(plain)}"}


def _known(kin: Run | None, store: Store) -> Run | None:
    """A run that this store was told of."""
    told = kin.tracking if kin is not None else {}
    return kin if "mlflow_run_id" in told and told["mlflow_tracking_uri"] == store.shown else None


def _artifacts_of(uri: str, experiment: str) -> str | None:
    """Beside a database in another folder; MLflow's own default is the working directory."""
    if not uri.startswith("sqlite:///"):
        return None
    folder = Path(uri.removeprefix("sqlite:///")).parent
    if folder == Path.cwd():
        return None
    return (folder / "mlruns" / re.sub(r"[^\w.-]", "_", experiment)).as_uri()


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w:/.@%+=,-]+", text) else f"'{text}'"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        return ""
