"""Which packages does a flow's own code import? Read from its syntax trees; nothing is imported."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

__all__ = ["Imported", "imported", "packages_by_module"]

_OURS = frozenset({"promptflow", "promptflow_lite"})
_LARGEST = 1024 * 1024


class Imported(NamedTuple):
    """What code imports besides the standard library, itself and us."""

    distributions: list[str]
    """The packages that have these modules, sorted."""
    unknown: dict[str, str]
    """Modules that no installed package has, with the file that imports each."""


@cache
def packages_by_module() -> Mapping[str, list[str]]:
    """The installed packages that have each module; read once, for all their lists of files are."""
    return packages_distributions()


def imported(folder: Path) -> Imported:
    """What the Python files under a folder import.

    A module inside `try` or `if` that is not installed is passed over: its absence is thought of.
    """
    files = sorted(path for path in folder.rglob("*.py") if path.stat().st_size <= _LARGEST)
    own = {path.stem for path in files} | {path.parent.name for path in files}
    have = packages_by_module()
    found: set[str] = set()
    unknown: dict[str, str] = {}
    for path in files:
        for name, is_sure in _modules(path):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in own or top in _OURS:
                continue
            if top in have:
                found.update(_nearest(name, have[top]))
            elif is_sure:
                unknown.setdefault(top, path.relative_to(folder).as_posix())
    return Imported(sorted(found), unknown)


def _nearest(module: str, distributions: Iterable[str]) -> list[str]:
    """Of several packages that share a namespace, such as `google`, the one that has the module's name."""
    several = list(dict.fromkeys(distributions))
    if len(several) < 2:
        return several
    dashed = module.replace(".", "-").replace("_", "-").lower()
    named = [name for name in several if dashed.startswith(name.replace("_", "-").replace(".", "-").lower())]
    return [max(named, key=len)] if named else several


def _modules(path: Path) -> Iterator[tuple[str, bool]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the author's own, such as a bad escape in a text
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):  # not loaded by the flow, or complained about there
            return
    yield from _of(tree, is_sure=True)


def _of(tree: ast.AST, *, is_sure: bool) -> Iterator[tuple[str, bool]]:
    for part in ast.iter_child_nodes(tree):
        if isinstance(part, ast.Import):
            yield from ((alias.name, is_sure) for alias in part.names)
        elif isinstance(part, ast.ImportFrom) and not part.level and part.module:
            yield from ((f"{part.module}.{alias.name}", is_sure) for alias in part.names)
        else:
            yield from _of(part, is_sure=is_sure and not isinstance(part, ast.Try | ast.If))
