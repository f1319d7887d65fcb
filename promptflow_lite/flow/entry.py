"""What does the entry of a flex flow take and give? Read from its syntax tree; its script is never imported.

What cannot be known without running the script (a name that it imports, a decorator's result) is left to
`tools.flex`, which imports it.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, Mark, near_miss
from promptflow_lite.flow.spec import FlowInput

__all__ = ["Entry", "Signature", "read_entry"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_TYPES = {
    "int": "int",
    "float": "double",
    "bool": "bool",
    "str": "string",
    "list": "list",
    "List": "list",
    "Image": "image",
    "Secret": "secret",
    "FilePath": "file_path",
    "PromptTemplate": "prompt_template",
    "AssistantDefinition": "assistant_definition",
}
_GENERATORS = ("Generator", "Iterator", "Iterable", "AsyncGenerator", "AsyncIterator", "AsyncIterable")
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
    for statement in _statements(tree.body):
        if name in _names_of(statement):
            found = statement
    if isinstance(found, _Function):
        return _of_function(found, tree, file)
    if isinstance(found, ast.ClassDef):
        return _Class(found, tree, file).signature()
    if found is not None or _defines_unseen(tree):
        return None
    known = [
        n for s in _statements(tree.body) if isinstance(s, _Function | ast.ClassDef) for n in _names_of(s)
    ]
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


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under `if` and `try` too."""
    for statement in body:
        yield statement
        if not isinstance(statement, _Function | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from _statements(handler.body)


def _names_of(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Import() | ast.ImportFrom():
            return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
        case ast.Assign():
            return [n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        case ast.AnnAssign():
            return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    return []


def _defines_unseen(tree: ast.Module) -> bool:
    """Whether the script may define names that do not stand in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
        if isinstance(node, ast.Call) and _last(node.func) in ("globals", "setattr", "exec"):
            return True
    return any(isinstance(s, _Function) and s.name == "__getattr__" for s in tree.body)


def _of_function(function: _Function, tree: ast.Module, file: str) -> Signature:
    _check_annotations(function, tree, file)
    inputs, is_whole = _inputs_of(function.args)
    return Signature(function.lineno, False, inputs, _outputs_of(function.returns, tree), is_whole=is_whole)


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
        _check_annotations(call, self.tree, self.file)
        inputs, is_whole = _inputs_of(_without_self(call))
        return Signature(
            line=self.body.lineno,
            is_class=True,
            inputs=inputs,
            outputs=_outputs_of(call.returns, self.tree),
            init=self.fields() if init is None else _inputs_of(_without_self(init))[0],
            aggregates=aggregate is not None,
            is_whole=is_whole,
        )

    def method(self, name: str) -> _Function | None:
        for owner in self.line_of_descent():
            for statement in owner.body:
                if isinstance(statement, _Function) and statement.name == name:
                    return statement
        return None

    def line_of_descent(self) -> list[ast.ClassDef]:
        """The class and its bases that stand in the same script."""
        classes = {s.name: s for s in _statements(self.tree.body) if isinstance(s, ast.ClassDef)}
        found = [self.body]
        for owner in found:  # grows while it is read
            for base in owner.bases:
                known = classes.get(_last(base))
                if known is not None and known not in found:
                    found.append(known)
        return found

    def has_unseen_base(self) -> bool:
        seen = {owner.name for owner in self.line_of_descent()}
        bases = {_last(base) for owner in self.line_of_descent() for base in owner.bases}
        return bool(bases - seen - set(_PLAIN_BASES))

    def fields(self) -> dict[str, FlowInput]:
        """What the `__init__` of a dataclass takes; nothing for any other class."""
        if not _is_dataclass(self.body):
            return {}
        fields = (
            s for s in self.body.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        )
        return {
            _last(s.target): _input(s.annotation, s.value, has_default=s.value is not None) for s in fields
        }

    def complaint(self, message: str, at: ast.stmt) -> FlowError:
        return FlowError([Diagnostic("bad-entry", message, Mark(self.file, at.lineno, at.col_offset + 1))])


def _check_annotations(function: _Function, tree: ast.Module, file: str) -> None:
    """Refuse what no data can be, and what no output can be made of: objects of the script's own classes.

    Prompt flow: _core/tool_meta_generator.py `validate_interface`, which refuses more.
    """
    classes = {s.name: s for s in _statements(tree.body) if isinstance(s, ast.ClassDef)}
    found: list[Diagnostic] = []
    for arg in (*function.args.args, *function.args.kwonlyargs):
        name = _last(arg.annotation) if isinstance(arg.annotation, ast.Name) else ""
        if name == "object" or (name in classes and not _is_typed_dict(classes[name])):
            message = f"no data is a {name!r}, which {arg.arg!r} asks for"
            hint = "annotate it with dict, or not at all"
            found.append(Diagnostic("bad-entry", message, Mark(file, arg.lineno, arg.col_offset + 1), hint))
    returns = function.returns
    made = classes.get(_last(returns)) if isinstance(returns, ast.Name) else None
    if returns is not None and made is not None and not (made.bases or _is_dataclass(made)):
        message = f"no outputs can be made of a {made.name!r}"
        hint = "return a dataclass, a dict or a value"
        mark = Mark(file, returns.lineno, returns.col_offset + 1)
        found.append(Diagnostic("bad-entry", message, mark, hint))
    if found:
        raise FlowError(found)


def _is_typed_dict(owner: ast.ClassDef) -> bool:
    return any(_last(base) == "TypedDict" for base in owner.bases)


def _without_self(function: _Function) -> ast.arguments:
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
    kind = _type_of(annotation)
    if annotation is None and value is not None:
        kind = _TYPES.get(type(value).__name__, "object")  # Prompt flow takes the type of the default
    return FlowInput(kind, default=value, optional=has_default and value is None)


def _type_of(annotation: ast.expr | None) -> str:
    """The value type that an annotation asks for, or the name of a connection or configuration class."""
    options = [_name_of(option) for option in _options(annotation)]
    if len(options) > 1 and all(option.endswith("ModelConfiguration") for option in options):
        return "ModelConfiguration"
    name = options[0] if len(options) == 1 else ""
    if name.endswith(("Connection", "ModelConfiguration")):
        return name
    return _TYPES.get(name, "object")


def _options(annotation: ast.expr | None) -> list[ast.expr]:
    """The types a value may have; `None` beside others does not count."""
    match annotation:
        case None | ast.Constant(value=None):
            return []
        case ast.Constant(value=str(text)):
            try:
                return _options(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return []
        case ast.BinOp(op=ast.BitOr()):
            return [*_options(annotation.left), *_options(annotation.right)]
        case ast.Subscript() if _last(annotation.value) in ("Optional", "Union"):
            parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            return [option for part in parts for option in _options(part)]
        case ast.Subscript() if _last(annotation.value) == "Annotated":
            parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            return _options(parts[0])
    return [annotation]


def _name_of(annotation: ast.expr) -> str:
    return "" if isinstance(annotation, ast.Subscript) else _last(annotation)


def _outputs_of(returns: ast.expr | None, tree: ast.Module) -> dict[str, str]:
    fields = _fields_of(returns, tree)
    if fields:
        return {name: _type_of(annotation) for name, annotation in fields.items()}
    if isinstance(returns, ast.Subscript) and _last(returns.value) in _GENERATORS:
        return {"output": "string"}
    return {"output": _type_of(returns)}


def _fields_of(returns: ast.expr | None, tree: ast.Module) -> dict[str, ast.expr]:
    """The fields of a dataclass or `TypedDict` of this script."""
    if isinstance(returns, ast.Call):
        return _typed_dict(returns)
    name = _last(returns) if isinstance(returns, ast.Name) else ""
    name = returns.value if isinstance(returns, ast.Constant) and isinstance(returns.value, str) else name
    for statement in _statements(tree.body):
        if name not in _names_of(statement):
            continue
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            return _typed_dict(statement.value)
        if isinstance(statement, ast.ClassDef) and (
            _is_dataclass(statement) or _is_typed_dict(statement)
        ):
            return {
                s.target.id: s.annotation
                for s in statement.body
                if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
            }
    return {}


def _typed_dict(call: ast.Call) -> dict[str, ast.expr]:
    if _last(call.func) != "TypedDict" or len(call.args) < 2 or not isinstance(call.args[1], ast.Dict):
        return {}
    entries = zip(call.args[1].keys, call.args[1].values, strict=True)
    return {str(key.value): value for key, value in entries if isinstance(key, ast.Constant)}


def _is_dataclass(owner: ast.ClassDef) -> bool:
    return any(_last(decorator) == "dataclass" for decorator in owner.decorator_list)


def _last(expression: ast.expr | None) -> str:
    match expression:
        case ast.Call():
            return _last(expression.func)
        case ast.Subscript():
            return _last(expression.value)
        case ast.Attribute():
            return expression.attr
        case ast.Name():
            return expression.id
    return ""
