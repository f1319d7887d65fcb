"""How does a retrieval node search Azure AI Search? A retriever over the client of azure-search-documents.

Registered as `azure_ai_search`; the node's connection is of type `cognitive_search`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.errors import InputError, NodeError
from promptflow_lite.integrations.azure_service import credential_of, failure_of
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.embed import Embedder, Roles, embedded
from promptflow_lite.retrieval.index import IndexMode
from promptflow_lite.retrieval.retriever import accept
from promptflow_lite.tools.embedders import embedder_of
from promptflow_lite.tools.pacing import Pacer

if TYPE_CHECKING:
    from azure.search.documents.aio import SearchClient

__all__ = ["AzureSearchRetriever", "open_search"]

_CONNECT_S = 5
_READ_S = 60
# A service that is busy is busy for every node that asks it. Kept by event loop, and gone with it.
_PACERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Pacer]] = WeakKeyDictionary()


def open_search(
    connection: Connection | None,
    folder: Path,
    connections: ConnectionProvider,
    *,
    index: str,
    content_field: str = "content",
    id_field: str = "id",
    title_field: str = "",
    metadata_field: str = "",
    vector_field: str = "",
    select: list[str] | None = None,
    semantic_configuration_name: str = "",
    embedding: str = "",
    model: str = "",
    query_prefix: str = "",
) -> AzureSearchRetriever:
    """A retriever over an index of Azure AI Search.

    Args:
        connection: of type `cognitive_search`.
        folder: not used.
        connections: where the connection of `embedding` is found.
        index: the index's name.
        content_field: the field that becomes a document's content.
        id_field: the field that becomes its id.
        title_field: the field that becomes `metadata.title`.
        metadata_field: the field whose JSON is the metadata, in place of the other fields: `metadata` in an
            index of `pf index push`.
        vector_field: the field that vector queries search; without it there are none.
        select: the fields to fetch besides these; all retrievable ones, unless told.
        semantic_configuration_name: ranks answers by it.
        embedding: embeds the queries: `local` or a connection. Without it the service does, by the vectorizer
            of the index.
        model: that connection's embedding model.
        query_prefix: what it wants before a query, if its name does not tell.

    Raises:
        InputError: no connection, or one that cannot be used.
    """
    if connection is None:
        raise InputError(
            "azure_ai_search: the node needs a connection of type cognitive_search", code="no-connection"
        )
    fields = {"id": id_field, "content": content_field} | ({"title": title_field} if title_field else {})
    if metadata_field:
        fields |= {"metadata": metadata_field}
        select = select or [metadata_field]
    return AzureSearchRetriever(
        connection,
        index,
        fields=fields,
        vector_field=vector_field,
        select=[*dict.fromkeys([*fields.values(), *select])] if select else None,
        semantic_configuration=semantic_configuration_name,
        embedder=embedder_of(embedding, model, connections, roles=Roles(query=query_prefix))
        if embedding
        else None,
    )


class AzureSearchRetriever:
    """Searches one index of Azure AI Search."""

    def __init__(
        self,
        connection: Connection,
        index: str,
        *,
        fields: Mapping[str, str],
        vector_field: str = "",
        select: list[str] | None = None,
        semantic_configuration: str = "",
        embedder: Embedder | None = None,
        new_pacer: Callable[[], Pacer] | None = None,
    ) -> None:
        self._connection = connection
        self._index = index
        self._fields = fields
        self._vector_field = vector_field
        self._select = select
        self._semantic_configuration = semantic_configuration
        self._embedder = embedder
        self._new_pacer = new_pacer
        self._client: SearchClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def retrieve(
        self, query: str, *, top_k: int = 3, mode: IndexMode | None = None, filter: str | None = None
    ) -> list[Document]:
        """The `top_k` best documents, best first.

        Args:
            query: any text.
            top_k: at most this many.
            mode: `keyword`, `vector`, or `hybrid` or `rrf`, which are one here: the service fuses by
                reciprocal ranks. Hybrid if there is a vector field, else keyword.
            filter: an OData expression, such as `product eq 'lamp'`.

        Raises:
            InputError: a value is not of these.
            NodeError: the service refused or could not be reached.
        """
        mode = mode or ("hybrid" if self._vector_field else "keyword")
        accept(query, top_k, mode)
        if mode != "keyword" and not self._vector_field:
            raise InputError(f"mode: {mode} needs the setting vector_field", code="bad-query")
        request: dict[str, Any] = {"top": top_k, "filter": filter or None, "select": self._select}
        if mode != "vector":
            request["search_text"] = query
        if mode != "keyword":
            request["vector_queries"] = [await self._vector_query(query, top_k)]
        if self._semantic_configuration and mode != "vector":
            request["query_type"] = "semantic"
            request["semantic_configuration_name"] = self._semantic_configuration
        client = self._open()
        return await self._pacer().call(lambda: self._ask(client, request))

    async def _vector_query(self, query: str, top_k: int) -> Any:
        from azure.search.documents.models import VectorizableTextQuery, VectorizedQuery

        how: dict[str, Any] = {"k_nearest_neighbors": max(top_k, 50), "fields": self._vector_field}
        if self._embedder is None:
            return VectorizableTextQuery(text=query, **how)
        vectors = await embedded([query], self._embedder, queries=True)
        return VectorizedQuery(vector=vectors[0].tolist(), **how)

    async def _ask(self, client: SearchClient, request: Mapping[str, Any]) -> list[Document]:
        from azure.core.exceptions import AzureError

        try:
            answer = await client.search(**request)
            return [self._document(found) async for found in answer]
        except AzureError as error:
            raise failure_of(error, self._index) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # That is how the client meets a proxy's page.
            message = f"Azure AI Search, index {self._index!r}: the answer is no search result"
            raise NodeError(message, code="bad-answer") from error

    def _document(self, found: Mapping[str, Any]) -> Document:
        reranked = found.get("@search.reranker_score")
        if missing := [field for field in self._fields.values() if field not in found]:
            has = ", ".join(key for key in found if not key.startswith("@"))
            raise NodeError(
                f"Azure AI Search, index {self._index!r}: "
                f"documents have no field {missing[0]!r}; they have {has}",
                code="search-field-not-found",
                hint="set content_field, id_field or title_field",
            )
        content, name = found[self._fields["content"]], found[self._fields["id"]]
        return Document(
            content="" if content is None else str(content),
            id="" if name is None else str(name),
            score=float(found["@search.score"] if reranked is None else reranked),
            metadata=self._metadata(found),
        )

    def _metadata(self, found: Mapping[str, Any]) -> dict[str, Any]:
        if "metadata" in self._fields:
            said = json.loads(found[self._fields["metadata"]] or "{}")
            return said if isinstance(said, dict) else {}
        taken = {*self._fields.values(), self._vector_field}
        metadata = {
            key: value for key, value in found.items() if key not in taken and not key.startswith("@search.")
        }
        if "title" in self._fields:
            metadata["title"] = found[self._fields["title"]]
        return metadata

    def _open(self) -> SearchClient:
        """The client of the running loop: its sockets belong to one."""
        from azure.search.documents.aio import SearchClient

        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client = SearchClient(
                self._connection["api_base"],
                self._index,
                credential_of(self._connection),
                retry_total=0,  # the pacer does that, for all lines together
                permit_redirects=False,  # the key would go where the answer points
                connection_timeout=_CONNECT_S,
                read_timeout=_READ_S,
            )
            self._loop = loop
        return self._client

    def _pacer(self) -> Pacer:
        """The one of all who ask this service by this connection on this event loop."""
        pacers = _PACERS.setdefault(asyncio.get_running_loop(), {})
        known = (self._connection.name, self._connection["api_base"])
        if known not in pacers:
            pacers[known] = (self._new_pacer or Pacer)()
        return pacers[known]

    async def close(self) -> None:
        """Close the connections to the service."""
        if self._client is not None and self._loop is asyncio.get_running_loop():
            await self._client.close()
        self._client = None
