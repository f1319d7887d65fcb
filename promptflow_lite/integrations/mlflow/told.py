"""What is MLflow told of a run? Parameters, metrics, the table of lines, the snapshot, and whose score it is.

A Tracker: told after the run is safe in its own folder, so that a server that is away costs the run nothing.
Telling twice changes nothing: the MLflow run of the first time is found again and written over.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import logging
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.refs import Ref
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import dumps
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["MlflowTracker"]

_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Instead of MLflow's 120 s and 7 retries: the run is done, and whoever waits can tell MLflow later."""
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
_NAME_TAG = "promptflow_lite.run"
_PARAMETERS = ("model", "deployment_name", "temperature", "top_p", "max_tokens", "seed", "response_format")
_PARAM_LENGTH = 6000
_METRIC_NAME = re.compile(r"[^\w\-. :/]")


class MlflowTracker:
    """Tells MLflow of runs: the store of `MLFLOW_TRACKING_URI`, else the base run's, else `./mlflow.db`.

    The last is MLflow's own default, so that a plain `mlflow ui` in the same folder opens it.
    """

    def __init__(self) -> None:
        self._default = f"sqlite:///{Path.cwd() / 'mlflow.db'}"

    def tell(self, run: Run, folder: Path, base: Run | None) -> Mapping[str, str]:
        """Log the run; what comes back is kept in `run.tracking`.

        Raises:
            ConnectionError: the store cannot be reached, or refused.
        """
        # Telemetry is decided when mlflow is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with _quiet(), _patience():
            import mlflow
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            is_set = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]  # mlflow's
            uri = mlflow.get_tracking_uri() if is_set else self._default_for(base)
            try:
                with _silent_loggers():
                    return _Told(mlflow.MlflowClient(tracking_uri=uri), uri, run, folder, base).all()
            except (MlflowException, SQLAlchemyError, OSError) as error:
                raise ConnectionError(
                    f"MLflow at {_without_password(uri)} was not told: {_without_password(_reason(error))}"
                ) from error

    def _default_for(self, base: Run | None) -> str:
        return base.tracking.get("mlflow_tracking_uri", self._default) if base is not None else self._default


class _Told:
    """One run, being told to one store."""

    def __init__(self, client: MlflowClient, uri: str, run: Run, folder: Path, base: Run | None) -> None:
        self.client = client
        self.uri = uri
        self.run = run
        self.folder = folder
        same = base is not None and base.tracking.get("mlflow_tracking_uri") == _without_password(uri)
        self.base = base if same else None
        self.records = Records.read(folder / JOURNAL)

    def all(self) -> dict[str, str]:
        experiment = self._experiment()
        run_id = self._run_id(experiment)
        self._log_facts(run_id)
        self._log_data(run_id)
        self._log_files(run_id)
        if self.base is not None and (base_id := self.base.tracking.get("mlflow_run_id")):
            prefix = _flow_name(self.run)
            self._log_metrics(
                base_id, {f"{prefix}.{key}": v for key, v in _numbers(self.run.metrics).items()}
            )
        self.client.set_terminated(run_id, "FINISHED", end_time=round((self.run.ended or 0) * 1000))
        return self._found_again(experiment, run_id)

    def _experiment(self) -> str:
        """The experiment's id: by `MLFLOW_EXPERIMENT_NAME`, else the base run's, else by the flow's name."""
        from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME

        name: str | None = MLFLOW_EXPERIMENT_NAME.get()  # type: ignore[no-untyped-call]  # mlflow's
        if name is None and self.base is not None and "mlflow_experiment_id" in self.base.tracking:
            return self.base.tracking["mlflow_experiment_id"]
        name = name or _flow_name(self.run)
        found = self.client.get_experiment_by_name(name)
        if found is None:
            return self.client.create_experiment(name, artifact_location=_artifacts_of(self.uri, name))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _run_id(self, experiment: str) -> str:
        same = f"tags.`{_NAME_TAG}` = '{self.run.name}' and tags.`{_NAME_TAG}.created` = '{self.run.created}'"
        earlier = self.client.search_runs([experiment], same)
        if earlier:
            return str(earlier[0].info.run_id)
        started = round(self.run.started * 1000)
        name = self.run.display_name or self.run.name
        return str(
            self.client.create_run(
                experiment, start_time=started, tags=self._tags(), run_name=name
            ).info.run_id
        )

    def _tags(self) -> dict[str, str]:
        from mlflow.utils.git_utils import get_git_commit

        run = self.run
        tags = {
            **run.tags,
            _NAME_TAG: run.name,
            f"{_NAME_TAG}.created": str(run.created),
            "promptflow_lite.flow_digest": run.fingerprint.get("flow", ""),
            "mlflow.source.name": run.flow,
            "mlflow.source.type": "LOCAL",
            "mlflow.user": _user(),
            "mlflow.source.git.commit": get_git_commit(run.flow),
            "mlflow.note.content": run.description,
        }
        if run.run is not None:
            tags |= {"mlflow.runType": "genai_evaluate", "promptflow_lite.base": run.run}
            if self.base is not None:
                tags["mlflow.parentRunId"] = self.base.tracking.get("mlflow_run_id")
        return {key: text for key, text in tags.items() if text}

    def _log_facts(self, run_id: str) -> None:
        from mlflow.entities import Param

        params = [Param(key, text[:_PARAM_LENGTH]) for key, text in self._params().items()]
        self.client.log_batch(run_id, params=params)
        self._log_metrics(run_id, {**self._of_the_lines(), **_numbers(self.run.metrics)})

    def _log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = round((self.run.ended or 0) * 1000)
        logged = [Metric(_METRIC_NAME.sub("_", key)[:250], number, now, 0) for key, number in metrics.items()]
        for at in range(0, len(logged), 500):  # a batch takes 1,000 entries
            self.client.log_batch(run_id, metrics=logged[at : at + 500])

    def _params(self) -> dict[str, str]:
        run = self.run
        models = sorted(
            {n["model"] for r in self.records.each() for n in r["node_runs"].values() if n["model"]}
        )
        params = {
            "flow": _flow_name(run),
            "variant": run.variant,
            "column_mapping": json.dumps(run.column_mapping, ensure_ascii=False)
            if run.column_mapping
            else None,
            "data": Path(run.data).name if run.data else None,
            "data_digest": run.fingerprint.get("data"),
            "base_run": run.run,
            "limit": str(run.limit) if run.limit else None,
            **_model_parameters(run),
            "models": ", ".join(models),
        }
        return {key: text for key, text in params.items() if text}

    def _of_the_lines(self) -> dict[str, float]:
        run = self.run
        metrics: dict[str, float] = {
            "lines/completed": run.lines.completed,
            "lines/failed": run.lines.failed,
            "lines/skipped": run.lines.skipped,
            "duration_s": run.seconds,
        }
        taken = sorted(record["seconds"] for record in self.records.each(Status.Completed))
        if taken:
            metrics["latency_s/mean"] = fmean(taken)
            for percent in (50, 90, 99):
                metrics[f"latency_s/p{percent}"] = taken[
                    min(len(taken) - 1, math.ceil(len(taken) * percent / 100) - 1)
                ]
        if run.usage.get("calls"):
            metrics |= {f"usage/{key}": count for key, count in run.usage.items()}
        return metrics

    def _log_data(self, run_id: str) -> None:
        if self.run.data is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        path = Path(self.run.data)
        dataset = Dataset(
            name=path.name,
            digest=self.run.fingerprint.get("data", "")[:32],
            source_type="local",
            source=json.dumps({"uri": str(path)}),
            profile=json.dumps({"num_rows": self.run.lines.total}),
        )
        self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "eval")])])

    def _log_files(self, run_id: str) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            table = Path(temporary, "outputs.json")
            table.write_bytes(dumps(self._table()))
            self.client.log_artifact(run_id, str(table))
        self.client.set_tag(
            run_id, "mlflow.loggedArtifacts", json.dumps([{"path": "outputs.json", "type": "table"}])
        )
        for name in _TOLD_WHOLE:
            path = self.folder / name
            if path.is_file() and path.stat().st_size <= _LARGEST:
                self.client.log_artifact(run_id, str(path), "run")
        if any((self.folder / "snapshot").iterdir()):
            self.client.log_artifacts(run_id, str(self.folder / "snapshot"), "snapshot")

    def _table(self) -> dict[str, list[Any]]:
        """The lines as MLflow keeps tables (pandas' `split`); its `log_table` would append to an old one."""
        inputs: dict[str, None] = {}
        outputs: dict[str, None] = {}
        for record in self.records.each():
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
            for record in self.records.each()
        ]
        return {"columns": columns, "data": rows}

    def _found_again(self, experiment: str, run_id: str) -> dict[str, str]:
        plain = _without_password(self.uri)
        found = {"mlflow_tracking_uri": plain, "mlflow_experiment_id": experiment, "mlflow_run_id": run_id}
        if urlsplit(plain).scheme in ("http", "https"):
            return {**found, "mlflow_url": f"{plain.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"}
        return {**found, "mlflow_open": f"mlflow ui --backend-store-uri {_quoted(plain)}"}


