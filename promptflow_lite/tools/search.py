"""What does a retrieval node call? A retriever of the entry-point group `promptflow_lite.retrievers`.

A plugin registers an `OpenRetriever` (`tools.retrieval_settings`). Its keyword-only parameters are the
node's settings: literals, read once when the flow is bound. The parameters of its retriever's `retrieve` are
the node's other inputs, which may be references.

Every retriever has the setting `rerank` besides (`tools.rerank`).

`source.tool: NAME:PATH` is short for `NAME` with the setting `source: PATH`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.errors import InputError, NodeError, UserError
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.registry import Registry
from promptflow_lite.retrieval.document import Document, Retriever
from promptflow_lite.retrieval.embed import Embedder
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.retriever import IndexRetriever, accept
from promptflow_lite.tools.embedders import embedder_of, of_connection
from promptflow_lite.tools.place import place_of
from promptflow_lite.tools.rerank import Reranker
from promptflow_lite.tools.retrieval_settings import (
    declared_by,
    factory_of,
    params_for,
    reranker_for,
    settings_of,
)
from promptflow_lite.tools.tool import Made, Param, Tool

if TYPE_CHECKING:
    from promptflow_lite.retrieval.build import Progress

__all__ = ["PushIndex", "Pushed", "embedder_of", "make", "open_index", "target_of"]


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
        return of_connection(connection, index.info.model, index.info.roles)
    return embedder_of(index.info.embedding, index.info.model, connections, roles=index.info.roles)


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
    place = place_of(node, flow)
    reranker = reranker_for(node, connections, place)
    factory, given = factory_of(node, place)
    declared = {name: param for name, param in declared_by(factory).items() if name not in given}
    settings = settings_of(node, declared, place) | given
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
    params = params_for(node, retriever, declared, place)
    close, warm = getattr(retriever, "close", None), getattr(retriever, "warm", None)
    return Made(
        Tool(
            name=node.name,
            call=partial(_retrieve, retriever, reranker, frozenset(declared)),
            params={**params, "rerank": Param("rerank", required=False)},
            mode="async",
            description=f"retrieval by {node.source.tool if node.source else ''}",
        ),
        closers=(close,) if close is not None else (),
        warmers=(warm,) if warm is not None and node.inputs.get("mode") != "keyword" else (),
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
