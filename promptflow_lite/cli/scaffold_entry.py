"""How does a function that is there become a flow? A tool that calls it, and its prompts as nodes."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.prompts.chat import compile_chat

__all__ = ["create_for_entry"]

_TYPES = {"int": "int", "float": "double", "bool": "bool", "list": "list", "List": "list", "dict": "object"}

_TOOL = """\
from promptflow_lite import tool

from {module} import {function}


@tool
def {function}_tool({parameters}):
    return {call}{function}({arguments})
"""


def create_for_entry(
    folder: Path, entry: str, function: str, prompts: Mapping[str, str], *, overwrite: bool
) -> list[Path]:
    """Write a tool and a flow.dag.yaml beside the code of `entry`; returns the files.

    Args:
        folder: of the code and of the flow.
        entry: the Python file, in the folder.
        function: its function that a node shall call.
        prompts: parameter of the function to the template that gives its value.
        overwrite: write over files that are there.

    Raises:
        UserError: a file or the function is not there, a parameter has no such name, or a file would be lost.
    """
    code = folder / entry
    if not code.is_file():
        raise UserError(f"--entry: there is no {str(code)!r}", code="file-not-found")
    defined = _function(code, function)
    types = {arg.arg: _type(arg) for arg in [*defined.args.args, *defined.args.kwonlyargs]}
    for name, template in prompts.items():
        if name not in types:
            hint = near_miss(name, types)
            raise UserError(f"--prompt-template: {function} has no {name!r}", code="bad-option", hint=hint)
        if not (folder / template).is_file():
            raise UserError(f"--prompt-template: there is no {template!r}", code="file-not-found")
    files = {
        folder / f"{function}_tool.py": _tool(Path(entry).stem, defined),
        folder / "flow.dag.yaml": _dag(folder, function, types, prompts),
    }
    for path in files:
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists", code="file-exists", hint="--yes writes over it")
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)


def _function(code: Path, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    try:
        tree = ast.parse(code.read_text(encoding="utf-8-sig"))
    except (SyntaxError, ValueError, OSError) as error:
        raise UserError(f"--entry: {code} cannot be read: {error}", code="bad-option") from error
    found = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    if name not in found:
        raise UserError(
            f"--function: {code} defines no {name!r}", code="bad-option", hint=near_miss(name, found)
        )
    return found[name]


def _type(arg: ast.arg) -> str:
    said = arg.annotation
    name = said.value if isinstance(said, ast.Subscript) else said
    return _TYPES.get(name.id, "string") if isinstance(name, ast.Name) else "string"


def _tool(module: str, defined: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    names = [arg.arg for arg in [*defined.args.args, *defined.args.kwonlyargs]]
    is_async = isinstance(defined, ast.AsyncFunctionDef)
    text = _TOOL.format(
        module=module,
        function=defined.name,
        parameters=", ".join(names),
        arguments=", ".join(f"{name}={name}" for name in names),
        call="await " if is_async else "",
    )
    return text.replace("\ndef ", "\nasync def ") if is_async else text


def _dag(folder: Path, function: str, types: Mapping[str, str], prompts: Mapping[str, str]) -> str:
    variables = {
        name: sorted(compile_chat((folder / template).read_text(encoding="utf-8"), template).variables)
        for name, template in prompts.items()
    }
    inputs = {name: kind for name, kind in types.items() if name not in prompts}
    inputs |= {name: "string" for names in variables.values() for name in names if name not in inputs}
    lines = ["inputs:", *(f"  {name}: {{type: {kind}}}" for name, kind in inputs.items())]
    lines += ["outputs:", "  output:", "    type: string", f"    reference: ${{{function}.output}}", "nodes:"]
    for name, template in prompts.items():
        lines += [f"- name: {name}", "  type: prompt", f"  source: {{type: code, path: {template}}}"]
        lines += ["  inputs:", *(f"    {v}: ${{inputs.{v}}}" for v in variables[name])]
    lines += [f"- name: {function}", "  type: python"]
    lines += [f"  source: {{type: code, path: {function}_tool.py}}", "  inputs:"]
    for name in types:
        source = f"{name}.output" if name in prompts else f"inputs.{name}"
        lines.append(f"    {name}: ${{{source}}}")
    return "\n".join(lines) + "\n"
