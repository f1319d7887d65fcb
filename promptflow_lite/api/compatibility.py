"""Which flows of a tree run here, which with a warning, which not and why? No user code is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import PathFinder
from operator import attrgetter
from pathlib import Path
from typing import Literal

from promptflow_lite.api.imports import imports_of, lacking, local_modules, parsed
from promptflow_lite.connections.store import provider
from promptflow_lite.errors import Diagnostic, FlowError, Mark, UserError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from promptflow_lite.settings import settings

__all__ = ["Finding", "Verdict", "find_flows", "find_scripts", "survey", "survey_script"]

Verdict = Literal["runs", "warnings", "fails"]

_FLOWS = ("flow.dag.yaml", "flow.dag.yml", "flow.flex.yaml", "flow.flex.yml")
_PASSED_OVER = frozenset(
    {".git", ".venv", "venv", "node_modules", "__pycache__", ".promptflow", ".runs", "site-packages", ".tox"}
)
_MENDABLE = frozenset({"unknown-connection"})
"""Errors of a check that are about this machine and not about the flow."""


@dataclass(frozen=True)
class Finding:
    """What is known of one flow, or of one script."""

    path: Path
    diagnostics: tuple[Diagnostic, ...]

    @property
    def verdict(self) -> Verdict:
        """`fails` with an error, `warnings` with warnings only."""
        if any(d.severity == "error" for d in self.diagnostics):
            return "fails"
        return "warnings" if self.diagnostics else "runs"


def find_flows(folders: Iterable[Path]) -> Iterator[Path]:
    """Every flow file below folders; a file is taken as it is.

    Raises:
        UserError: nothing is there.
    """
    yield from _below(folders, lambda name: name in _FLOWS or name.endswith(".prompty"))


def find_scripts(folders: Iterable[Path]) -> Iterator[Path]:
    """Every script and notebook below folders that names `promptflow`."""
    for path in _below(folders, lambda name: name.endswith((".py", ".ipynb"))):
        with suppress(OSError):  # a link to nowhere, a file of somebody else's
            if b"promptflow" in path.read_bytes():
                yield path


def _below(folders: Iterable[Path], wanted: Callable[[str], bool]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file():
            yield folder
            continue
        if not folder.is_dir():
            raise UserError(f"there is nothing at {str(folder)!r}", code="flow-not-found")
        for top, names, files in os.walk(folder):
            names[:] = sorted(name for name in names if name not in _PASSED_OVER)
            yield from (Path(top, file) for file in sorted(files) if wanted(file))


def survey(path: Path) -> Finding:
    """What is known of the flow at `path`, without running or importing any of it."""
    try:
        flow = load_flow(path)
        found = check(flow, provider(settings()).names())
    except FlowError as error:
        return Finding(path, tuple(error.diagnostics))
    except UserError as error:
        return Finding(path, (Diagnostic(error.code, error.message, Mark(str(path), 1, 1), error.hint),))
    found += [*_of_tools(flow), *_of_code(flow)]
    kept = dict.fromkeys(replace(d, severity="warning") if d.code in _MENDABLE else d for d in found)
    return Finding(path, tuple(sorted(kept, key=attrgetter("place"))))


def survey_script(path: Path) -> Finding:
    """Which names of Prompt flow a script or a notebook uses that are not here."""
    return Finding(path, tuple(lacking(path)))


def _of_tools(flow: Flow) -> Iterator[Diagnostic]:
    """Package tools that are refused, or whose package is not here; found by name, not imported."""
    from promptflow_lite.tools.package import refusal_of  # noqa: PLC0415  # loads what calls models: first use

    for index, node in enumerate(flow.nodes):
        tool = node.source.tool if node.source is not None and node.type != "retrieval" else None
        if not tool or ":" in tool:
            continue
        mark = flow.at("nodes", index, "source", "tool")
        refused = refusal_of(tool)
        if refused is not None:
            message = f"the tool {tool!r} is not part of promptflow_lite"
            yield Diagnostic("tool-not-supported", message, mark, refused)
        elif "." in tool and not tool.startswith("promptflow") and not _is_installed(tool, flow.folder):
            message = f"the package of the tool {tool!r} is not installed here"
            yield Diagnostic("package-not-installed", message, mark, severity="warning")


def _of_code(flow: Flow) -> Iterator[Diagnostic]:
    """What the flow's scripts, and the files of the folder that they import, use of Prompt flow."""
    here = {p.stem: p for p in flow.folder.glob("*.py")}
    here |= {p.parent.name: p.parent for p in flow.folder.glob("*/__init__.py")}
    left = [path for path in _scripts(flow) if path.is_file()]
    seen: set[Path] = set()
    while left:
        path = left.pop(0)
        if path in seen:
            continue
        seen.add(path)
        yield from lacking(path)
        tree = parsed(path)
        if tree is None:
            continue
        for module, _, node, is_guarded in imports_of(tree):
            top = module.partition(".")[0]
            if top not in here and not is_guarded and not _is_installed(top, flow.folder):
                message = f"the package {top!r} is not installed here"
                mark = Mark(str(path), getattr(node, "lineno", 1), 1)
                yield Diagnostic("package-not-installed", message, mark, severity="warning")
        left += local_modules(tree, here)


def _scripts(flow: Flow) -> Sequence[Path]:
    paths = [
        flow.folder / node.source.path
        for node in flow.nodes
        if node.type == "python" and node.source is not None and node.source.path
    ]
    entry = flow.document.data.get("entry") if isinstance(flow.document.data, dict) else None
    if isinstance(entry, str) and ":" in entry:
        paths.append(flow.folder.joinpath(*entry.partition(":")[0].split(".")).with_suffix(".py"))
    return list(dict.fromkeys(paths))


def _is_installed(module: str, folder: Path) -> bool:
    top = module.partition(".")[0]
    return (
        top in ("promptflow", "__future__")
        or top in sys.builtin_module_names
        or top in sys.stdlib_module_names
        or _found(top)
        or (folder / top).is_dir()
    )


@lru_cache(maxsize=1024)
def _found(top: str) -> bool:
    return PathFinder.find_spec(top) is not None
