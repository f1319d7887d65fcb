"""How is an index searched while a flow runs? Off the event loop, by whoever awaits."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.embed import Embedder, embedded, roles_for
from promptflow_lite.retrieval.index import Index, IndexMode

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["IndexRetriever", "accept", "check_embedder"]


class IndexRetriever:
    """Searches an open index off the event loop.

    Args:
        index: closed by `close`.
        embedder: embeds the queries.

    Raises:
        InputError: the index was embedded by another embedder (code `index-embedder`), or its words were cut
            by another tokenizer (`index-tokenizer`).
        MissingExtra: its tokenizer needs a package that is not installed.
    """

    def __init__(self, index: Index, embedder: Embedder) -> None:
        check_embedder(index, embedder)
        self._index = index
        self._embedder = embedder
        # Threads of our own: the loop's default ones may all be held by the user's tools.
        self._threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="pf-index")

    async def retrieve(
        self,
        query: str,
        *,
        top_k: int = 3,
        mode: IndexMode = "hybrid",
        filter: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        diversity: float = 0.0,
    ) -> list[Document]:
        """The `top_k` best passages, best first.

        Args:
            query: any text.
            top_k: at most this many.
            mode: `keyword`, `vector`, `hybrid` or `rrf`.
            filter: what must hold of a passage's metadata: names and what each must equal, a list of which it
                must be one, or `min` and `max`.
            min_score: leave out what scores less; the scale is the mode's.
            diversity: from 0, best first, to 1, each as unlike those before it as can be.

        Raises:
            InputError: a value is not of these.
        """
        accept(query, top_k, mode)
        _accept_number("min_score", min_score)
        _accept_number("diversity", diversity, least=0, most=1)
        vector = None
        if mode != "keyword" and inspect.iscoroutinefunction(self._embedder.embed):
            vector = (await embedded([query], self._embedder, queries=True))[0]
        search = partial(
            self._search,
            query,
            vector,
            top_k=top_k,
            mode=mode,
            filter=filter,
            min_score=min_score,
            diversity=diversity or 0.0,
        )
        return await asyncio.get_running_loop().run_in_executor(self._threads, search)

    def _search(self, query: str, vector: Vectors | None, *, mode: IndexMode, **how: Any) -> list[Document]:
        if vector is None and mode != "keyword":
            asked = roles_for(self._embedder).query + query
            vector = cast("Vectors", self._embedder.embed([asked]))[0]
        return self._index.search(query, vector, mode=mode, **how)

    async def warm(self) -> None:
        """Read the weights of an embedder of this machine; a service's is not asked, for that may cost."""
        if not inspect.iscoroutinefunction(self._embedder.embed):
            await asyncio.get_running_loop().run_in_executor(self._threads, self._embedder.embed, ["."])

    def close(self) -> None:
        """End the threads and close the index."""
        self._threads.shutdown(cancel_futures=True)
        self._index.close()


def check_embedder(index: Index, embedder: Embedder) -> None:
    """Check that the index can be searched here: by its own embedder, its words cut as they were.

    Raises:
        InputError, MissingExtra: as `IndexRetriever`.
    """
    if index.info.embedder != embedder.name:
        raise InputError(
            f"{index.path}: embedded by {index.info.embedder!r}; {embedder.name!r} makes other vectors",
            code="index-embedder",
            hint=f"search it with {index.info.embedder!r}, or build it again with {embedder.name!r}",
        )
    _ = index.terms  # a tokenizer that is not here is a complaint now, not at the first query


def accept(query: str, top_k: int, mode: str) -> None:
    """Check what every retriever is asked.

    Raises:
        InputError: the query is no text, `top_k` is not above 0, or `mode` is no `IndexMode`.
    """
    if not isinstance(query, str):
        raise InputError(f"query: expected text, got {type(query).__name__}", code="bad-query")
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise InputError(f"top_k: expected a whole number above 0, got {top_k!r}", code="bad-query")
    modes = get_args(IndexMode)
    if mode not in modes:
        raise InputError(
            f"mode: expected one of {', '.join(modes)}, got {mode!r}",
            code="bad-query",
            hint=near_miss(str(mode), modes),
        )


def _accept_number(
    name: str, value: Any, *, least: float = float("-inf"), most: float = float("inf")
) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        expected = "a number" if least == float("-inf") else f"a number from {least} to {most}"
        raise InputError(f"{name}: expected {expected}, got {value!r}", code="bad-query")
