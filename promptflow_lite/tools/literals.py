"""What does a literal in a node's inputs become? The value that the tool's parameter asks for.

Prompt flow: executor/_tool_resolver.py `_convert_literal_input_types`: null and '' are left out, so that the
function's default holds; a connection is written as its name; what has no annotation is read as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.connections.kinds import CustomConnection
from promptflow_lite.connections.strong import as_class
from promptflow_lite.errors import ConnectionNotFound, Diagnostic, near_miss
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.types import coerce, with_images
from promptflow_lite.tools.tool import Param

__all__ = ["literals"]


def literals(
    inputs: Mapping[str, Any],
    params: Mapping[str, Param],
    *,
    flow: Flow,
    where: int,
    connections: ConnectionProvider,
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The literals among `inputs`, each as its parameter asks for, and what is wrong with them.

    Args:
        inputs: a node's inputs; references among them are passed over.
        params: the parameters of its tool; an input without one (of `**kwargs`, of a template) stays as it
            is.
        flow: whose marks the complaints carry.
        where: the index of the node in the flow.
        connections: where the names of connections are looked up.
    """
    values: dict[str, Any] = {}
    complaints: list[Diagnostic] = []
    for name, value in inputs.items():
        if isinstance(value, Ref) or value is None or value == "":
            continue
        param = params.get(name)
        try:
            values[name] = value if param is None else _converted(value, param, flow, connections)
        except ConnectionNotFound as error:
            mark = flow.at("nodes", where, "inputs", name)
            complaints.append(Diagnostic("unknown-connection", error.message, mark, error.hint))
        except ValueError as error:
            hint = near_miss(str(value), param.choices) if param else None
            complaints.append(
                Diagnostic("wrong-type", str(error), flow.at("nodes", where, "inputs", name), hint)
            )
    return values, complaints


def _converted(value: Any, param: Param, flow: Flow, connections: ConnectionProvider) -> Any:
    if param.connections:
        return _connection(value, param, connections)
    if param.choices and str(value) not in param.choices:
        raise ValueError(f"expected one of {', '.join(param.choices)}, got {value!r}")
    return with_images(flow, coerce(value, param.type), param.type)


def _connection(value: Any, param: Param, connections: ConnectionProvider) -> Connection:
    if isinstance(value, Connection):
        return as_class(value, param.strong) if param.strong and type(value) is CustomConnection else value
    if not isinstance(value, str):
        raise ValueError(f"expected the name of a connection, got {value!r}")
    connection = connections.get(value)
    if param.strong is not None and type(connection) is CustomConnection:
        return as_class(connection, param.strong)
    kinds = {kind.__name__ for kind in type(connection).__mro__}
    if not kinds.intersection((*param.connections, "CustomConnection")):
        expected = " or ".join(param.connections)
        raise ValueError(
            f"expected a connection of class {expected}, got {value!r} of class {type(connection).__name__}"
        )
    return connection
