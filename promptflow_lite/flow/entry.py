"""What does the entry of a flex flow take and give? Read from its syntax tree; its script is never imported.

What cannot be known without running the script (a name that it imports, a decorator's result) is left to
`tools.flex`, which imports it.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, Mark, near_miss
from promptflow_lite.flow.annotations import (
    TYPES,
    Function,
    check_annotations,
    is_dataclass,
    last_name,
    names_of,
    outputs_of,
    statements,
    type_of,
)
from promptflow_lite.flow.spec import FlowInput

__all__ = ["Entry", "Signature", "read_entry"]

_PLAIN_BASES = ("object", "ABC", "Protocol", "Generic")


@dataclass(frozen=True)
class Signature:
    """What the definition of an entry says."""

    line: int
    is_class: bool
    inputs: dict[str, FlowInput]
    outputs: dict[str, str]
    """Name to value type; what is not annotated is one `output` of type `object`."""
    init: dict[str, FlowInput] = field(default_factory=dict)
    aggregates: bool = False
    is_whole: bool = True
    """Whether it takes these inputs and no others."""


@dataclass(frozen=True)
class Entry:
    """Where the entry of a flex flow is, and what is known of it. The `settings` of its nodes."""

    module: str
    name: str
    signature: Signature | None
    """`None` where only importing it tells."""
    call: Any = None
    """The function or method that the node calls, once `tools.flex` has it."""


def read_entry(text: str, file: str, name: str) -> Signature | None:
    """What the function or class `name` takes and gives; `None` where only importing it tells.

    Args:
        text: Python.
        file: the name in complaints.
        name: of a function or class at the top of the script.

    Raises:
        FlowError: `script-syntax`; `unknown-entry`, if the script defines no such name; `bad-entry`, if it is
            nothing that can be called for a line.
    """
    tree = _parse(text, file)
    found: ast.stmt | None = None
    for statement in statements(tree.body):
        if name in names_of(statement):
            found = statement
    if isinstance(found, Function):
        return _of_function(found, tree, file)
    if isinstance(found, ast.ClassDef):
        return _Class(found, tree, file).signature()
    if found is not None or _defines_unseen(tree):
        return None
    known = [n for s in statements(tree.body) if isinstance(s, Function | ast.ClassDef) for n in names_of(s)]
    hint = near_miss(name, known) or (f"it defines: {', '.join(known)}" if known else None)
    raise FlowError([Diagnostic("unknown-entry", f"the script defines no {name!r}", Mark(file, 1, 1), hint)])


def _parse(text: str, file: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        mark = Mark(file, error.lineno or 1, max(error.offset or 1, 1))
        raise FlowError([Diagnostic("script-syntax", error.msg, mark)]) from None
    except (ValueError, RecursionError, MemoryError) as error:
        what = str(error) or type(error).__name__
        raise FlowError([Diagnostic("script-syntax", what, Mark(file, 1, 1))]) from None


def _defines_unseen(tree: ast.Module) -> bool:
    """Whether the script may define names that do not stand in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
        if isinstance(node, ast.Call) and last_name(node.func) in ("globals", "setattr", "exec"):
            return True
    return any(isinstance(s, Function) and s.name == "__getattr__" for s in tree.body)


def _of_function(function: Function, tree: ast.Module, file: str) -> Signature:
    check_annotations(function, tree, file)
    inputs, is_whole = _inputs_of(function.args)
    return Signature(function.lineno, False, inputs, outputs_of(function, tree), is_whole=is_whole)


@dataclass(frozen=True)
class _Class:
    """A class at the top of a script."""

    body: ast.ClassDef
    tree: ast.Module
    file: str

    def signature(self) -> Signature | None:
        call = self.method("__call__")
        if call is None and self.has_unseen_base():
            return None
        if call is None:
            message = f"the class {self.body.name!r} has no method '__call__', which is called for each line"
            raise self.complaint(message, self.body)
        init = self.method("__init__")
        if init is None and self.has_unseen_base():
            return None
        aggregate = self.method("__aggregate__")
        if aggregate is not None and len(_without_self(aggregate).args) != 1:
            raise self.complaint("'__aggregate__' takes one parameter: the results of the lines", aggregate)
        check_annotations(call, self.tree, self.file)
        inputs, is_whole = _inputs_of(_without_self(call))
        return Signature(
            line=self.body.lineno,
            is_class=True,
            inputs=inputs,
            outputs=outputs_of(call, self.tree),
            init=self.fields() if init is None else _inputs_of(_without_self(init))[0],
            aggregates=aggregate is not None,
            is_whole=is_whole,
        )

    def method(self, name: str) -> Function | None:
        for owner in self.line_of_descent():
            for statement in owner.body:
                if isinstance(statement, Function) and statement.name == name:
                    return statement
        return None

    def line_of_descent(self) -> list[ast.ClassDef]:
        """The class and its bases that stand in the same script."""
        classes = {s.name: s for s in statements(self.tree.body) if isinstance(s, ast.ClassDef)}
        found = [self.body]
        for owner in found:  # grows while it is read
            for base in owner.bases:
                known = classes.get(last_name(base))
                if known is not None and known not in found:
                    found.append(known)
        return found

    def has_unseen_base(self) -> bool:
        assigned = (s for o in self.line_of_descent() for s in o.body if isinstance(s, ast.Assign))
        if any("__call__" in names_of(s) for s in assigned):
            return True
        seen = {owner.name for owner in self.line_of_descent()}
        bases = {last_name(base) for owner in self.line_of_descent() for base in owner.bases}
        return bool(bases - seen - set(_PLAIN_BASES))

    def fields(self) -> dict[str, FlowInput]:
        """What the `__init__` of a dataclass takes; nothing for any other class."""
        if not is_dataclass(self.body):
            return {}
        fields = (
            s for s in self.body.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        )
        return {
            last_name(s.target): _input(s.annotation, s.value, has_default=s.value is not None)
            for s in fields
        }

    def complaint(self, message: str, at: ast.stmt) -> FlowError:
        return FlowError([Diagnostic("bad-entry", message, Mark(self.file, at.lineno, at.col_offset + 1))])


def _without_self(function: Function) -> ast.arguments:
    args = function.args
    kept = args.args[1:] if args.args else []
    defaults = args.defaults[-len(kept) :] if kept else []
    return ast.arguments(
        posonlyargs=[], args=kept, vararg=args.vararg, kwonlyargs=args.kwonlyargs,
        kw_defaults=args.kw_defaults, kwarg=args.kwarg, defaults=defaults,
    )  # fmt: skip


def _inputs_of(args: ast.arguments) -> tuple[dict[str, FlowInput], bool]:
    """The parameters as inputs, and whether there is no `**kwargs`."""
    plain = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    every = [*zip(plain, defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    found = {a.arg: _input(a.annotation, default, has_default=default is not None) for a, default in every}
    return found, args.kwarg is None


def _input(annotation: ast.expr | None, default: ast.expr | None, *, has_default: bool) -> FlowInput:
    value: Any = None
    if default is not None:
        try:
            value = ast.literal_eval(default)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            value = None  # its value is known when the script is imported
    kind = type_of(annotation)
    if annotation is None and value is not None:
        kind = TYPES.get(type(value).__name__, "object")  # Prompt flow takes the type of the default
    return FlowInput(kind, default=value, optional=has_default and value is None)
