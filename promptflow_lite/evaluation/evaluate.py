"""How good are the answers of a flow over a data set? A run, a run of each evaluator on it, and one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.evaluation import evaluators, summary
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.events import RunEmit, ignore
from promptflow_lite.runs.job import Tracker
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore, default_name

__all__ = ["Evaluation", "evaluate", "resolve"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found."""

    base: Run | None
    """The run that was scored; `None` where the data holds the answers already."""
    runs: Mapping[str, Run]
    """The run of each evaluator, by the name it was given."""
    rows: list[dict[str, Any]]
    """A row a line: `line_number`, then `inputs.*` and `outputs.*` of the base run, then `<evaluator>.*`."""

    @property
    def metrics(self) -> dict[str, Any]:
        """Every metric, as `<evaluator>.<metric>`."""
        return {
            f"{name}.{key}": value for name, run in self.runs.items() for key, value in run.metrics.items()
        }


async def evaluate(
    data: Path,
    scorers: Mapping[str, str | Path],
    *,
    target: Run | None = None,
    column_mapping: Mapping[str, Mapping[str, Any]] | None = None,
    store: RunStore,
    connections: ConnectionProvider,
    trackers: Sequence[Tracker] = (),
    emit: RunEmit = ignore,
) -> Evaluation:
    """Run `target` over the data if there is one, then every evaluator.

    Args:
        data: the data file.
        scorers: a name of your own to an evaluator's name (`qa_text`) or the path of an evaluation flow.
        target: a new run, as `run_batch` takes it; its `data` is set to `data`.
        column_mapping: a scorer's name to its column mapping.
        store: where the runs are kept.
        connections: what the flows may use.
        trackers: told of each run.
        emit: told of each line.

    Raises:
        UserError: the flow, the data, an evaluator or a mapping is wrong; runs that ended before are kept.
    """
    how: dict[str, Any] = {"store": store, "connections": connections, "trackers": trackers, "emit": emit}
    base = await run_batch(target.model_copy(update={"data": str(data)}), **how) if target else None
    mappings = column_mapping or {}
    runs: dict[str, Run] = {}
    for name, scorer in scorers.items():
        flow = resolve(scorer)
        asked = Run(
            name=default_name(flow, f"${{{name}.{name}}}", datetime.now().astimezone()),
            flow=str(flow),
            data=str(data),
            run=base.name if base else None,
            column_mapping=dict(mappings[name]) if name in mappings else None,
        )
        runs[name] = await run_batch(asked, summarize=summary.of, **how)
    return Evaluation(base, runs, _joined(base, runs, store))


def resolve(scorer: str | Path) -> Path:
    """The flow of an evaluator: a path that exists, else the evaluator of that name.

    Raises:
        PluginNotFound: it is neither.
    """
    path = Path(scorer).expanduser()
    return path.absolute() if path.exists() else evaluators.find(str(scorer))


def _joined(base: Run | None, runs: Mapping[str, Run], store: RunStore) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for prefix, run in [*([("", base)] if base else []), *runs.items()]:
        for number, values in _lines(run, prefix, store):
            rows.setdefault(number, {"line_number": number}).update(values)
    return [rows[number] for number in sorted(rows)]


def _lines(run: Run, prefix: str, store: RunStore) -> Iterator[tuple[int, dict[str, Any]]]:
    for record in Records.read(store.folder(run.name) / JOURNAL).each():
        inputs = {} if prefix else {f"inputs.{key}": value for key, value in record["inputs"].items()}
        outputs = {f"{prefix or 'outputs'}.{key}": value for key, value in record["outputs"].items()}
        yield record["line_number"], {**inputs, **outputs}
