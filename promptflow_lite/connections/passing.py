"""How do connections travel to another process of a run? By name, as class and values, secrets too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.connections.kinds import KINDS, CustomConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.errors import UserError

__all__ = ["passed", "received"]


def passed(connections: ConnectionProvider, *, named_in: str | None = None) -> dict[str, dict[str, Any]]:
    """What is sent of connections: for JSON or a pickle, and never kept.

    Args:
        connections: where they are.
        named_in: the text in which their names have to stand; `None` takes all.
    """
    bodies = {}
    for name in connections.names():
        if named_in is not None and name not in named_in:
            continue
        try:
            connection = connections.get(name)
        except UserError:  # one that is broken is complained about by the flow that names it
            continue
        bodies[name] = {"type": connection.TYPE, "values": _values(connection)}
    return bodies


def received(bodies: Mapping[str, Mapping[str, Any]], behind: ConnectionProvider) -> ConnectionProvider:
    """The connections that were sent; every other name is asked of `behind`."""
    made = {name: KINDS[body["type"]](name, **body["values"]) for name, body in bodies.items()}
    return Given(made, behind) if made else behind


def _values(connection: Connection) -> dict[str, Any]:
    """What its class takes; not its items, which leave out what Prompt flow does not know."""
    if isinstance(connection, CustomConnection):
        return {
            "configs": connection.configs,
            "secrets": connection.secrets,
            "custom_type": connection.custom_type,
            "module": connection.custom_module,
        }
    return {**connection.configs, **connection.secrets}
