"""Which embedder is meant by a name? The embedded one, or a connection's embedding model."""

from __future__ import annotations

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.embed import LOCAL, NO_ROLES, Embedder, RemoteEmbedder, Roles, local_embedder
from promptflow_lite.tools.clients import embed

__all__ = ["embedder_of", "of_connection"]


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
    return of_connection(connections.get(embedding), model, roles)


def _local(roles: Roles) -> Embedder:
    if any(roles):
        raise InputError("the embedded model wants no prefix before its texts", code="embedding-model")
    return local_embedder()


def of_connection(connection: Connection, model: str, roles: Roles) -> Embedder:
    """The embedder behind a connection.

    Args:
        connection: that of a service, or of the embedded model.
        model: which of its models; empty for the one that the connection names.
        roles: what the model wants before its texts.

    Raises:
        InputError: no model is named, or the embedded model and a prefix.
    """
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
