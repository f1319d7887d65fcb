"""What does a line give? The flow's outputs, each a value that JSON can hold."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from promptflow_lite.engine.invoke import failure_of
from promptflow_lite.engine.results import Failure
from promptflow_lite.engine.schedule import Plan, Schedule
from promptflow_lite.errors import InputError
from promptflow_lite.flow.refs import Ref
from promptflow_lite.tools.tool import BoundFlow
from promptflow_lite.values import Image, to_plain

__all__ = ["outputs_of"]


def outputs_of(bound: BoundFlow, plan: Plan, schedule: Schedule) -> tuple[dict[str, Any], Failure | None]:
    """The outputs of a line that was walked to its end, and why one of them cannot be given.

    Literals are given as they are, a bypassed node gives `None`, outputs of aggregation nodes are left out
    (all as in Prompt flow). Dataclasses and models, such as documents, become mappings; Prompt flow refuses
    them.
    """
    if bound.flow.spread is not None:
        return _spread(schedule.value(Ref("node", bound.flow.spread)), bound.flow.spread)
    outputs: dict[str, Any] = {}
    for name, spec in bound.flow.outputs.items():
        reference = spec.reference
        if not isinstance(reference, Ref):
            outputs[name] = reference
        elif reference.scope == "inputs" or reference.name in plan.node_slots:
            try:
                outputs[name] = _plain(schedule.value(reference))
            except InputError as error:
                return outputs, failure_of(error, None)
            except (TypeError, ValueError, RecursionError) as error:
                message = f"outputs.{name}: what {reference} gave is no JSON: {error}"
                return outputs, Failure("output-not-serializable", message, reference.name)
    return outputs, None


def _spread(value: Any, node: str) -> tuple[dict[str, Any], Failure | None]:
    """A mapping's entries or a dataclass's fields, each an output; anything else is the output `output`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    outputs: dict[str, Any] = {}
    for name, part in (value if isinstance(value, dict) else {"output": value}).items():
        try:
            outputs[str(name)] = _plain(part)
        except (TypeError, ValueError, RecursionError) as error:
            return outputs, Failure(
                "output-not-serializable", f"outputs.{name}: it is no JSON: {error}", node
            )
    return outputs, None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    unusual: list[Any] = []

    def as_data(part: Any) -> Any:
        if isinstance(part, Image):  # stays one: who writes the outputs down keeps it as a file, or as text
            return None
        unusual.append(part)
        if isinstance(part, type) or not (dataclasses.is_dataclass(part) or hasattr(part, "model_dump")):
            raise TypeError(f"it holds a {type(part).__name__}")
        return to_plain(part)

    json.dumps(value, default=as_data)
    return to_plain(value) if unusual else value
