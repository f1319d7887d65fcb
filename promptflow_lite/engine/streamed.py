"""What does a node get of one that streamed? Its whole text; a loop over it gives the parts again.

Prompt flow hands the generator itself to the nodes that read it (flow-language 2), so that one reader alone
gets the parts, and the record of the run none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

__all__ = ["Streamed"]


class Streamed(str):
    """The text of a generator's parts; a loop over it, `for` or `async for`, gives the parts as they came."""

    __slots__ = ("parts",)
    parts: Sequence[Any]

    def __new__(cls, parts: Sequence[Any]) -> Streamed:
        """The text of `parts`, which need not be text."""
        made = super().__new__(cls, "".join(map(str, parts)))
        made.parts = parts
        return made

    def __iter__(self) -> Iterator[Any]:
        return iter(self.parts)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for part in self.parts:
            yield part

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)
