"""What is known of a run's lines so far? Counts, reasons, tokens, and what the aggregation will need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from promptflow_lite.engine.results import LineResult, NodeRun, Status
from promptflow_lite.engine.turns import by_turn
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow
from promptflow_lite.tools.scope import Usage

__all__ = ["Tally", "accounted"]


class Tally:
    """Adds results up and keeps no more of them than the aggregation nodes name.

    Args:
        flow: its aggregation nodes say what is kept.
        keep_outputs: keep the numbers among the outputs of every line too, for a summary.
    """

    def __init__(self, flow: Flow, *, keep_outputs: bool = False) -> None:
        self.completed = 0
        self.reasons: Counter[str] = Counter()
        """Failed lines by code."""
        self.usage = Usage()
        self.lines: list[LineResult] = []
        """What the aggregation gets: the completed lines, or with `keep_outputs` all of them."""
        self._flow = flow
        self.of_turns = False
        """Whether those are turns of conversations, and not whole lines."""
        self._keep_outputs = keep_outputs
        aggregations = [node for node in flow.nodes if node.aggregation]
        sources = {name for node in aggregations for name in node.sources()}
        refs = [
            ref
            for node in aggregations
            for ref in (*node.refs().values(), node.activate and node.activate.when)
        ]
        self._nodes = sources - {node.name for node in aggregations}
        self._inputs = {ref.name for ref in refs if isinstance(ref, Ref) and ref.scope == "inputs"}
        self._aggregates = bool(aggregations)

    @property
    def count(self) -> int:
        """How many lines are done."""
        return self.completed + self.failed

    @property
    def failed(self) -> int:
        """How many lines failed."""
        return self.reasons.total()

    def add(self, result: LineResult) -> None:
        """Count a line."""
        self.usage.add(result.usage)
        if result.status is Status.Completed:
            self.completed += 1
        else:
            self.reasons[result.error.code if result.error else "unknown"] += 1
        if self._keep_outputs or (self._aggregates and result.status is Status.Completed):
            parts = by_turn(result, self._flow)
            self.of_turns = self.of_turns or parts[0] is not result
            self.lines += map(self._slim, parts)

    def add_all(self, results: Iterable[LineResult]) -> None:
        """Count lines of an earlier part of the run."""
        for result in results:
            self.add(result)

    def in_order(self) -> list[LineResult]:
        """What was kept, by line number: lines end in any order, lists of an aggregation do not."""
        return sorted(self.lines, key=lambda line: (line.line_number or 0, line.repeat))

    def _slim(self, result: LineResult) -> LineResult:
        runs = result.node_runs
        return LineResult(
            line_number=result.line_number,
            status=result.status,
            repeat=result.repeat,
            inputs={name: value for name, value in result.inputs.items() if name in self._inputs},
            outputs=_numbers(result.outputs) if self._keep_outputs else {},
            node_runs={
                name: NodeRun(name, runs[name].status, output=runs[name].output)
                for name in self._nodes
                if name in runs
            },
        )


def accounted(metrics: Mapping[str, Any], tally: Tally, left_out: int) -> tuple[dict[str, Any], int]:
    """The metrics of an evaluation with the counts of the whole run, and how many lines it found unscorable.

    An evaluator that logs `scored` and `skipped` counts the completed lines, since it sees no others. Those
    that were never run are skipped too, and those that failed are `failed`: then the counts add up to the
    lines, and are those of the run.

    Args:
        metrics: as the evaluator logged them.
        tally: of the lines that were run.
        left_out: lines that were not run, because there was nothing to run.
    """
    if tally.of_turns:  # the evaluator counted turns, which are no lines of the run
        return {
            **metrics,
            "turns": sum(line.status is Status.Completed for line in tally.lines),
            "failed": tally.failed,
        }, 0
    skipped, scored = metrics.get("skipped"), metrics.get("scored")
    if not _is_count(skipped) or not _is_count(scored) or scored + skipped > tally.completed:
        return dict(metrics), 0
    return {**metrics, "skipped": skipped + left_out, "failed": tally.failed}, skipped


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _numbers(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outputs.items() if value is None or isinstance(value, int | float)}
