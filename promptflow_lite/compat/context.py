"""`FlowContext`: what a loaded flow is told beside its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.compat.exceptions import UserErrorException

__all__ = ["FlowContext"]


class FlowContext:
    """Settings of a loaded flow: `flow.context = FlowContext(...)`, or `flow.context.streaming = True`.

    Args:
        connections: node name to overrides: `{"node": {"connection": a name or a connection}}`.
        variant: `${node.variant}`.
        overrides: `{"nodes.NAME.inputs.INPUT": value}`, and `inputs.NAME.default` of the flow.
        streaming: whether outputs that models write come as generators.
        environment_variables: set while the flow is in use.
    """

    def __init__(
        self,
        *,
        connections: Mapping[str, Any] | None = None,
        variant: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        streaming: bool | None = None,
        environment_variables: Mapping[str, str] | None = None,
    ) -> None:
        self.connections = dict(connections or {})
        self.variant = variant
        self.overrides = dict(overrides or {})
        self.streaming = bool(streaming)
        self.environment_variables = dict(environment_variables or {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlowContext) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it is changed in place

    def copy(self) -> FlowContext:
        """The context as it is now, whatever is assigned to its mappings later."""
        nodes = {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in self.connections.items()
        }
        return FlowContext(**{**vars(self), "connections": nodes})

    def of_nodes(self) -> dict[str, dict[str, Any]]:
        """Node name to what it gets instead: its connection, its model, its inputs."""
        nodes: dict[str, dict[str, Any]] = {name: dict(keys) for name, keys in self.connections.items()}
        for path, value in self.overrides.items():
            match path.split("."):
                case ["nodes", name, "inputs", key] | ["nodes", name, "connection" as key]:
                    nodes.setdefault(name, {})[key] = value
                case ["inputs", _, "default"]:
                    pass
                case _:
                    raise UserErrorException(
                        f"FlowContext.overrides: {path!r} is not taken; nodes.NAME.inputs.INPUT, "
                        "nodes.NAME.connection and inputs.NAME.default are"
                    )
        return nodes

    def defaults(self) -> dict[str, Any]:
        """Values of flow inputs that are not given."""
        paths = {path: path.split(".") for path in self.overrides}
        return {
            parts[1]: self.overrides[path]
            for path, parts in paths.items()
            if len(parts) == 3 and parts[0] == "inputs" and parts[2] == "default"
        }
