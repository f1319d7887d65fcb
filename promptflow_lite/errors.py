"""What can go wrong, and where was it written? Mark, Diagnostic and the one exception tree.

PromptflowError
├ UserError                what the caller can mend            exit 2
│  ├ FlowError             the flow's files: one or more Diagnostics, each with a Mark
│  ├ InputError            inputs, data, column mapping
│  ├ ToolError             a tool that cannot be found, imported or called as wired
│  ├ ConnectionNotFound    no connection of that name
│  ├ PluginNotFound        no plugin of that name in its group
│  ├ RunNotFound           no run of that name
│  └ MissingExtra          an optional package that is not installed
└ NodeError                user code or a model failed while running
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unicodedata import east_asian_width

__all__ = [
    "ConnectionNotFound",
    "Diagnostic",
    "FlowError",
    "InputError",
    "Mark",
    "MissingExtra",
    "NodeError",
    "PluginNotFound",
    "PromptflowError",
    "RunNotFound",
    "ToolError",
    "UserError",
    "near_miss",
]

_LONGEST_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file. Line and column count from 1."""

    file: str
    line: int
    column: int
    key: str = ""
    """The path of the key, as in `nodes[2].inputs.text`."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One complaint about a file."""

    code: str
    """A stable slug such as `unknown-node`; listed in docs/reference/errors.md, never reused."""
    message: str
    mark: Mark | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    @property
    def place(self) -> tuple[str, int, int, str]:
        """What complaints are sorted by: file, line, column, code; those without a mark come first."""
        mark = self.mark
        return (mark.file, mark.line, mark.column, self.code) if mark else ("", 0, 0, self.code)

    def render(self) -> str:
        """The complaint with the line it is about and a caret under the column."""
        place = f"{self.mark}: " if self.mark and self.mark.file else ""
        key = f" {self.mark.key}" if self.mark and self.mark.key else ""
        head = f"{place}{self.severity}[{self.code}]{key}: {self.message}"
        source = _line_of(self.mark) if self.mark else None
        if source is None or self.mark is None:
            return head if self.hint is None else f"{head}\n  {self.hint}"
        hint = f" {self.hint}" if self.hint else ""
        below = f"{_indent(source, self.mark.column)}^{hint}"
        return f"{head}\n{self.mark.line:>5} | {source}\n{'':>5} | {below}"


def _line_of(mark: Mark) -> str | None:
    path = Path(mark.file)
    try:
        if not path.is_file():  # a pipe would keep us waiting
            return None
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    line = lines[mark.line - 1] if 0 < mark.line <= len(lines) else None
    return line if line is not None and len(line) <= _LONGEST_SHOWN else None


def _indent(line: str, column: int) -> str:
    """Space as wide as what stands before `column`: tabs stay, East Asian characters take two cells."""
    wide = {"W": "  ", "F": "  "}
    return "".join(c if c == "\t" else wide.get(east_asian_width(c), " ") for c in line[: column - 1])


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the closest known name, or `None` where nothing is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


class PromptflowError(Exception):
    """The root of every error that promptflow_lite raises on purpose."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class UserError(PromptflowError):
    """What the caller can mend: a wrong file, a wrong name, a missing setting."""

    code = "user-error"


class FlowError(UserError):
    """A flow's files are wrong; every complaint of the pass is here."""

    code = "flow-error"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("\n".join(d.render() for d in diagnostics))
        self.diagnostics = tuple(diagnostics)


class InputError(UserError):
    """Inputs, data or a column mapping do not fit the flow."""

    code = "input-error"


class ToolError(UserError):
    """A tool cannot be found, imported or called as the flow wires it."""

    code = "tool-error"


class _NotFound(UserError):
    noun = "thing"

    def __init__(self, name: str, known: Iterable[str] = (), *, hint: str | None = None) -> None:
        known = sorted(known)
        exist = f"; there are: {', '.join(known)}" if known else "; there are none"
        super().__init__(f"no {self.noun} is named {name!r}{exist}", hint=hint or near_miss(name, known))
        self.name = name
        self.known = tuple(known)


class ConnectionNotFound(_NotFound):
    """No connection has that name."""

    code = "connection-not-found"
    noun = "connection"


class PluginNotFound(_NotFound):
    """No plugin of the group has that name."""

    code = "plugin-not-found"
    noun = "plugin"


class RunNotFound(_NotFound):
    """No run has that name."""

    code = "run-not-found"
    noun = "run"


class MissingExtra(UserError):
    """An optional package is needed and not installed."""

    code = "missing-extra"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed",
            hint=f"pip install 'promptflow_lite[{extra}]'",
        )


class NodeError(PromptflowError):
    """User code or a model failed while a node ran.

    Raised by our own tools with the code that the line's failure shall carry
    (`rate-limited`, `content-filter`, ...); whatever else user code raises is wrapped by `engine.invoke`.
    """

    code = "node-error"
