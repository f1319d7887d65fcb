"""What is a flow made with? The values of `init`: keyword arguments of a class, changes of a prompty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.flow.prompty import changed
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.types import ValueType, coerce

__all__ = ["give"]

_VALUES = frozenset(kind.value for kind in ValueType)


def give(flow: Flow, values: Mapping[str, Any]) -> Flow:
    """The flow with `values` for its `init`; without any it keeps those of its sample.

    Args:
        flow: any flow.
        values: by name; text is read as the declared type asks for. A prompty takes the keys of its front
            matter, as in `{"model": {"parameters": {"temperature": 0}}}`.

    Raises:
        InputError: the flow takes no such thing, or a value is of another type; all of it at once.
    """
    if not values:
        return flow
    if flow.nodes and flow.nodes[0].type == "prompty":
        return changed(flow, {name: _read(value, "object") for name, value in values.items()})
    if not flow.nodes or flow.nodes[0].type != "flex":
        raise InputError(
            "this flow takes no init: only flows of a class and prompty files do", code="unknown-init"
        )
    entry = flow.nodes[0].settings
    wrong: list[str] = []
    given: dict[str, Any] = {}
    for name, value in values.items():
        spec = flow.init.get(name)
        if spec is None and entry.signature is not None:
            hint = near_miss(name, flow.init) or f"it takes: {', '.join(flow.init) or 'nothing'}"
            wrong.append(f"init.{name}: {entry.name} has no such parameter; {hint}")
            continue
        try:
            given[name] = value if spec is None else _read(value, spec.type)
        except ValueError as error:
            wrong.append(f"init.{name}: {error}")
    if wrong:
        raise InputError("\n".join(wrong), code="unknown-init" if len(given) < len(values) else "wrong-input")
    return flow.derive(init_values=given)


def _read(value: Any, kind: str) -> Any:
    if kind in _VALUES:
        return coerce(value, kind)
    return value if kind.endswith("Connection") else coerce(value, "object")
