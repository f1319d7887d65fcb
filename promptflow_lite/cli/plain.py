"""How is a typed word read without a library? Texts, paths, and one of several words, alone or in a list.

Typer reads every value with pydantic, whose import takes half as long again as all of `pf flow test`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

__all__ = ["read_plainly"]


def read_plainly(params: Iterable[Any]) -> list[Any]:
    """A command's parameters, which read by themselves what is plain, or is not given.

    Args:
        params: typer's. What is not plain, or is wrong, typer reads, with its messages.
    """
    found = list(params)
    for param in found:
        if not isinstance(param._runtime_param, _Plain):
            param._runtime_param = _Plain(param.type_descriptor.annotation)
    return found


class _NotPlain(Exception):
    pass


class _Plain:
    """In the place of typer's `RuntimeParam`."""

    def __init__(self, annotation: Any) -> None:
        self._is_list = get_origin(annotation) is list
        self._word = get_args(annotation)[0] if self._is_list else annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        try:
            return [self._read(item) for item in value] if self._is_list else self._read(value)
        except _NotPlain:
            param._runtime_param = None
            return param.get_runtime_param().coerce(value, param=param, ctx=ctx)

    def _read(self, value: Any) -> Any:
        if self._word in (str, bool) and isinstance(value, self._word):
            return value
        if self._word is Path and isinstance(value, str | Path):
            return Path(value)
        if isinstance(self._word, type) and issubclass(self._word, Enum):
            for member in self._word:
                if value in (member, member.value):
                    return member
        raise _NotPlain
