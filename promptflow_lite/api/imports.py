"""Which names of Prompt flow does code import that this house has not? Read from syntax trees, not run.

What there is to import is read the same way, from the modules that stand in for Prompt flow's (`aliases`).
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from promptflow_lite.aliases import ALIASES
from promptflow_lite.errors import Diagnostic, Mark, near_miss

__all__ = ["code_of", "imports_of", "lacking", "local_modules", "names_in"]

_TOP = "promptflow"
_OURS = "promptflow_lite.compat"


@lru_cache(maxsize=64)
def names_in(module: str) -> frozenset[str] | None:
    """The names that `from MODULE import ...` finds here, or `None` if there is no such module."""
    if module not in ALIASES:
        return None
    below = {name[len(module) + 1 :] for name in ALIASES if name.startswith(f"{module}.")}
    found = {name for name in below if "." not in name}
    path = _file_of(ALIASES[module])
    if path is None:
        return frozenset(found)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=names)):
                found |= set(_texts(names))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.List(elts=names)):
                found |= set(_texts(names))
            case ast.Assign(value=ast.Call(func=ast.Name(id="names_of"), args=[_, ast.Dict(keys=keys)])):
                found |= set(_texts(keys))
    return frozenset(found)


def _texts(nodes: Iterable[ast.expr | None]) -> Iterator[str]:
    return (n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _file_of(module: str) -> Path | None:
    """Where our module is; found by its path, since finding a package's part would import the package."""
    top = find_spec(_OURS.partition(".")[0])
    root = Path(top.submodule_search_locations[0]) if top and top.submodule_search_locations else None
    if root is None:
        return None
    base = root.joinpath(*module.split(".")[1:])
    places = (base.with_suffix(".py"), base / "__init__.py")
    return next((place for place in places if place.is_file()), None)


def code_of(path: Path) -> str:
    """The Python of a script, or of a notebook's cells one after the other.

    Commands of a notebook (`%pip`, `!ls`) are comments of as many lines.

    Raises:
        ValueError: the notebook is no JSON.
        OSError: it cannot be read.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text).get("cells", [])
    sources = ["".join(cell.get("source", "")) for cell in cells if cell.get("cell_type") == "code"]
    return "\n".join(_without_magic(source) for source in sources)


def _without_magic(cell: str) -> str:
    if cell.lstrip().startswith("%%"):
        return "\n".join(f"# {line}" for line in cell.splitlines())
    lines = []
    for line in cell.splitlines():
        bare = line.lstrip()
        indent = line[: len(line) - len(bare)]
        lines.append(f"{indent}pass  # {bare}" if bare[:1] in ("%", "!") else line)
    return "\n".join(lines)


def imports_of(tree: ast.Module) -> Iterator[tuple[str, str | None, ast.AST, bool]]:
    """Every absolute import: module, name (`None` for `import module`), place, whether a `try` guards it."""
    guarded = {id(n) for t in ast.walk(tree) if isinstance(t, ast.Try) for s in t.body for n in ast.walk(s)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.module, alias.name, node, id(node) in guarded
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None, node, id(node) in guarded


def parsed(path: Path) -> ast.Module | None:
    """The syntax tree of a script or a notebook, or `None` where it is none (whoever runs it says so)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the user's strings
            return ast.parse(code_of(path))
    except (SyntaxError, ValueError, OSError, RecursionError):
        return None


def lacking(path: Path) -> Iterator[Diagnostic]:
    """The names of Prompt flow that a script or a notebook uses and that are not here.

    A name that is imported under `try`, or inside a function, is a warning: the code may do without it.
    """
    tree = parsed(path)
    if tree is None:
        return
    top_level = {id(node) for node in tree.body}
    tops = {"promptflow"} if _imports_top(tree) else set()
    for module, name, node, is_guarded in imports_of(tree):
        if module.partition(".")[0] != _TOP:
            continue
        message = _missing(module, name)
        if message is not None:
            severe = not is_guarded and id(node) in top_level
            yield _complaint(path, node, *message, severe=severe)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=top), attr=name) if top in tops and not name.startswith("_"):
                if name not in (names_in(_TOP) or ()):
                    yield _complaint(path, node, f"{_TOP}.{name}", None, severe=False)


def _imports_top(tree: ast.Module) -> bool:
    return any(module == _TOP and name is None for module, name, _, _ in imports_of(tree))


def _missing(module: str, name: str | None) -> tuple[str, str | None] | None:
    known = names_in(module)
    if known is None:
        return module, near_miss(module, ALIASES)
    if name is None or name == "*" or name in known or f"{module}.{name}" in ALIASES:
        return None
    return f"{module}.{name}", near_miss(name, known)


def _complaint(path: Path, node: ast.AST, what: str, hint: str | None, *, severe: bool) -> Diagnostic:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
    message = f"{what} is not part of promptflow_lite; docs/compat.md lists what is"
    mark = Mark(str(path), line, column) if path.suffix != ".ipynb" else Mark(str(path), 1, 1)
    return Diagnostic("missing-name", message, mark, hint, "error" if severe else "warning")


def local_modules(tree: ast.Module, roots: Mapping[str, Path]) -> Iterator[Path]:
    """The files of a folder that code imports by name.

    Args:
        tree: the code.
        roots: the folder's modules and packages, by the name they are imported under.
    """
    for module, name, _, _ in imports_of(tree):
        parts = module.split(".")
        root = roots.get(parts[0])
        if root is None:
            continue
        base = root if root.suffix == ".py" else root.joinpath(*parts[1:])
        places = [base, base.with_suffix(".py"), base / "__init__.py"]
        places += [base / f"{name}.py"] if name else []
        yield from (place for place in places if place.suffix == ".py" and place.is_file())
