"""What do the annotations of a function ask for and promise? Read from a syntax tree, as Prompt flow does."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from promptflow_lite.errors import Diagnostic, FlowError, Mark

__all__ = [
    "TYPES",
    "Function",
    "check_annotations",
    "is_dataclass",
    "last_name",
    "names_of",
    "outputs_of",
    "statements",
    "type_of",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef

TYPES = {
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


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under `if` and `try` too."""
    for statement in body:
        yield statement
        if not isinstance(statement, Function | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from statements(handler.body)


def names_of(statement: ast.stmt) -> list[str]:
    """The names that a statement binds."""
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


def check_annotations(function: Function, tree: ast.Module, file: str) -> None:
    """Refuse what no data can be, and what no output can be made of: objects of the script's own classes.

    Prompt flow: _core/tool_meta_generator.py `validate_interface`, which refuses more.
    """
    classes = {s.name: s for s in statements(tree.body) if isinstance(s, ast.ClassDef)}
    found: list[Diagnostic] = []
    for arg in (*function.args.args, *function.args.kwonlyargs):
        name = last_name(arg.annotation) if isinstance(arg.annotation, ast.Name) else ""
        if name == "object" or (name in classes and not _is_typed_dict(classes[name])):
            message = f"no data is a {name!r}, which {arg.arg!r} asks for"
            hint = "annotate it with dict, or not at all"
            found.append(Diagnostic("bad-entry", message, Mark(file, arg.lineno, arg.col_offset + 1), hint))
    returns = function.returns
    made = classes.get(last_name(returns)) if isinstance(returns, ast.Name) else None
    if returns is not None and made is not None and not (made.bases or is_dataclass(made)):
        message = f"no outputs can be made of a {made.name!r}"
        hint = "return a dataclass, a dict or a value"
        mark = Mark(file, returns.lineno, returns.col_offset + 1)
        found.append(Diagnostic("bad-entry", message, mark, hint))
    if found:
        raise FlowError(found)


def _is_typed_dict(owner: ast.ClassDef) -> bool:
    return any(last_name(base) == "TypedDict" for base in owner.bases)


def type_of(annotation: ast.expr | None) -> str:
    """The value type that an annotation asks for, or the name of a connection or configuration class."""
    options = [_name_of(option) for option in _options(annotation)]
    if len(options) > 1 and all(option.endswith("ModelConfiguration") for option in options):
        return "ModelConfiguration"
    name = options[0] if len(options) == 1 else ""
    if name.endswith(("Connection", "ModelConfiguration")):
        return name
    return TYPES.get(name, "object")


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
        case ast.Subscript() if last_name(annotation.value) in ("Optional", "Union"):
            parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            return [option for part in parts for option in _options(part)]
        case ast.Subscript() if last_name(annotation.value) == "Annotated":
            parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            return _options(parts[0])
    return [annotation]


def _name_of(annotation: ast.expr) -> str:
    return "" if isinstance(annotation, ast.Subscript) else last_name(annotation)


def outputs_of(function: Function, tree: ast.Module) -> dict[str, str]:
    """The outputs that a function promises, with their types; `output` for what has no fields.

    Those of its return annotation; where that says nothing, the keys of the mappings that it returns.
    """
    returns = function.returns
    fields = _fields_of(returns, tree)
    if fields:
        return {name: type_of(annotation) for name, annotation in fields.items()}
    if returns is None or last_name(returns) in ("dict", "Dict"):
        keys = _keys_returned(function)
        if keys:
            return dict.fromkeys(keys, "object")
    if isinstance(returns, ast.Subscript) and last_name(returns.value) in _GENERATORS:
        return {"output": "string"}
    return {"output": type_of(returns)}


def _keys_returned(function: Function) -> list[str]:
    """The keys of the mappings that a function returns, if it returns nothing else that can be read."""
    found: dict[str, None] = {}
    for returned in _returns_of(function.body):
        if not isinstance(returned.value, ast.Dict):
            return []
        keys = [key.value if isinstance(key, ast.Constant) else None for key in returned.value.keys]
        if not all(isinstance(key, str) for key in keys):
            return []
        found |= dict.fromkeys(map(str, keys))
    return list(found)


def _returns_of(body: Iterable[ast.AST]) -> Iterator[ast.Return]:
    """The return statements of a function, those of functions within it left out."""
    for node in body:
        if isinstance(node, ast.Return):
            yield node
        elif not isinstance(node, Function | ast.ClassDef | ast.expr):
            yield from _returns_of(ast.iter_child_nodes(node))


def _fields_of(returns: ast.expr | None, tree: ast.Module) -> dict[str, ast.expr]:
    """The fields of a dataclass or `TypedDict` of this script."""
    if isinstance(returns, ast.Call):
        return _typed_dict(returns)
    name = last_name(returns) if isinstance(returns, ast.Name) else ""
    name = returns.value if isinstance(returns, ast.Constant) and isinstance(returns.value, str) else name
    for statement in statements(tree.body):
        if name not in names_of(statement):
            continue
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            return _typed_dict(statement.value)
        if isinstance(statement, ast.ClassDef) and (is_dataclass(statement) or _is_typed_dict(statement)):
            return {
                s.target.id: s.annotation
                for s in statement.body
                if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
            }
    return {}


def _typed_dict(call: ast.Call) -> dict[str, ast.expr]:
    if last_name(call.func) != "TypedDict" or len(call.args) < 2 or not isinstance(call.args[1], ast.Dict):
        return {}
    entries = zip(call.args[1].keys, call.args[1].values, strict=True)
    return {str(key.value): value for key, value in entries if isinstance(key, ast.Constant)}


def is_dataclass(owner: ast.ClassDef) -> bool:
    """Whether a class is decorated as one."""
    return any(last_name(decorator) == "dataclass" for decorator in owner.decorator_list)


def last_name(expression: ast.expr | None) -> str:
    """The name that an expression ends with: `c` of `a.b.c`, `f` of `f(x)`; '' where there is none."""
    match expression:
        case ast.Call():
            return last_name(expression.func)
        case ast.Subscript():
            return last_name(expression.value)
        case ast.Attribute():
            return expression.attr
        case ast.Name():
            return expression.id
    return ""
