"""What do the scores of single lines say about the run? For evaluators without an aggregation node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptflow_lite.engine.results import LineResult, Status

__all__ = ["of"]


def of(lines: Sequence[LineResult]) -> dict[str, float]:
    """Each numeric output's mean over the lines that have it, with the counts that say how many those are.

    `scored` lines have every number that any line has, `skipped` ones completed without some (`null`: nothing
    to score), `failed` ones broke. A flag counts as 1 or 0. Lines whose outputs are no numbers score nothing.

    Args:
        lines: every line of the run, in any order.
    """
    completed = [line.outputs for line in lines if line.status is Status.Completed]
    if completed and not any(completed):
        return {}  # no output is a number, or null where one would be: a flow over a run, and no evaluator
    columns = {name: None for outputs in completed for name, value in outputs.items() if _is_number(value)}
    metrics = {
        name: _mean([outputs[name] for outputs in completed if _is_number(outputs.get(name))])
        for name in columns
    }
    scored = sum(_has_all(outputs, columns) for outputs in completed)
    return {
        **metrics,
        "scored": scored,
        "skipped": len(completed) - scored,
        "failed": len(lines) - len(completed),
    }


def _has_all(outputs: Mapping[str, Any], columns: Mapping[str, None]) -> bool:
    return bool(columns) and all(_is_number(outputs.get(name)) for name in columns)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
