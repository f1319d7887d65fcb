"""How does the command line speak? Results to stdout, everything for people to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from shutil import get_terminal_size
from typing import Any, Literal

import typer

from promptflow_lite.cli.command import Group, PfCommand, overrides, pairs
from promptflow_lite.cli.progress import Progress
from promptflow_lite.errors import UserError

__all__ = [
    "Group",
    "PfCommand",
    "Progress",
    "emit",
    "emit_json",
    "facts",
    "is_interactive",
    "neutral",
    "overrides",
    "paint",
    "pairs",
    "progress",
    "say",
    "say_safely",
    "sure_to_delete",
    "table",
    "use_utf8",
    "wants_json",
]

Paint = Literal["bold", "dim", "red", "green", "yellow"]

_CODES: dict[Paint, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}

# Controls, and what reorders or hides text: C0 without tab and newline, DEL, C1, bidi marks, separators.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def neutral(text: str) -> str:
    r"""`text` with its control characters escaped, so that a stranger's text cannot drive the terminal.

    >>> neutral("\x1b[2Jhi")
    '\\x1b[2Jhi'
    """
    return _CONTROL.sub(lambda found: _escape(found.group()), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def say(text: str, *, end: str = "\n") -> None:
    """Write `text` for people, to stderr. The caller neutralizes what strangers wrote."""
    print(text, end=end, file=sys.stderr, flush=True)


def say_safely(text: str) -> None:
    """`say` what others wrote."""
    say(neutral(text))


def emit(text: str) -> None:
    """Write a line of the result, to stdout."""
    print(text, flush=True)


def emit_json(value: Any) -> None:
    """Write `value` as the result: JSON on stdout, indented by 4, characters beyond ASCII as they are.

    Controls that JSON lets through become JSON escapes: the value stays the same, the terminal is safe.
    """
    from promptflow_lite.values import to_plain

    text = json.dumps(to_plain(value), indent=4, ensure_ascii=False)
    emit(re.sub(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", _json_escape, text))


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def facts(of: Mapping[str, Any]) -> None:
    """Write what is known of one thing, a line for each key; values are neutralized."""
    width = max(len(key) for key in of)
    for key, value in of.items():
        text = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
        emit(f"{key:<{width}}  {neutral(text)}".rstrip())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, aside: bool = False) -> None:
    """Write rows as aligned columns; cells are neutralized, and lines cut to fit a terminal.

    Args:
        columns: the heads.
        rows: a cell for each column.
        aside: to stderr, for people; the result goes to stdout.
    """
    write, stream = (say, sys.stderr) if aside else (emit, sys.stdout)
    cells = [[neutral("" if cell is None else str(cell)).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(_width(text) for text in column) for column in zip(columns, *cells, strict=True)]
    limit = get_terminal_size().columns if stream.isatty() else None
    write(paint(_row(columns, widths, limit), "bold", stream=stream))
    for row in cells:
        write(_row(row, widths, limit))


def _row(cells: Sequence[str], widths: Sequence[int], limit: int | None) -> str:
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
    return _cut("  ".join(padded).rstrip(), limit)


def _width(text: str) -> int:
    """Columns on the terminal: full-width characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _cut(text: str, limit: int | None) -> str:
    if limit is None or _width(text) <= limit:
        return text
    while _width(text) > limit - 1:
        text = text[:-1]
    return text + "…"


def sure_to_delete(what: str, *, yes: bool) -> None:
    """Go on if a person agrees, or `--yes` was said.

    Raises:
        UserError: nobody is there to ask (code `missing-option`).
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"to delete {what} without being asked, say --yes", code="missing-option")
    typer.confirm(f"delete {neutral(what)}?", abort=True, err=True)


def wants_json(output: str | None) -> bool:
    """Whether a result is written as JSON: that was asked for, or nothing was and a program reads it.

    Prompt flow writes these results as JSON always, and its scripts pipe them on: `pf run list | jq`.
    """
    return output == "json" if output is not None else not sys.stdout.isatty()


def is_interactive() -> bool:
    """Whether a person watches what `say` writes."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, how: Paint, *, stream: Any = None) -> str:
    """`text` coloured, if the stream (default stderr) is a terminal and `NO_COLOR` is not set."""
    stream = sys.stderr if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_CODES[how]}m{text}\x1b[0m"


def progress(label: str, total: int) -> Progress:
    """A bar with rate and time left on stderr; writes nothing when that is not a terminal."""
    return Progress(label, total, stream=sys.stderr if is_interactive() else None)


def use_utf8() -> None:
    """Make the standard streams UTF-8 whatever the locale says, and never fail on a character."""
    for stream, errors in (
        (sys.stdin, "replace"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors=errors)
