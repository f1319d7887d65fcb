"""Where does a node stand in its flow's file? What complaints about it are marked with."""

from __future__ import annotations

from dataclasses import dataclass

from promptflow_lite.errors import Diagnostic, FlowError, Mark
from promptflow_lite.flow.spec import Flow, Node

__all__ = ["Place", "place_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A node's place."""

    flow: Flow
    index: int
    """Of the node among the flow's."""

    def mark(self, *path: str) -> Mark:
        """Where one of its keys stands: `inputs`, `text`."""
        return self.flow.at("nodes", self.index, *path)

    def complaint(self, code: str, message: str, *path: str, hint: str | None = None) -> Diagnostic:
        """What is wrong with what stands under `path`."""
        return Diagnostic(code, message, self.mark(*path), hint)

    def error(self, code: str, message: str, *path: str, hint: str | None = None) -> FlowError:
        """The same as an error."""
        return FlowError([self.complaint(code, message, *path, hint=hint)])


def place_of(node: Node, flow: Flow) -> Place:
    """The place of a node in its flow."""
    return Place(flow, [other.name for other in flow.nodes].index(node.name))
