"""What does a retrieval node say of its retriever? Which it is, its settings, and the inputs it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.errors import Diagnostic, FlowError, PluginNotFound, UserError, near_miss
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Node
from promptflow_lite.flow.types import coerce
from promptflow_lite.registry import Registry
from promptflow_lite.retrieval.document import Retriever
from promptflow_lite.tools.place import Place
from promptflow_lite.tools.rerank import Reranker, reranker_of
from promptflow_lite.tools.signature import params_of
from promptflow_lite.tools.tool import Param

__all__ = ["OpenRetriever", "declared_by", "factory_of", "params_for", "reranker_for", "settings_of"]


class OpenRetriever(Protocol):
    """What the group `promptflow_lite.retrievers` holds."""

    def __call__(
        self, connection: Connection | None, folder: Path, connections: ConnectionProvider, **settings: Any
    ) -> Retriever:
        """A retriever; asked for when a flow is bound.

        If it has a `close`, that is called at the end; if it has an async `warm`, a server calls that before
        it says that it is ready.

        Args:
            connection: the node's `connection`, if it names one.
            folder: the flow's folder, where relative paths start.
            connections: where other connections are found, such as one that embeds the queries.
            settings: declared as keyword-only parameters: the node's literal inputs of those names.

        Raises:
            UserError: what the flow's author can mend; it is shown with the place in the flow file.
        """
        ...


def factory_of(node: Node, place: Place) -> tuple[OpenRetriever, dict[str, str]]:
    """The plugin, and the setting that stands after its name."""
    registry = Registry("retrievers")
    if node.source is None or node.source.tool is None:
        known = ", ".join(registry.names())
        raise place.error(
            "missing-source", f"expected the name of a retriever in source.tool: {known}", "source"
        )
    name, colon, source = node.source.tool.partition(":")
    try:
        factory: OpenRetriever = registry.get(name)
    except PluginNotFound as error:
        message = error.message.replace("no plugin", "no retriever", 1)
        hint = near_miss(error.name, error.known)
        raise place.error("unknown-retriever", message, "source", "tool", hint=hint) from error
    if colon and "source" not in declared_by(factory):
        message = f"the retriever {name!r} takes nothing after its name, got {node.source.tool!r}"
        raise place.error("unknown-retriever", message, "source", "tool")
    return factory, {"source": source} if colon else {}


_GIVEN = ("connection", "folder", "connections")


def declared_by(factory: OpenRetriever) -> dict[str, Param]:
    """The settings that the factory takes."""
    return {name: param for name, param in params_of(factory).items() if name not in _GIVEN}


def settings_of(node: Node, declared: Mapping[str, Param], place: Place) -> dict[str, Any]:
    """The literals among the node's inputs that are settings."""
    values: dict[str, Any] = {}
    complaints: list[Diagnostic] = []
    for name, param in declared.items():
        value = node.inputs.get(name)
        if isinstance(value, Ref):
            message = f"{name} is read when the flow is loaded; expected a literal, got {str(value)!r}"
            complaints.append(place.complaint("setting-by-reference", message, "inputs", name))
        elif value is None or value == "":
            if param.required:
                complaints.append(
                    place.complaint("missing-input", f"{name}: this retriever needs it", "inputs")
                )
        else:
            try:
                values[name] = coerce(value, param.type)
            except ValueError as error:
                complaints.append(place.complaint("wrong-type", f"{name}: {error}", "inputs", name))
    if complaints:
        raise FlowError(complaints)
    return values


def params_for(
    node: Node, retriever: Retriever, declared: Mapping[str, Param], place: Place
) -> dict[str, Param]:
    """The parameters of the node's tool, settings included; complains about inputs that are none of them."""
    asked = params_of(retriever.retrieve)
    asked.pop("how", None)
    params = {name: Param(name, required=False) for name in declared} | asked
    complaints = [
        place.complaint(
            "unknown-input",
            f"{name}: this retriever takes {', '.join(params)}",
            "inputs",
            name,
            hint=near_miss(name, params),
        )
        for name in node.inputs
        if name not in params and name != "rerank"
    ]
    if "query" not in node.inputs:
        complaints.append(place.complaint("missing-input", "query: a retrieval node needs it", "inputs"))
    if complaints:
        raise FlowError(complaints)
    return params


def reranker_for(node: Node, connections: ConnectionProvider, place: Place) -> Reranker | None:
    """What orders the found documents anew, if the node asks for it.

    Raises:
        FlowError: the node's `rerank` cannot be right.
    """
    value = node.inputs.get("rerank")
    if isinstance(value, Ref):
        message = f"rerank is read when the flow is loaded; expected a literal, got {str(value)!r}"
        raise place.error("setting-by-reference", message, "inputs", "rerank")
    try:
        return reranker_of(value, connections)
    except UserError as error:
        raise place.error(error.code, error.message, "inputs", "rerank", hint=error.hint) from error
