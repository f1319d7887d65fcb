"""What does a retrieval node call? A retriever of the entry-point group `promptflow_lite.retrievers`.

A plugin registers an `OpenRetriever`. Its keyword-only parameters are the node's settings: literals, read
once when the flow is bound. The parameters of its retriever's `retrieve` are the node's other inputs, which
may be references.

Every retriever has the setting `rerank` besides (`tools.rerank`).

`source.tool: NAME:PATH` is short for `NAME` with the setting `source: PATH`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.errors import (
    Diagnostic,
    FlowError,
    InputError,
    NodeError,
    PluginNotFound,
    UserError,
    near_miss,
)
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.flow.types import coerce
from promptflow_lite.registry import Registry
from promptflow_lite.retrieval.document import Document, Retriever
from promptflow_lite.retrieval.embed import LOCAL, NO_ROLES, Embedder, RemoteEmbedder, Roles, local_embedder
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.retriever import IndexRetriever, accept
from promptflow_lite.tools.clients import embed
from promptflow_lite.tools.rerank import Reranker, reranker_of
from promptflow_lite.tools.signature import params_of
from promptflow_lite.tools.tool import Made, Param, Tool

if TYPE_CHECKING:
    from promptflow_lite.retrieval.build import Progress

__all__ = ["OpenRetriever", "PushIndex", "Pushed", "embedder_of", "make", "open_index", "target_of"]


class OpenRetriever(Protocol):
    """What the group `promptflow_lite.retrievers` holds."""

    def __call__(
        self, connection: Connection | None, folder: Path, connections: ConnectionProvider, **settings: Any
    ) -> Retriever:
        """A retriever; asked for when a flow is bound. If it has a `close`, that is called at the end.

        Args:
            connection: the node's `connection`, if it names one.
            folder: the flow's folder, where relative paths start.
            connections: where other connections are found, such as one that embeds the queries.
            settings: declared as keyword-only parameters: the node's literal inputs of those names.

        Raises:
            UserError: what the flow's author can mend; it is shown with the place in the flow file.
        """
        ...


def open_index(
    connection: Connection | None, folder: Path, connections: ConnectionProvider, *, index: str
) -> IndexRetriever:
    """A retriever over an index of `pf index build`.

    Args:
        connection: embeds the queries, instead of the connection of the name that embedded the index.
        folder: the flow's folder.
        connections: where that connection is found.
        index: the index file: absolute, or inside the flow's folder.

    Raises:
        InputError: there is no index there, or none that can be read.
        ConnectionNotFound: the index was embedded by a connection that is not there.
    """
    opened = Index(_held_inside(folder, index))
    try:
        return IndexRetriever(opened, _query_embedder(opened, connection, connections))
    except UserError:
        opened.close()
        raise


def _held_inside(folder: Path, index: str) -> Path:
    if Path(index).is_absolute():
        return Path(index)
    depth = 0
    for step in Path(index).parts:
        depth += -1 if step == ".." else 1
        if depth < 0:
            raise InputError(
                f"{index!r} leads out of the flow's folder",
                code="path-outside-flow",
                hint="an absolute path may",
            )
    return folder / index


def _query_embedder(index: Index, connection: Connection | None, connections: ConnectionProvider) -> Embedder:
    if connection is not None:
        return _of_connection(connection, index.info.model, index.info.roles)
    return embedder_of(index.info.embedding, index.info.model, connections, roles=index.info.roles)


def embedder_of(
    embedding: str, model: str, connections: ConnectionProvider, *, roles: Roles = NO_ROLES
) -> Embedder:
    """The embedder of that name: `local`, or the connection's embedding model.

    Args:
        embedding: `local`, or a connection's name.
        model: the connection's model.
        connections: where it is found.
        roles: what the model wants before its texts, if its name does not tell.

    Raises:
        ConnectionNotFound: there is no such connection.
        InputError: a connection without a model, or the embedded model and a prefix.
    """
    if embedding == LOCAL:
        return _local(roles)
    return _of_connection(connections.get(embedding), model, roles)


def _local(roles: Roles) -> Embedder:
    if any(roles):
        raise InputError("the embedded model wants no prefix before its texts", code="embedding-model")
    return local_embedder()


def _of_connection(connection: Connection, model: str, roles: Roles) -> Embedder:
    if connection.TYPE == LOCAL:
        return _local(roles)
    model = model or connection.get("model") or ""
    if not model:
        raise InputError(
            f"connection {connection.name!r}: which of its embedding models?",
            code="embedding-model",
            hint="name it by --model",
        )

    async def call(texts: list[str]) -> list[list[float]]:
        return await embed(connection, texts, model)

    return RemoteEmbedder(model, call, roles=roles)


class Pushed(NamedTuple):
    """What came of bringing an index somewhere."""

    done: int
    """Passages that are there now."""
    removed: int
    """Passages of an earlier push that the index no longer has."""
    refused: dict[str, str]
    """Those that the service did not take, and why."""


class PushIndex(Protocol):
    """What the group `promptflow_lite.index_targets` holds, by the type of the connection."""

    async def __call__(
        self, index: Index, connection: Connection, name: str, *, analyzer: str, progress: Progress
    ) -> Pushed:
        """Bring the passages and vectors of `index` to the index `name` behind `connection`.

        Raises:
            NodeError: the service refused or could not be reached.
        """
        ...


def target_of(connection: Connection) -> PushIndex:
    """What brings an index to `connection`.

    Raises:
        InputError: indexes cannot be pushed to a connection of its type.
    """
    known = Registry("index_targets")
    if connection.TYPE not in known.names():
        raise InputError(
            f"connection {connection.name!r} of type {connection.TYPE!r} takes no index; "
            f"expected one of type {', '.join(known.names())}",
            code="wrong-connection",
        )
    push: PushIndex = known.get(connection.TYPE)
    return push


def make(node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """The tool of a retrieval node: its inputs in, a list of Documents out.

    Raises:
        FlowError: every complaint about the node's source, connection, settings and inputs.
    """
    place = _Place(flow, [other.name for other in flow.nodes].index(node.name))
    reranker = _reranker(node, connections, place)
    factory, given = _factory(node, place)
    declared = {name: param for name, param in _declared(factory).items() if name not in given}
    settings = _settings(node, declared, place) | given
    try:
        connection = connections.get(node.connection) if isinstance(node.connection, str) else None
    except UserError as error:
        raise place.error("unknown-connection", error.message, "connection", hint=error.hint) from error
    try:
        retriever = factory(connection, flow.folder, connections, **settings)
    except UserError as error:
        raise place.error(
            error.code, error.message, "inputs", *list(settings)[:1], hint=error.hint
        ) from error
    params = _params(node, retriever, declared, place)
    close = getattr(retriever, "close", None)
    return Made(
        Tool(
            name=node.name,
            call=partial(_retrieve, retriever, reranker, frozenset(declared)),
            params={**params, "rerank": Param("rerank", required=False)},
            mode="async",
            description=f"retrieval by {node.source.tool if node.source else ''}",
        ),
        closers=(close,) if close is not None else (),
    )


async def _retrieve(
    retriever: Retriever, reranker: Reranker | None, settings: frozenset[str], /, **inputs: Any
) -> list[Document]:
    asked = {name: value for name, value in inputs.items() if name not in settings and name != "rerank"}
    query, top_k = asked.pop("query"), asked.get("top_k", 3)
    try:
        if reranker is None:
            return await retriever.retrieve(query, **asked)
        accept(query, top_k, "keyword")
        found = await retriever.retrieve(query, **{**asked, "top_k": max(top_k, reranker.candidates)})
        first = await reranker.rank(query, found[: reranker.candidates])
        return [*first, *found[reranker.candidates :]][:top_k]
    except InputError as error:
        raise NodeError(error.message, code=error.code, hint=error.hint) from error


def _reranker(node: Node, connections: ConnectionProvider, place: _Place) -> Reranker | None:
    value = node.inputs.get("rerank")
    if isinstance(value, Ref):
        message = f"rerank is read when the flow is loaded; expected a literal, got {str(value)!r}"
        raise place.error("setting-by-reference", message, "inputs", "rerank")
    try:
        return reranker_of(value, connections)
    except UserError as error:
        raise place.error(error.code, error.message, "inputs", "rerank", hint=error.hint) from error


class _Place(NamedTuple):
    flow: Flow
    node: int

    def complaint(self, code: str, message: str, *path: str, hint: str | None = None) -> Diagnostic:
        return Diagnostic(code, message, self.flow.at("nodes", self.node, *path), hint)

    def error(self, code: str, message: str, *path: str, hint: str | None = None) -> FlowError:
        return FlowError([self.complaint(code, message, *path, hint=hint)])


def _factory(node: Node, place: _Place) -> tuple[OpenRetriever, dict[str, str]]:
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
    if colon and "source" not in _declared(factory):
        message = f"the retriever {name!r} takes nothing after its name, got {node.source.tool!r}"
        raise place.error("unknown-retriever", message, "source", "tool")
    return factory, {"source": source} if colon else {}


_GIVEN = ("connection", "folder", "connections")


def _declared(factory: OpenRetriever) -> dict[str, Param]:
    """The settings that the factory takes."""
    return {name: param for name, param in params_of(factory).items() if name not in _GIVEN}


def _settings(node: Node, declared: Mapping[str, Param], place: _Place) -> dict[str, Any]:
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


def _params(
    node: Node, retriever: Retriever, declared: Mapping[str, Param], place: _Place
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
