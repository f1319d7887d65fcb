"""Where are the images of a run? In its folder, a file each; its records hold their paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.engine.results import AggregationResult, LineResult, NodeRun
from promptflow_lite.flow.images import is_plain, keep, load

__all__ = ["KeptImages"]


class KeptImages:
    """The images of one run, or of a test.

    Args:
        folder: the run's.
        message_format: its flow's.
        within: where in `folder` the files are.
    """

    def __init__(self, folder: Path, message_format: str, within: str = "images") -> None:
        self._folder = folder
        self._format = message_format
        self._files = folder / within
        self._shown = f"{within}/"

    def keep(self, result: LineResult) -> LineResult:
        """The result with paths in place of images; the images are in files then."""
        inputs, outputs = self._plain(result.inputs), self._plain(result.outputs)
        runs = self._runs(result.node_runs)
        if inputs is result.inputs and outputs is result.outputs and runs is result.node_runs:
            return result
        return dataclasses.replace(result, inputs=inputs, outputs=outputs, node_runs=runs)

    def keep_node(self, run: NodeRun) -> NodeRun:
        """The same for one node."""
        return self._runs({run.node: run})[run.node]

    def kept(self, result: AggregationResult) -> AggregationResult:
        """The same for what came of the aggregation."""
        runs = self._runs(result.node_runs)
        return result if runs is result.node_runs else dataclasses.replace(result, node_runs=runs)

    def revived(self, lines: Sequence[LineResult]) -> Sequence[LineResult]:
        """What aggregation nodes get: lines with the images that `keep` put into files."""
        if not self._files.is_dir():
            return lines
        return [
            dataclasses.replace(
                line,
                inputs=self._images(line.inputs),
                node_runs={
                    name: dataclasses.replace(run, output=self._images(run.output))
                    for name, run in line.node_runs.items()
                },
            )
            for line in lines
        ]

    def _runs(self, runs: dict[str, NodeRun]) -> dict[str, NodeRun]:
        changed: dict[str, NodeRun] = {}
        for name, run in runs.items():
            inputs, output = self._plain(run.inputs), self._plain(run.output)
            if inputs is not run.inputs or output is not run.output:
                changed[name] = dataclasses.replace(run, inputs=inputs, output=output)
        return {**runs, **changed} if changed else runs

    def _plain(self, value: Any) -> Any:
        if is_plain(value):
            return value
        try:
            return keep(value, self._format, self._files, shown=self._shown)
        except RecursionError:  # a list that holds itself: the record shows what it can
            return value

    def _images(self, value: Any) -> Any:
        return load(value, self._format, [self._folder])
