"""`Prompty` and `AsyncPrompty` of `promptflow.core`: ours, raising what Prompt flow raises."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from promptflow_lite.api import prompty
from promptflow_lite.compat.sdk_errors import raising

__all__ = ["AsyncPrompty", "Prompty"]

_Self = TypeVar("_Self", bound=prompty.Prompty)


class Prompty(prompty.Prompty):
    """A prompt to call."""

    @classmethod
    def load(cls: type[_Self], source: str | Path, **changes: Any) -> _Self:
        """The prompt in the file `source`; `model={...}` changes its model."""
        with raising():
            return super().load(source, **changes)

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """What the model says."""
        with raising():
            return super().__call__(*args, **inputs)

    def render(self, *args: Any, **inputs: Any) -> str:
        """The prompt as it would be sent."""
        with raising():
            return super().render(*args, **inputs)

    def estimate_token_count(self, *args: Any, **inputs: Any) -> int:
        """About how many tokens the prompt and the longest answer to it have together."""
        with raising():
            return super().estimate_token_count(*args, **inputs)


class AsyncPrompty(Prompty):
    """A prompt to await."""

    async def __call__(self, *args: Any, **inputs: Any) -> Any:
        """What the model says."""
        with raising():
            return await self._asked(args, inputs)
