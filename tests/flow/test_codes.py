"""Every code has a line in docs/reference/errors.md, and every code of the language a case."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.flow.cases import CHECKING, READING

_NAMED_FIRST = ("Diagnostic", "Failure", "complaint", "_complaint", "add")
_SLUG = re.compile(r"[a-z]+(-[a-z0-9]+)*")


def _codes(folder: Path) -> set[str]:
    """The slugs that stand where a code does: first in a complaint, as `code=`, or as a class's `code`."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                    values = [k.value for k in node.keywords if k.arg == "code"]
                    values += node.args[:1] if name in _NAMED_FIRST and len(node.args) > 1 else []
                case ast.Assign(targets=[ast.Name(id="code")]):
                    values = [node.value]
                case _:
                    continue
            found |= {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}
    return {code for code in found if _SLUG.fullmatch(code)}


def _listed(root: Path, start: str = "") -> list[str]:
    """The codes of the tables whose rows begin so; those of HTTP begin with a status."""
    text = (root / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    return re.findall(rf"^\| {start}`([a-z0-9-]+)`[^|]* \|", text, re.MULTILINE)


def test_every_code_is_in_the_reference(root: Path) -> None:
    assert _codes(root / "promptflow_lite") - {*_listed(root), *_listed(root, r"\d+ \| ")} == set()


def test_no_code_is_listed_twice(root: Path) -> None:
    listed = _listed(root)
    assert sorted(set(listed)) == sorted(listed)


def test_every_code_of_the_language_has_a_case(root: Path) -> None:
    codes = _codes(root / "promptflow_lite" / "flow")
    of_dag_files = {"ambiguous-flow", "flow-not-found", "bad-variant", "bad-property"}
    of_other_files = {"bad-entry", "unknown-entry", "entry-not-read", "unknown-init"}  # test_flex
    of_other_files |= {"bad-prompty", "connection-and-keys"}  # test_prompty
    of_other_files |= {"bad-prompt-lock"}  # test_registered
    tested_elsewhere = of_dag_files | of_other_files
    assert codes - tested_elsewhere - {*READING, *CHECKING} == set()
