"""Which environment variables does a flow set? Applied while it is bound, and put back.

Prompt flow: flow-language 1.11. Lists and mappings become JSON text, `${connection.key}` a connection's
field.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import ConnectionNotFound, Diagnostic
from promptflow_lite.flow.environment import has_no_effect, is_forbidden, text_of
from promptflow_lite.flow.spec import Flow

__all__ = ["apply", "values_of"]

_FIELD = re.compile(r"\$\{([^.{}]+)\.([^{}]+)\}")


def values_of(flow: Flow, connections: ConnectionProvider) -> tuple[dict[str, str], list[Diagnostic]]:
    """The variables that `flow` sets, as text, and what is wrong with them."""
    values: dict[str, str] = {}
    complaints: list[Diagnostic] = []
    for name, value in flow.environment_variables.items():
        mark = flow.at("environment_variables", name)
        if has_no_effect(name):
            continue
        if is_forbidden(name):
            complaints.append(Diagnostic("forbidden-variable", f"a flow may not set {name!r}", mark))
            continue
        try:
            values[name] = _text(value, connections)
        except ConnectionNotFound as error:
            complaints.append(Diagnostic("unknown-connection", error.message, mark, error.hint))
        except KeyError as error:
            complaints.append(
                Diagnostic("unknown-field", f"{value}: the connection has no field {error}", mark)
            )
    return values, complaints


def apply(values: Mapping[str, str]) -> Callable[[], None]:
    """Set the variables; the function that comes back puts the old ones back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)

    def put_back() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    return put_back


def _text(value: Any, connections: ConnectionProvider) -> str:
    text = text_of(value)
    field = _FIELD.fullmatch(text)
    return text if field is None else str(connections.get(field.group(1))[field.group(2)])
