"""What does a new tool start from? A script, or a package with an entry point and a test."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from pathlib import Path

from promptflow_lite.errors import UserError

__all__ = ["create_package", "create_script"]

_SCRIPT = '''\
"""{title}."""

from promptflow_lite import tool


@tool(
    name="{name}",
    description="{title}",{extra}
)
def {name}(text: str, loud: bool = False) -> str:
    """The text with a greeting before it; write here what your tool does."""
    said = f"Hello {{text}}"
    return said.upper() if loud else said
'''

_LISTING = '''\
"""Which tools has this package? The entry point `package_tools` asks here."""

from typing import Any

from promptflow_lite.tools.inventory import of_modules


def list_package_tools() -> dict[str, dict[str, Any]]:
    """What every tool of this package says of itself, by its dotted path."""
    return of_modules("{package}.tools")
'''

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{dist}"
version = "0.1.0"
description = "Tools for flows"
requires-python = ">=3.11"
dependencies = ["promptflow_lite"]

[project.entry-points.package_tools]
{package} = "{package}.listing:list_package_tools"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

_README = """\
# {dist}

Tools for flows.

    pip install -e .
    pf tool list
    pf tool validate --source {package}
    python -m pytest

A flow uses one by its dotted path:

    nodes:
    - name: greet
      type: python
      source: {{type: package, tool: {package}.tools.{name}.{name}}}
      inputs: {{text: "${{inputs.text}}"}}
"""

_TEST = '''\
"""The tool {name}."""

from {package}.listing import list_package_tools
from {package}.tools.{name} import {name}


def test_the_tool_does_its_work() -> None:
    assert {name}("you") == "Hello you"


def test_the_package_lists_the_tool() -> None:
    assert list_package_tools()["{package}.tools.{name}.{name}"]["inputs"]["text"] == {{"type": ["string"]}}
'''


def create_script(folder: Path, name: str, facts: Mapping[str, str]) -> list[Path]:
    """Write `NAME.py` with one tool.

    Raises:
        UserError: the name is no Python name, or the file exists.
    """
    _check(name, "--tool")
    return [_written(folder / f"{name}.py", _script(name, facts))]


def create_package(package: str, name: str, facts: Mapping[str, str]) -> list[Path]:
    """Write a package of that name with one tool, or add the tool to one that is there.

    Raises:
        UserError: a name is no Python name, or the tool exists.
    """
    top = Path(package)
    module = top.name.replace("-", "_")
    _check(module, "--package")
    _check(name, "--tool")
    code = top / module
    written = [_written(code / "tools" / f"{name}.py", _script(name, facts))]
    values = {"package": module, "dist": top.name, "name": name}
    files = {
        top / "pyproject.toml": _PROJECT,
        top / "README.md": _README,
        code / "__init__.py": '"""Tools for flows."""\n',
        code / "tools" / "__init__.py": '"""A module a tool."""\n',
        code / "listing.py": _LISTING,
    }
    written += [_written(path, text.format(**values)) for path, text in files.items() if not path.exists()]
    return [*written, _written(top / "tests" / f"test_{name}.py", _TEST.format(**values))]


def _script(name: str, facts: Mapping[str, str]) -> str:
    extra = "".join(f"\n    {key}={value!r}," for key, value in facts.items() if key.isidentifier())
    return _SCRIPT.format(name=name, title=f"The tool {name}", extra=extra)


def _check(name: str, option: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(
            f"{option}: {name!r} is no name for a Python module: letters, digits and '_', a letter first",
            code="bad-name",
        )


def _written(path: Path, text: str) -> Path:
    if path.exists():
        raise UserError(f"{path} exists", code="file-exists", hint="choose another name, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
