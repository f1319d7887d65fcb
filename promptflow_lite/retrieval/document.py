"""What does retrieval give back? Document, and the protocol of whoever finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Document", "Retriever", "place_of"]


@dataclass(frozen=True, slots=True)
class Document:
    """A passage: plain data, so that templates loop over it and metrics can read it."""

    content: str
    id: str = ""
    score: float = 0.0
    """Higher is better; comparable only within one answer of one retriever."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """`source` (file), `title`, `heading`, `start` and `end` (characters), and one of `line`, `page` and
    `paragraph` where they are known."""

    def to_json(self) -> dict[str, Any]:
        """The document as plain data."""
        return {"id": self.id, "content": self.content, "score": self.score, "metadata": dict(self.metadata)}


def place_of(metadata: Mapping[str, Any]) -> str:
    """Where in its file a passage begins, as people say it: `page 3`, `line 12`, `paragraph 4`, or nothing.

    >>> place_of({"source": "guide.pdf", "page": 3})
    'page 3'
    """
    return next(
        (f"{unit} {metadata[unit]}" for unit in ("page", "line", "paragraph") if unit in metadata), ""
    )


class Retriever(Protocol):
    """Finds documents for a query."""

    async def retrieve(self, query: str, *, top_k: int = 3, **how: Any) -> list[Document]:
        """The `top_k` best documents, best first.

        Args:
            query: any text.
            top_k: at most this many.
            how: what the retriever knows beyond that, such as `mode` or `filter`.
        """
        ...
