"""Which parameters and metrics has a run, in MLflow's words?

Metrics of lines go by `<metric>/<aggregation>`, as `mlflow.genai.evaluate` names its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median, pvariance
from typing import Any

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import UserError
from promptflow_lite.evaluation.scores import GRADES
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.registered import LOCK, unlock
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.variants import choose_variants, parse_choices
from promptflow_lite.integrations.mlflow.confusion import matrices
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.tools.parameters import MODEL_NAMES
from promptflow_lite.tools.registered import defaults, prompt_of

__all__ = [
    "aggregates",
    "asks_models",
    "flow_name",
    "flow_of",
    "is_evaluation",
    "linked_prompts",
    "numbers",
    "of_the_lines",
    "params",
    "score_of",
]

_PARAMETERS = ("model", "deployment_name", "temperature", "top_p", "max_tokens", "seed", "response_format")
_PARAM_LENGTH = 6000


def flow_name(run: Run) -> str:
    """What the flow goes by: its folder's name, or its file's."""
    path = Path(run.flow)
    return path.parent.name if path.stem.startswith("flow.") else path.stem


def flow_of(run: Run, folder: Path) -> Flow | None:
    """The flow as the run had it, its variants chosen: the snapshot's; `None` if it cannot be read."""
    name = Path(run.flow).name
    kept = folder / "snapshot"
    for place in (kept / name if (kept / name).is_file() else kept, run.flow):
        try:
            flow = choose_variants(load_flow(place), parse_choices(run.variant))
            return flow.derive(prompts=unlock(kept / LOCK))
        except UserError:  # a flow of `module:function` has no snapshot; any other may have gone since
            continue
    return None


def is_evaluation(run: Run, flow: Flow | None) -> bool:
    """Whether the run scores another; a flow may also merely go on with another run's outputs."""
    return run.run is not None and (flow is None or flow.type == "evaluation" or bool(run.metrics))


def linked_prompts(run: Run) -> dict[str, str]:
    """The tag by which MLflow knows the prompts of a run or of a trace; nothing where there are none."""
    named = [uri.removeprefix("prompts:/").rpartition("/") for uri in dict.fromkeys(run.prompts.values())]
    linked = [{"name": name, "version": version} for name, _, version in named]
    return {"mlflow.linkedPrompts": json.dumps(linked)} if linked else {}


def asks_models(records: Records) -> bool:
    """Whether a model was asked in any line: a judge's traces are worth keeping."""
    return any(node["model"] for record in records.each() for node in record["node_runs"].values())


def params(run: Run, flow: Flow | None, records: Records) -> dict[str, str]:
    """The parameters of a run, those that say something."""
    models = {n["model"] for r in records.each() for n in r["node_runs"].values() if n["model"]}
    mapping = run.column_mapping
    found = {
        "flow": flow_name(run),
        "variant": run.variant,
        "column_mapping": json.dumps(mapping, ensure_ascii=False) if mapping else None,
        "data": Path(run.data).name if run.data else None,
        "data_digest": run.fingerprint.get("data"),
        "base_run": run.run,
        "limit": str(run.limit) if run.limit else None,
        "repeats": str(run.repeats) if run.repeats > 1 else None,
        **{f"matrix.{key}": json.dumps(values, ensure_ascii=False) for key, values in run.matrix.items()},
        **{f"choice.{key}": str(value) for key, value in run.choice.items()},
        **_of_the_nodes(run, flow),
        "models": ", ".join(sorted(models)),
    }
    return {key: text[:_PARAM_LENGTH] for key, text in found.items() if text}


