"""What do the scores of single lines say about the run?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptflow_lite.engine.results import LineResult, Status

__all__ = ["means", "of"]


def of(lines: Sequence[LineResult]) -> dict[str, float]:
    """Each numeric output's mean over the lines that have it, with the counts that say how many those are.

    For evaluators without an aggregation node.

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


def means(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each number's mean over the lines that have it, with how many lines were scored and skipped.

    For the aggregation node of an evaluator. A line is `scored` that has any number; where a mean is over
    fewer lines than that, `<name>/lines` says over how many.

    Args:
        lines: what one node gave each line: names to numbers, or `None` where there was nothing to score.

    >>> means([{"f1": 1.0, "fact": None}, {"f1": 0.5, "fact": 1.0}, {"f1": None, "fact": None}])
    {'f1': 0.75, 'fact': 1.0, 'fact/lines': 1, 'scored': 2, 'skipped': 1}
    """
    names = {name: None for line in lines for name, value in line.items() if _is_number(value)}
    scored = sum(any(_is_number(line.get(name)) for name in names) for line in lines)
    found: dict[str, float] = {}
    for name in names:
        numbers = [line[name] for line in lines if _is_number(line.get(name))]
        found[name] = _mean(numbers)
        if len(numbers) < scored:
            found[f"{name}/lines"] = len(numbers)
    return {**found, "scored": scored, "skipped": len(lines) - scored}


def _has_all(outputs: Mapping[str, Any], columns: Mapping[str, None]) -> bool:
    return bool(columns) and all(_is_number(outputs.get(name)) for name in columns)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
