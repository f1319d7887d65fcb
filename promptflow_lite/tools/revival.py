"""What if the process of an embedded model dies? Another is started, and what it worked on is asked again.

The prompt may be what it died of: a call during which it has died twice is failed, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from promptflow_lite.tools.endpoint import Embedded, Endpoint
from promptflow_lite.tools.failure import ModelError

__all__ = ["reviving"]

T = TypeVar("T")

_DEATHS = 2
"""With how many deaths during it a call is given up."""
_DYING_S = 0.2
"""Its connections are gone a moment before it counts as ended."""


def reviving(endpoint: Endpoint, ask: Callable[[Endpoint], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """One call, to be tried as often as need be, each time at an endpoint that lives.

    Args:
        endpoint: where it is asked; only that of an embedded model is ours to start again.
        ask: the call.

    Raises:
        ModelError: what `ask` raises; `connection` if the model's process died twice of it.
    """
    if endpoint.embedded is None:
        return lambda: ask(endpoint)
    return _Revival(endpoint, endpoint.embedded, ask).tried


class _Revival(Generic[T]):
    def __init__(
        self, endpoint: Endpoint, embedded: Embedded, ask: Callable[[Endpoint], Awaitable[T]]
    ) -> None:
        self._endpoint = endpoint
        self._embedded = embedded
        self._ask = ask
        self._deaths = 0

    async def tried(self) -> T:
        """What the call gives."""
        if not self._embedded.is_running():
            self._endpoint = await self._embedded.again()
            self._embedded = self._endpoint.embedded or self._embedded
        try:
            return await self._ask(self._endpoint)
        except ModelError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(_DYING_S)
            self._deaths += not self._embedded.is_running()
            if self._deaths < _DEATHS:
                raise
            said = f"the process of the embedded model died {_DEATHS} times during this call"
            raise ModelError(f"{self._endpoint.name}: {said}", code="connection") from error