def _of_the_nodes(run: Run, flow: Flow | None) -> dict[str, str]:
    """Variants in use, and what the llm nodes were told: by parameter, by node too where several are.

    Of a sweep what it varies is left to its runs: the flow's own value was in use in none of them, or in one.
    """
    if flow is None:
        return {}
    nodes = [node for node in flow.nodes if node.type in ("llm", "prompty")]
    chosen = parse_choices(run.variant)
    found = {
        f"variant.{name}": chosen.get(name, variants.default_variant_id)
        for name, variants in flow.node_variants.items()
        if name not in run.matrix
    }
    for node in flow.nodes:
        path = node.source.path if node.source is not None else None
        if path in run.prompts and node.name not in run.matrix:
            found[f"{node.name}.prompt"] = run.prompts[path]
    for node in nodes:
        own = node.inputs
        if node.type == "prompty":
            own = {"model": node.settings.model, **node.settings.parameters}
        inputs = {**own, **run.connections.get(node.name, {})}
        if (prompt := prompt_of(node, flow.prompts)) is not None:
            inputs = {**inputs, **defaults(node.derive(inputs=inputs), prompt)}
        for key in _PARAMETERS:
            if _is_varied(run, node.name, key):
                continue
            if inputs.get(key) is not None and not isinstance(inputs[key], Ref):
                found[f"{node.name}.{key}" if len(nodes) > 1 else key] = str(inputs[key])
    return found


def _is_varied(run: Run, node: str, parameter: str) -> bool:
    """Whether a sweep's runs differ in the node, or in this parameter of it."""
    names = MODEL_NAMES if parameter in MODEL_NAMES else (parameter,)
    return any(
        key == node or (key.startswith((f"{node}.", "init.")) and key.rpartition(".")[2] in names)
        for key in run.matrix
    )


def of_the_lines(run: Run, records: Records) -> dict[str, float]:
    """How many lines ended how, how long they took, what they used."""
    metrics: dict[str, float] = {
        "lines/completed": run.lines.completed,
        "lines/failed": run.lines.failed,
        "lines/skipped": run.lines.skipped,
        "duration_s": run.seconds,
    }
    taken = sorted(record["seconds"] for record in records.each(Status.Completed))
    if taken:
        metrics["latency_s/mean"] = fmean(taken)
        for percent in (50, 90, 95, 99):
            metrics[f"latency_s/p{percent}"] = taken[
                min(len(taken) - 1, math.ceil(len(taken) * percent / 100) - 1)
            ]
    if run.usage.get("calls"):
        metrics |= {f"usage/{key}": count for key, count in run.usage.items()}
    if run.cost is not None:
        metrics["cost_usd"] = run.cost
    return metrics


def aggregates(records: Records) -> dict[str, float]:
    """Each score of the lines as `<metric>/mean`, `/min`, `/max`, `/median`, `/variance` and `/p90`.

    The variance is the population's and `p90` is interpolated linearly, as `mlflow.genai.scorers` has them;
    `<metric>/scored` says over how many lines.
    """
    columns: dict[str, list[float]] = {}
    for record in records.each(Status.Completed):
        for name, value in record["outputs"].items():
            if (score := score_of(value)) is not None:
                columns.setdefault(name, []).append(float(score))
    return {
        f"{name}/{aggregation}": number
        for name, scores in columns.items()
        for aggregation, number in _aggregated(sorted(scores)).items()
    }


def _aggregated(scores: list[float]) -> dict[str, float]:
    return {
        "mean": fmean(scores),
        "min": scores[0],
        "max": scores[-1],
        "median": median(scores),
        "variance": pvariance(scores),
        "p90": _percentile(scores, 0.9),
        "scored": len(scores),
    }


def _percentile(ordered: list[float], part: float) -> float:
    place = (len(ordered) - 1) * part
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def score_of(value: Any) -> bool | int | float | None:
    """An output as a score: a number, a flag, or a grade in words; `None` if it is none."""
    if isinstance(value, bool | int | float):
        return value if math.isfinite(value) else None
    grade = GRADES.get(value.strip().casefold()) if isinstance(value, str) else None
    return None if grade is None else bool(grade)


def numbers(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers among metrics, those of nested mappings as `outer/inner`; a matrix is a table."""
    found: dict[str, float] = {}
    tables = matrices(metrics)
    for key, value in metrics.items():
        if key in tables:
            continue
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            found[f"{prefix}{key}"] = float(value)
    return found
