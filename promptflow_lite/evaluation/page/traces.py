"""What happened to a line, node by node? Plain data: when, how long, what went in, what came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from promptflow_lite.evaluation.page.prompts import Prompts
from promptflow_lite.evaluation.page.texts import Texts
from promptflow_lite.flow.conversation import readable

__all__ = ["outcome", "trace"]

Record = Mapping[str, Any]


def outcome(record: Record, texts: Texts) -> dict[str, Any]:
    """How a line ended: status, outputs, error, seconds, tokens, cost."""
    usage = record["usage"] or {}
    return _without_nothing(
        {
            "status": record["status"],
            "outputs": {name: texts.add(v) for name, v in readable(record["outputs"] or {}).items()},
            "error": _error(record["error"], texts),
            "seconds": round(record["seconds"], 4),
            "tokens": [usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)],
            "cost": usage.get("cost"),
            "reused": usage.get("reused") or None,
            "logs": texts.add(record["logs"] or None),
        }
    )


def trace(record: Record, prompts: Prompts, texts: Texts) -> list[dict[str, Any]]:
    """The nodes of a line in the order in which they began."""
    runs: Iterable[tuple[str, Record]] = (record["node_runs"] or {}).items()
    ordered = sorted(runs, key=lambda named: named[1]["started"] or record["started"])
    return [
        {**_node(run, record["started"], prompts, texts), "node": name}  # of a conversation: node and turn
        for name, run in ordered
    ]


def _node(run: Record, began: float, prompts: Prompts, texts: Texts) -> dict[str, Any]:
    usage = run["usage"] or {}
    inputs = run["inputs"] or {}
    return _without_nothing(
        {
            "node": run["node"],
            "status": run["status"],
            "at": round(max(0.0, run["started"] - began), 4) if run["started"] else 0.0,
            "seconds": round(run["seconds"], 4),
            "inputs": {name: texts.add(value) for name, value in inputs.items()},
            "messages": [
                [str(message.get("role")), texts.add(message.get("content") or message.get("tool_calls"))]
                for message in prompts.of(run["node"], inputs)
            ],
            "output": texts.add(run["output"]),
            "error": _error(run["error"], texts),
            "model": run["model"],
            "endpoint": run["endpoint"],
            "finish_reason": run["finish_reason"],
            "tokens": [usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)] if usage else None,
            "cost": usage.get("cost"),
            "reused": usage.get("reused") or None,
            "logs": texts.add(run["logs"] or None),
        }
    )


def _error(error: Record | None, texts: Texts) -> dict[str, Any] | None:
    if not error:
        return None
    return _without_nothing(
        {
            "code": error["code"],
            "message": texts.add(error["message"]),
            "node": error.get("node"),
            "traceback": texts.add(error.get("traceback") or None),
        }
    )


def _without_nothing(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None and value != [] and value != {}}
