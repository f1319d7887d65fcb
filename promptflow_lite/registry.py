"""Which plugin answers to a name? Entry points of one group, loaded on first use."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from promptflow_lite.errors import PluginNotFound, ToolError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Registry"]


class Registry:
    """The plugins of one entry-point group.

    Args:
        group: for example `retrievers`, short for the group `promptflow_lite.retrievers`.
    """

    def __init__(self, group: str) -> None:
        self.group = f"promptflow_lite.{group}"

    def names(self) -> list[str]:
        """The names that `get` knows, sorted."""
        return sorted(_points(self.group))

    def get(self, name: str) -> Any:
        """The object registered under `name`.

        Raises:
            PluginNotFound: no plugin has that name; the error lists those that exist.
            ToolError: the plugin's module cannot be imported.
        """
        points = _points(self.group)
        if name not in points:
            raise PluginNotFound(name, points, hint=f"plugins of the group {self.group!r}")
        try:
            return points[name].load()
        except (ImportError, AttributeError) as error:
            raise ToolError(
                f"plugin {name!r} of {self.group!r} ({points[name].value}) cannot be loaded: {error}",
                code="plugin-broken",
            ) from error


@lru_cache(maxsize=32)
def _points(group: str) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415  # heavy: a flow without plugins needs none

    return {point.name: point for point in entry_points(group=group)}
