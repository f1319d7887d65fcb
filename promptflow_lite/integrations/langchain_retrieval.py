"""How does a retrieval node search with LangChain? Through any `BaseRetriever` or `VectorStore`, by its path.

Registered as `langchain`; `source.tool: langchain:package.module.name` names the object.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptflow_lite import aliases
from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.errors import ToolError, near_miss
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.retriever import accept
from promptflow_lite.tools import frames
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.python import evict_strangers
from promptflow_lite.values import to_plain

if TYPE_CHECKING:
    from langchain_core.documents import Document as Theirs
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.vectorstores import VectorStore

__all__ = [
    "LangchainRetriever",
    "LangchainStore",
    "document_of",
    "imported",
    "open_retriever",
    "retriever_of",
]


def open_retriever(
    connection: Connection | None, folder: Path, connections: ConnectionProvider, *, source: str
) -> LangchainRetriever | LangchainStore:
    """The retriever over a `BaseRetriever` or a `VectorStore`.

    Args:
        connection: not used.
        folder: the flow's folder, whose modules can be named.
        connections: not used.
        source: `package.module.name`.

    Raises:
        ToolError: it cannot be imported, is not there, or is neither.
    """
    return retriever_of(imported(source, folder), source)


def imported(path: str, folder: Path) -> Any:
    """The object `package.module.name`; modules of the flow's folder can be named.

    Raises:
        ToolError: it cannot be imported (`import-failed`) or is not there (`unknown-tool`).
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise ToolError(f"expected package.module.name after 'langchain:', got {path!r}", code="unknown-tool")
    aliases.install()
    with Home(folder):
        evict_strangers(folder)
        home = frames.guarded(
            lambda: importlib.import_module(module),
            lambda error, said: ToolError(f"importing {module!r} {said}", code="import-failed"),
        )
    if not hasattr(home, name):
        hint = near_miss(name, vars(home))
        raise ToolError(f"{module!r} has no {name!r}", code="unknown-tool", hint=hint)
    return getattr(home, name)


def retriever_of(found: Any, path: str) -> LangchainRetriever | LangchainStore:
    """The retriever over what stands at `path`.

    Raises:
        ToolError: it is neither a `BaseRetriever` nor a `VectorStore`.
    """
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.vectorstores import VectorStore

    match found:
        case BaseRetriever():
            return LangchainRetriever(found)
        case VectorStore():
            return LangchainStore(found)
        case _:
            message = f"{path}: expected a BaseRetriever or a VectorStore, got {type(found).__name__}"
            raise ToolError(message, code="no-retriever")


class LangchainRetriever:
    """Asks a retriever of LangChain's."""

    def __init__(self, retriever: BaseRetriever) -> None:
        self._retriever = retriever

    async def retrieve(self, query: str, *, top_k: int = 3) -> list[Document]:
        """Its first `top_k` documents. It gives no scores: the score is 1 over the rank.

        Raises:
            InputError: the query is no text, or `top_k` is not above 0.
        """
        accept(query, top_k, "keyword")
        found = await self._retriever.ainvoke(query)
        return [document_of(one, 1 / rank) for rank, one in enumerate(found[:top_k], start=1)]


class LangchainStore:
    """Searches a vector store of LangChain's."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    async def retrieve(self, query: str, *, top_k: int = 3, filter: Any = None) -> list[Document]:
        """Its `top_k` nearest documents, scored by relevance, or by 1 over the rank where it knows none.

        Args:
            query: any text.
            top_k: at most this many.
            filter: given on as the store's own.

        Raises:
            InputError: the query is no text, or `top_k` is not above 0.
        """
        accept(query, top_k, "keyword")
        how = {} if filter is None else {"filter": filter}
        try:
            scored = await self._store.asimilarity_search_with_relevance_scores(query, k=top_k, **how)
            return [document_of(one, float(score)) for one, score in scored]
        except NotImplementedError:  # its scores may be distances, and then less is better
            found = await self._store.asimilarity_search(query, k=top_k, **how)
            return [document_of(one, 1 / rank) for rank, one in enumerate(found, start=1)]


def document_of(theirs: Theirs, score: float = 0.0) -> Document:
    """LangChain's document as ours."""
    return Document(theirs.page_content, str(theirs.id or ""), score, to_plain(theirs.metadata))
