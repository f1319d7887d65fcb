"""What does a template say once its holes are filled? Sandboxed jinja2: variables, compile, render.

Prompt flow: promptflow-tools common.py `render_jinja_template` (flow-language 3.2): `trim_blocks`, the
trailing newline kept, no loader, no autoescape; an unset variable is '', and an attribute of one is an error.

The author of a template is trusted, what fills it is not: only plain data goes in, nothing in it can be
called or changed, and what comes out is bounded in size and, between two pieces of text, in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.environment import Template as JinjaTemplate
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptflow_lite.errors import Diagnostic, FlowError, Mark, NodeError
from promptflow_lite.prompts.quotation import numbered, quoted
from promptflow_lite.values import Image, to_plain

__all__ = ["Template", "compile", "variables"]

MAX_OUTPUT = 8 * 1024 * 1024
"""Characters that one rendering may give."""
MAX_SECONDS = 10.0
_PIECES_A_LOOK = 512

Adapt = Callable[[Any], str]
"""What is done to a text or an image before it goes in; `prompts.chat` puts role marks and images back."""


def variables(text: str) -> set[str]:
    """The names that a template reads and does not set itself.

    >>> sorted(variables("{% for d in documents %}{{ d.content }}{% endfor %} {{ question }}"))
    ['documents', 'question']

    Raises:
        FlowError: the text is no template.
    """
    return set(compile(text, "template").variables)


@lru_cache(maxsize=256)
def compile(text: str, file: str) -> Template:
    """A template, ready to be rendered often.

    Args:
        text: jinja2.
        file: the name in complaints.

    Raises:
        FlowError: code `template-syntax`, with the line.
    """
    try:
        tree = _environment().parse(text, filename=file)
        _refuse_loading(tree, file)
        names = frozenset(meta.find_undeclared_variables(tree))
        code = _environment().compile(tree, filename=file)
    except TemplateSyntaxError as error:
        raise _syntax(error.message or str(error), file, error.lineno) from None
    except RecursionError:
        raise _syntax("the expressions are nested too deep", file, 1) from None
    return Template(file, names, JinjaTemplate.from_code(_environment(), code, _environment().globals.copy()))


@dataclass(frozen=True, eq=False)
class Template:
    """A compiled template."""

    file: str
    variables: frozenset[str]
    """The names it reads and does not set itself."""
    _jinja: JinjaTemplate

    def render(self, values: Mapping[str, Any], *, adapt: Adapt = str, lists_as_lines: bool = False) -> str:
        """The text with its holes filled.

        Args:
            values: by name; those that the template does not read are not looked at.
            adapt: what is done to each image, and each text of a type derived from `str`, before it goes in.
            lists_as_lines: whether the text of a list is that of its items, a line each.

        Raises:
            NodeError: `template-error` with file and line; `template-value` for a value that is no data, such
                as a connection; `template-limit`.
        """
        try:
            kind = _Lines if lists_as_lines else _Items
            context = {
                name: plain(values[name], name, adapt, kind) for name in self.variables if name in values
            }
            return _bounded(self._jinja.generate(context), self.file)
        except TemplateError as error:
            raise self._failed(error, error.message or str(error)) from None
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise self._failed(error, f"{type(error).__name__}: {error}") from None

    def _failed(self, error: Exception, message: str) -> NodeError:
        for kind, shown in ((_Items, "list"), (_Lines, "list"), (_Fields, "dict")):
            message = message.replace(f"{kind.__module__}.{kind.__name__} object", f"{shown} object")
        line = _line_of(error, self.file)
        return NodeError(
            f"{self.file}:{line}: {message}" if line else f"{self.file}: {message}", code="template-error"
        )


_CHANGING: Mapping[type, frozenset[str]] = {
    list: frozenset({"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"}),
    dict: frozenset({"clear", "pop", "popitem", "setdefault", "update"}),
}
"""The methods by which a template may change what it has made itself."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, with operators that could ask for any amount of memory held back.

    A template may change the lists and mappings that it makes (`{% set _ = found.append(x) %}`), which are of
    these very types; data are of types of their own (`plain`), and stay as they are.
    """

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr in _CHANGING.get(type(obj), ()) or super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """What using an attribute that is not safe raises."""
        if isinstance(obj, _Items | _Fields) and not attribute.startswith("_"):
            why = f"{attribute!r} changes the data, which a template only reads; its own lists it may change"
            return self.undefined(why, name=attribute, obj=obj, exc=SecurityError)
        return super().unsafe_undefined(obj, attribute)

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise TemplateSyntaxError("'**' is not available in templates", 1)
        for text, times in ((left, right), (right, left)):
            if (
                isinstance(text, str | list | tuple)
                and isinstance(times, int)
                and len(text) * times > MAX_OUTPUT
            ):
                raise OverflowError("the product is too large")
        return super().call_binop(context, operator, left, right)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    made = _Sandbox(trim_blocks=True, keep_trailing_newline=True, autoescape=False)  # prompts are no HTML
    made.filters["numbered"] = numbered
    made.filters["quoted"] = quoted
    return made


class _Items(list[Any]):
    """A list of the data; a template may not change it."""


class _Fields(dict[str, Any]):
    """A mapping of the data."""


class _Lines(_Items):
    """A list whose text is that of its items, a line each. Prompt flow: common.py `ChatInputList`."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


