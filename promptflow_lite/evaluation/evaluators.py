"""Which evaluation flow answers to a name? A plugin's, or one of those that come with the package."""

from __future__ import annotations

from pathlib import Path

from promptflow_lite.errors import PluginNotFound, ToolError
from promptflow_lite.registry import Registry

__all__ = ["PREFIX", "find", "names"]

PREFIX = "evaluator:"
"""What a flow's name starts with where an evaluator is meant: `pf run create --flow evaluator:qa_text`."""

_HERE = Path(__file__).resolve().parent
_FOLDERS = (_HERE / "shipped", _HERE.parents[1] / "evaluators")
"""Where the shipped evaluators are: in the wheel beside this module, in a checkout beside the package."""


def names() -> list[str]:
    """The names that `find` knows, sorted."""
    return sorted({*_shipped(), *Registry("evaluators").names()})


def find(name: str) -> Path:
    """The folder of the evaluation flow of that name.

    Args:
        name: with or without the prefix `evaluator:`. A plugin wins over a shipped evaluator of its name.

    Raises:
        PluginNotFound: no evaluator has that name; the error lists those that exist.
        ToolError: a plugin of that name gives no path.
    """
    plain = name.removeprefix(PREFIX)
    if plain in Registry("evaluators").names():
        found = Registry("evaluators").get(plain)
        if not isinstance(found, str | Path):
            raise ToolError(
                f"the evaluator plugin {plain!r} gives {found!r}; expected the path of a flow",
                code="plugin-broken",
            )
        return Path(found)
    shipped = _shipped()
    if plain not in shipped:
        raise PluginNotFound(plain, names(), hint="an evaluator of your own is given by its path")
    return shipped[plain]


def _shipped() -> dict[str, Path]:
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    flows = folder.glob("*/flow.dag.yaml") if folder is not None else ()
    return {flow.parent.name: flow.parent for flow in flows}
