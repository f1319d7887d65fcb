"""`python -m promptflow_lite.compat script.py ...` runs code that imports `promptflow`.

A script, a module (`-m module`) or a notebook's code; arguments and exit code pass through.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from promptflow_lite import aliases
from promptflow_lite.api.imports import code_of

_USAGE = "usage: python -m promptflow_lite.compat SCRIPT.py|NOTEBOOK.ipynb|-m MODULE [ARGUMENTS]"


def main(args: Sequence[str]) -> None:
    """Run what `args` names, as `__main__`."""
    if not args or args[0] in ("-h", "--help") or args == ["-m"]:
        sys.exit(_USAGE)
    aliases.install()
    if args[0] == "-m":
        sys.argv = list(args[1:])
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
        return
    path = Path(args[0])
    if not path.is_file():
        sys.exit(f"there is no file {args[0]!r}\n{_USAGE}")
    sys.argv = list(args)
    sys.path.insert(0, str(path.resolve().parent))
    if path.suffix == ".ipynb":
        _run_notebook(path.resolve())
    else:
        runpy.run_path(args[0], run_name="__main__")


def _run_notebook(path: Path) -> None:
    """The cells one after the other, in the notebook's folder; commands (`%pip`, `!ls`) are passed over."""
    os.chdir(path.parent)
    vars(builtins).setdefault("display", print)
    try:
        code = compile(code_of(path), str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError) as error:
        sys.exit(f"{path}: no notebook of Python: {error}")
    main_module = sys.modules["__main__"]
    vars(main_module).update(__file__=str(path))
    result = eval(code, vars(main_module))  # noqa: S307  the notebook that the person runs
    if inspect.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    main(sys.argv[1:])