class _ImageName(str):
    """What stands for an image in a text, also where its list is written out."""

    __slots__ = ()
    __repr__ = str.__str__


def plain(value: Any, name: str, adapt: Adapt, list_kind: type[_Items] = _Items) -> Any:
    """`value` as data that a template may read.

    Raises:
        NodeError: `template-value`: it is a connection or another opaque mapping.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, Image):
        return _ImageName(adapt(value))
    if isinstance(value, str):
        return adapt(value)
    if isinstance(value, dict | MappingProxyType):
        return _Fields(
            (key if type(key) is str else str(key), plain(item, name, adapt, list_kind))
            for key, item in value.items()
        )
    if isinstance(value, list | tuple):
        return list_kind(plain(item, name, adapt, list_kind) for item in value)
    if isinstance(value, Mapping):
        raise NodeError(
            f"{name!r} holds a {kind.__name__}, which may not go into a template", code="template-value"
        )
    if hasattr(kind, "__dataclass_fields__"):
        fields = kind.__dataclass_fields__
        shown = (key for key in fields if not key.startswith("_"))
        return _Fields((key, plain(getattr(value, key), name, adapt, list_kind)) for key in shown)
    converted = to_plain(value)
    return converted if type(converted) in _SCALARS else plain(converted, name, adapt, list_kind)


_SCALARS = frozenset({str, int, float, bool, type(None)})


def _bounded(pieces: Iterator[str], file: str) -> str:
    parts = list(islice(pieces, _PIECES_A_LOOK))
    if len(parts) < _PIECES_A_LOOK:
        text = "".join(parts)
        size = len(text)
    else:
        text, size = _bounded_long(parts, pieces, file)
    if size > MAX_OUTPUT:
        raise _limit(file, f"more than {MAX_OUTPUT} characters")
    return text


def _bounded_long(parts: list[str], pieces: Iterator[str], file: str) -> tuple[str, int]:
    end = time.monotonic() + MAX_SECONDS
    size = sum(map(len, parts))
    while more := list(islice(pieces, _PIECES_A_LOOK)):
        size += sum(map(len, more))
        parts += more
        if size > MAX_OUTPUT:
            raise _limit(file, f"more than {MAX_OUTPUT} characters")
        if time.monotonic() > end:
            raise _limit(file, f"more than {MAX_SECONDS:g} seconds")
    return "".join(parts), size


def _limit(file: str, what: str) -> NodeError:
    return NodeError(f"{file}: rendering gave {what}", code="template-limit")


def _refuse_loading(tree: nodes.Template, file: str) -> None:
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        word = "extends" if isinstance(node, nodes.Extends) else "import"
        word = "include" if isinstance(node, nodes.Include) else word
        raise _syntax(f"{word!r} is not available: a prompt is one file", file, node.lineno)


def _syntax(message: str, file: str, line: int) -> FlowError:
    return FlowError([Diagnostic("template-syntax", message, Mark(file, line, 1))])


def _line_of(error: BaseException, file: str) -> int | None:
    """The template's line in the traceback that jinja2 rewrote; the innermost wins."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
