"""Where does `pf flow test` keep what came of it? In `<flow>/.promptflow/`, in Prompt flow's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptflow_lite.api.flows import Tested
from promptflow_lite.engine.results import Failure, LineResult, NodeRun, Status
from promptflow_lite.values import to_plain

__all__ = ["Records"]


class Records:
    """The folder of records of one flow.

    Args:
        folder: made when there is something to keep; git ignores it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep_flow(self, tested: Tested) -> None:
        """Keep a test of the whole flow: `flow.detail.json`, `flow.output.json`, `flow.metrics.json`."""
        self._write("flow.detail.json", self.of(tested))
        self._write("flow.output.json", to_plain(tested.line.outputs))
        self._write("flow.metrics.json", to_plain(tested.aggregation.metrics if tested.aggregation else {}))

    def keep_node(self, run: NodeRun) -> None:
        """Keep a test of one node: `flow-<node>.node.detail.json`, `flow-<node>.node.output.json`."""
        self._write(f"flow-{run.node}.node.detail.json", {"flow_runs": [], "node_runs": [self.of_node(run)]})
        self._write(f"flow-{run.node}.node.output.json", to_plain(run.output))

    def keep_chat(self, turns: list[Mapping[str, Any]]) -> None:
        """Keep a conversation: `chat.output.json`, the history as the flow gets it."""
        self._write("chat.output.json", to_plain(turns))

    def last(self) -> dict[str, Any]:
        """What the last test of the whole flow held: `inputs.NAME`, and `NODE.output` of completed nodes."""
        try:
            detail = json.loads((self.folder / "flow.detail.json").read_text(encoding="utf-8"))
            inputs = {f"inputs.{name}": value for name, value in detail["flow_runs"][0]["inputs"].items()}
            completed = [run for run in detail["node_runs"] if run["status"] == Status.Completed]
            return inputs | {f"{run['node']}.output": run["output"] for run in completed}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}

    def of(self, tested: Tested) -> dict[str, Any]:
        """A test as plain data: `flow_runs` and `node_runs`, as in Prompt flow's `flow.detail.json`."""
        line, aggregation = tested
        runs = [*line.node_runs.values(), *(aggregation.node_runs.values() if aggregation else ())]
        flow_run = {
            **_times(line),
            "status": line.status.value,
            "error": _failure(line.error),
            "inputs": to_plain(line.inputs),
            "output": to_plain(line.outputs),
            "metrics": to_plain(aggregation.metrics) if aggregation else {},
        }
        return {"flow_runs": [flow_run], "node_runs": [self.of_node(run) for run in runs]}

    def of_node(self, run: NodeRun) -> dict[str, Any]:
        """A node's run as plain data."""
        return {
            "node": run.node,
            "status": run.status.value,
            **_times(run),
            "model": run.model,
            "error": _failure(run.error),
            "inputs": to_plain(run.inputs),
            "output": to_plain(run.output),
        }

    def _write(self, name: str, value: Any) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
            (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        text = json.dumps(value, indent=2, ensure_ascii=False)
        (self.folder / name).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _times(run: LineResult | NodeRun) -> dict[str, Any]:
    usage = run.usage
    tokens = (
        {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
        if usage is not None
        else {}
    )
    return {
        "start_time": run.started,
        "end_time": run.started + run.seconds,
        "system_metrics": {"duration": run.seconds, **tokens},
    }


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    return asdict(failure) if failure is not None else None
