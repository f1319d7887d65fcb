"""How does Python code score a flow? `evaluate`: a base run, a run an evaluator, one table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptflow_lite.api.callables import entry_of
from promptflow_lite.api.finished import FinishedRun, flat, frame
from promptflow_lite.api.runs import Data, flow_path, run
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.evaluation import evaluators as shipped
from promptflow_lite.evaluation.summary import means
from promptflow_lite.flow.conversation import TURNS
from promptflow_lite.flow.load import load_flow
from promptflow_lite.runs.turns import PARTS

__all__ = ["Evaluation", "evaluate"]

Evaluator = str | Path | Callable[..., Any]
"""A shipped evaluator's name, a flow's path, a function, or an object with `__call__`."""

SCORE = "score"
"""What the value is called that a function gives as it is, and not in a mapping."""
_PLAIN = "output"
"""What a flow of a function calls it."""

TARGET = "target"
"""The name of the base run's own column mapping."""


@dataclass(frozen=True)
class Evaluation:
    """What a flow, or data as it is, scored."""

    metrics: dict[str, Any]
    """`<evaluator>.<metric>`."""
    rows: list[dict[str, Any]]
    """One mapping a line: `line_number`, `inputs.*`, the target's `outputs.*` and `status`, and
    `<evaluator>.<output>`, `None` for a line that was not scored."""
    runs: dict[str, FinishedRun]
    """The runs, by evaluator; the base run is `target`."""

    def to_pandas(self) -> Any:
        """The rows as a pandas `DataFrame`, by `line_number`."""
        return frame(self.rows)


def evaluate(
    data: Data,
    evaluators: Mapping[str, Evaluator] | Sequence[str],
    *,
    target: str | Path | None = None,
    column_mapping: Mapping[str, Mapping[str, Any]] | None = None,
    variant: str | None = None,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    concurrency: int = 16,
    tracking: str | None = None,
) -> Evaluation:
    """Run a flow over data and score it, or score data as it is.

    Args:
        data: a file (jsonl, json, csv, tsv), or rows as mappings.
        evaluators: by the name their columns shall have: a shipped evaluator's name, a flow's path, or a
            function, which gets the columns that have its parameters' names and gives a number, or a
            mapping of them. An object with `__call__` does too; its `__aggregate__`, if it has one, gets what
            the lines gave and returns the metrics. A list of names does for shipped evaluators.
        target: the flow to score; without it the data holds the answers.
        column_mapping: for each evaluator (and for `target`) flow input to `${data.column}`,
            `${run.outputs.column}` or a literal. What is not named is found by name: first among the target's
            outputs, then in the data.
        variant: `${node.variant}` of the target.
        connections: node name of the target to overrides such as `{"connection": "my_azure"}`.
        concurrency: lines in flight.
        tracking: where the runs are logged too, such as `mlflow`; `None` is nowhere.

    Raises:
        UserError: what is asked for is wrong.
    """
    named = evaluators if isinstance(evaluators, Mapping) else {name: name for name in evaluators}
    mappings: dict[str, Mapping[str, Any]] = (
        {TARGET: {}} | {name: {} for name in named} | dict(column_mapping or {})
    )
    unknown = [name for name in mappings if name not in (*named, TARGET)]
    if unknown:
        raise InputError(
            f"column_mapping: there is no evaluator {unknown[0]!r}; there are: {', '.join(named)}",
            hint=near_miss(unknown[0], named),
        )
    paths = {name: _path_of(flow) for name, flow in named.items()}
    runs: dict[str, FinishedRun] = {}
    base, produced = None, set[str]()
    if target is not None:
        base = run(
            flow_path(target),
            data,
            column_mapping=mappings[TARGET],
            variant=variant,
            connections=connections,
            concurrency=concurrency,
            tracking=tracking,
        )
        runs[TARGET] = base
        produced = set(load_flow(flow_path(target)).outputs)
        if base.status is not Status.Completed or not base.lines.completed:
            return Evaluation({}, _joined(base, {}), runs)
        if TURNS not in produced and any(TURNS in (detail["outputs"] or {}) for detail in base.details):
            produced -= PARTS.keys()  # each turn has its own
    scores: dict[str, FinishedRun] = {}
    for name, path in paths.items():
        by_name = {
            column: f"${{run.outputs.{column}}}" for column in load_flow(path).inputs if column in produced
        }
        mapping = {**by_name, **mappings[name]}
        scores[name] = run(
            path, data, column_mapping=mapping, run=base, concurrency=concurrency, tracking=tracking
        )
    metrics = {
        f"{name}.{SCORE if key == _PLAIN and callable(named[name]) else key}": value
        for name, score in scores.items()
        for key, value in _metrics_of(score).items()
    }
    plain = {name for name, evaluator in named.items() if callable(evaluator)}
    return Evaluation(metrics, _joined(base, scores, plain), {**runs, **scores})


def _metrics_of(score: FinishedRun) -> dict[str, Any]:
    """What was logged; of a function over data, which logs nothing, the means."""
    if score.metrics:
        return score.metrics
    found = means([detail["outputs"] for detail in score.details if detail["status"] == Status.Completed])
    return {**found, "failed": score.lines.failed}


def _path_of(evaluator: Evaluator) -> Path:
    if callable(evaluator):
        return flow_path(entry_of(evaluator))
    if isinstance(evaluator, str) and evaluator.removeprefix(shipped.PREFIX) in shipped.names():
        return shipped.find(evaluator)
    return flow_path(evaluator)


def _joined(
    base: FinishedRun | None, scores: Mapping[str, FinishedRun], plain: Collection[str] = ()
) -> list[dict[str, Any]]:
    """One row a line, in order; a line that an evaluator did not score has `None` in its columns."""
    rows: dict[int, dict[str, Any]] = {}
    if base is not None:
        rows = {detail["line_number"]: flat(detail) for detail in base.details}
    for name, score in scores.items():
        details = {detail["line_number"]: detail for detail in score.details}
        columns = dict.fromkeys(column for detail in details.values() for column in detail["outputs"] or {})
        for number in details.keys() - rows.keys():
            rows[number] = {"line_number": number}
            rows[number] |= {
                f"inputs.{key}": value for key, value in (details[number]["inputs"] or {}).items()
            }
        for number, row in rows.items():
            outputs = (details.get(number) or {}).get("outputs") or {}
            row |= {
                f"{name}.{SCORE if column == _PLAIN and name in plain else column}": outputs.get(column)
                for column in columns
            }
    return [rows[number] for number in sorted(rows)]
