"""Writes docs/reference/cli.md from the command tree, and the names of Prompt flow into docs/compat.md.

python docs/generate.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promptflow_lite.aliases import ALIASES
from promptflow_lite.api.imports import names_in
from promptflow_lite.cli.main import GROUPS, command_tree

COMPAT = Path(__file__).parent / "compat.md"
NAMES = ("<!-- names: begin -->", "<!-- names: end -->")
PAGE = Path(__file__).parent / "reference" / "cli.md"

HEAD = """\
# Commands

<!-- Written by docs/generate.py; a test compares. Change the commands, then run it again. -->

Results go to stdout, everything else to stderr. Exit codes:

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | wrong use, or a wrong file |
| 3 | done, but some lines failed |
| 128 + n | ended by signal n; 130 is Ctrl-C |

An option that takes several values takes all up to the next option: `--inputs a=1 b=2`. `pfl` is another
name of `pf`. Colours are left out when the output is no terminal, or when `NO_COLOR` is set.
`pf --install-completion` teaches the shell to complete commands and names.
"""


def reference() -> str:
    """The page as it should be."""
    tree = command_tree()
    with tree.make_context("pf", ["--help"], resilient_parsing=True) as root:
        parts = [HEAD, *_section(tree, root, 2)]
        for name in GROUPS:
            group: Any = tree.commands[name]
            group.load()
            with group.make_context(name, [], parent=root, resilient_parsing=True) as context:
                parts += _section(group, context, 2)
                for child, command in group.commands.items():
                    with command.make_context(child, [], parent=context, resilient_parsing=True) as inner:
                        parts += _section(command, inner, 3)
    return "\n".join(parts)


def _section(command: Any, context: Any, level: int) -> Iterator[str]:
    context.terminal_width = 96
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    yield f"{'#' * level} {context.command_path}\n\n```text\n" + "\n".join(lines) + "\n```\n"


def names() -> str:
    """The names that code may import from `promptflow`, as a table."""
    rows = ["| module | names |", "|---|---|"]
    for module in sorted(ALIASES):
        below = {
            name[len(module) + 1 :].partition(".")[0] for name in ALIASES if name.startswith(f"{module}.")
        }
        own = sorted((names_in(module) or frozenset()) - below)
        if own:
            rows.append(f"| `{module}` | {', '.join(f'`{name}`' for name in own)} |")
    return "\n".join(rows)


def compat() -> str:
    """docs/compat.md with the names as they are."""
    text = COMPAT.read_text(encoding="utf-8")
    head, rest = text.split(NAMES[0])
    return f"{head}{NAMES[0]}\n{names()}\n{NAMES[1]}{rest.split(NAMES[1])[1]}"


if __name__ == "__main__":
    COMPAT.write_text(compat(), encoding="utf-8")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(reference(), encoding="utf-8")
