"""How do MLflow's scorers score our flows, and our evaluators MLflow's evaluations? By an adapter each way.

evaluate(data, {"correct": from_scorer(Correctness(), ...)})
mlflow.genai.evaluate(data=..., scorers=[as_scorer("qa_text", ...)])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptflow_lite.api.callables import entry_of
from promptflow_lite.api.flows import load_flow
from promptflow_lite.api.runs import flow_path
from promptflow_lite.errors import InputError, NodeError
from promptflow_lite.evaluation import evaluators as shipped

if TYPE_CHECKING:
    from mlflow.entities import Feedback
    from mlflow.genai.scorers import Scorer

__all__ = ["as_scorer", "from_scorer"]

_SIDES = ("inputs", "outputs", "expectations")
_YES = {"yes": True, "no": False, "pass": True, "fail": False}


def from_scorer(
    scorer: Scorer,
    *,
    inputs: Sequence[str] = (),
    outputs: str = "answer",
    expectations: Mapping[str, str] | None = None,
) -> Callable[..., dict[str, Any]]:
    """An evaluator for `evaluate` that asks a scorer of MLflow GenAI.

    Args:
        scorer: one of `mlflow.genai.scorers`, or a function with `@scorer`.
        inputs: columns that become its `inputs`, under their names.
        outputs: the column that becomes its `outputs`.
        expectations: a name in its `expectations`, such as `expected_response`, to a column.

    Returns:
        A function of these columns, which gives `score` (a number or a flag; `yes` and `no` are flags) and
        `reason`; of a scorer that gives several assessments, one of each for every name.
    """
    wanted = dict(expectations or {})
    asked: Any = scorer  # its methods are not typed

    def score(**columns: Any) -> dict[str, Any]:
        given = asked.run(
            inputs={name: columns[name] for name in inputs},
            outputs=columns[outputs],
            expectations={name: columns[column] for name, column in wanted.items()},
        )
        if isinstance(given, list):
            return {f"{one.name}{key}": value for one in given for key, value in _read(one, "").items()}
        return _read(given, "score")

    columns = dict.fromkeys((*inputs, outputs, *wanted.values()))
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in columns]
    score.__name__ = score.__qualname__ = f"scorer_{scorer.name}"
    score.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
    return score


def as_scorer(
    evaluator: str | Path | Callable[..., Any],
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
) -> Scorer:
    """A scorer for `mlflow.genai.evaluate` that runs an evaluation flow, a shipped evaluator or a function.

    Each number and flag that the evaluator gives a line becomes an assessment `<name>/<output>`; a `reason`
    is its rationale. What has nothing to score gives none. The metrics of the whole are MLflow's own.

    Args:
        evaluator: a shipped evaluator's name, a flow's path, or a function.
        name: of the scorer; `None`: the evaluator's.
        columns: input of the evaluator to where it is: `outputs`, `outputs.answer`, `inputs.question`,
            `expectations.expected_response`. What is not named is looked for by name in the outputs, the
            expectations and the inputs; an `answer` or `prediction` may be the outputs as a whole.
        connections: node name to overrides such as `{"connection": "my_azure"}`.

    Raises:
        PluginNotFound: no evaluator has that name.
        FlowError: the evaluator's files are wrong.
    """
    from mlflow.entities import AssessmentSource, Feedback
    from mlflow.genai.scorers import scorer

    path = _path_of(evaluator)
    flow = load_flow(path, connections=connections)
    is_judge = any(node.type == "llm" for node in flow.flow.nodes)
    called = name or getattr(evaluator, "__name__", None) or Path(str(evaluator)).name
    source = AssessmentSource(source_type="LLM_JUDGE" if is_judge else "CODE", source_id=called)
    places = dict(columns or {})

    def score(inputs: Any = None, outputs: Any = None, expectations: Any = None) -> list[Feedback]:
        sides = dict(zip(_SIDES, (inputs, outputs, expectations), strict=True))
        found = flow(**{name: value for name in flow.flow.inputs for value in _found(name, places, sides)})
        reason = found.get("reason")
        return [
            Feedback(name=f"{called}/{output}", value=value, rationale=reason, source=source)
            for output, value in found.items()
            if isinstance(value, bool | int | float)
        ]

    made: Scorer = scorer(score, name=called)
    return made


def _path_of(evaluator: str | Path | Callable[..., Any]) -> Path:
    if callable(evaluator):
        return flow_path(entry_of(evaluator))
    if isinstance(evaluator, str) and evaluator.removeprefix(shipped.PREFIX) in shipped.names():
        return shipped.find(evaluator)
    return flow_path(evaluator)


def _found(name: str, places: Mapping[str, str], sides: Mapping[str, Any]) -> list[Any]:
    """The value of an input, in a list; empty where there is none, so that its default holds."""
    if name in places:
        side, _, rest = places[name].partition(".")
        if side not in sides:
            raise InputError(f"columns: {name!r} is in one of {', '.join(_SIDES)}, got {places[name]!r}")
        value: Any = sides[side]
        for part in rest.split(".") if rest else ():
            value = value.get(part) if isinstance(value, Mapping) else None
        return [value] if value is not None else []
    for side in ("outputs", "expectations", "inputs"):
        if isinstance(sides[side], Mapping) and name in sides[side]:
            return [sides[side][name]]
    is_whole = name in ("answer", "prediction") and not isinstance(sides["outputs"], Mapping)
    return [sides["outputs"]] if is_whole and sides["outputs"] is not None else []


def _read(given: Any, key: str) -> dict[str, Any]:
    """An assessment, or a bare value, as `score` and `reason`."""
    if getattr(given, "error", None) is not None:
        raise NodeError(f"the scorer failed: {given.error}", code="tool-failed")
    value = getattr(given, "value", given)
    value = getattr(value, "value", value)  # a rating of MLflow's is an enum
    if isinstance(value, str):
        value = _YES.get(value.strip().lower(), value)
    reason = getattr(given, "rationale", None)
    return {key: value, **({f"{key}_reason" if not key else "reason": reason} if reason else {})}