def _flow_name(run: Run) -> str:
    path = Path(run.flow)
    return path.parent.name if path.stem.startswith("flow.") else path.stem


def _model_parameters(run: Run) -> dict[str, str]:
    """What the llm nodes were told, by parameter; by node and parameter where there are several."""
    try:
        nodes = [node for node in load_flow(run.flow).nodes if node.type in ("llm", "prompty")]
    except UserError:  # the flow has gone since; the snapshot has it
        return {}
    found: dict[str, str] = {}
    for node in nodes:
        own = node.inputs
        if node.type == "prompty":
            own = {"model": node.settings.model, **node.settings.parameters}
        inputs = {**own, **run.connections.get(node.name, {})}
        for key in _PARAMETERS:
            if inputs.get(key) is not None and not isinstance(inputs[key], Ref):
                found[f"{node.name}.{key}" if len(nodes) > 1 else key] = str(inputs[key])
    return found


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers among metrics, those of nested mappings as `outer/inner`."""
    found: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            found[f"{prefix}{key}"] = float(value)
    return found


def _artifacts_of(uri: str, experiment: str) -> str | None:
    """Beside a database in another folder; MLflow's own default is the working directory."""
    if not uri.startswith("sqlite:///"):
        return None
    folder = Path(uri.removeprefix("sqlite:///")).parent
    if folder == Path.cwd():
        return None
    return (folder / "mlruns" / re.sub(r"[^\w.-]", "_", experiment)).as_uri()


def _reason(error: Exception) -> str:
    """What matters of an error of MLflow's, which quotes those of three packages below it."""
    text = str(error).strip() or type(error).__name__
    system = re.search(r"\[Errno -?\d+\] ([^\"')]+)", text)
    if system:
        return system.group(1)
    return "no answer in time" if "timed out" in text else text.splitlines()[0][:300]


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w:/.@%+=,-]+", text) else f"'{text}'"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        return ""


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Our limits instead of MLflow's, where the user set none."""
    ours = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What MLflow prints about where runs are, and its warnings about its own insides, are not for people."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _silent_loggers() -> Iterator[None]:
    """What MLflow logs about making its tables is noise here; entered after its import, which sets levels."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3.connectionpool")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
