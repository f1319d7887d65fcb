"""What is a command of `pf`? Greedy options, examples under the help, groups that say what they hold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from promptflow_lite.cli.plain import read_plainly
from promptflow_lite.cli.refused import refuse_options
from promptflow_lite.errors import UserError

__all__ = ["Group", "PfCommand", "overrides", "pairs", "written_out"]


class PfCommand(TyperCommand):
    """A command whose list options take every value up to the next option: `--inputs a=1 b=2`.

    Any option of type `list[...]` is greedy, as in Prompt flow. An epilog is printed as it stands, under the
    heading Examples.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spell greedy options out before the parser sees them; say what Prompt flow's own became."""
        known = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        args = written_out(_heeding_verbosity(args, known), known | {"--help"})
        refuse_options(ctx.command_path.partition(" ")[2], args, known)
        greedy = {name for param in self.params if getattr(param, "multiple", False) for name in param.opts}
        return super().parse_args(ctx, spread(_with_dotenv(args), greedy))

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return read_plainly(super().get_params(ctx))

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first line of the help, whole."""
        return (self.help or "").strip().split("\n", 1)[0]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Print the examples line by line."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in cleandoc(self.epilog).splitlines():
                    formatter.write(f"  {line}\n" if line else "\n")


_LEVELS = {"--verbose": "INFO", "--debug": "DEBUG"}


def _heeding_verbosity(args: Sequence[str], known: set[str]) -> list[str]:
    """`args` without Prompt flow's `--verbose` and `--debug`, which all commands take: they turn logs on."""
    levels = [level for option, level in _LEVELS.items() if option in args and option not in known]
    if not levels:
        return list(args)
    import logging

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    logging.getLogger("promptflow_lite").setLevel(levels[-1])
    return [arg for arg in args if arg not in _LEVELS or arg in known]


def written_out(args: Sequence[str], known: set[str]) -> list[str]:
    """`args` with the beginnings of option names completed, where they are of one option only.

    Prompt flow's commands take them, and its examples use them: `--env`, `--name` for `--names`.

    >>> written_out(["--col", "a=1", "--na=x"], {"--column-mapping", "--name", "--names"})
    ['--column-mapping', 'a=1', '--na=x']
    """
    written: list[str] = []
    for at, arg in enumerate(args):
        if arg == "--":
            return [*written, *args[at:]]
        start, equals, value = arg.partition("=")
        meant = [name for name in known if name.startswith(start)] if start.startswith("--") else []
        is_one = len(meant) == 1 and start not in known
        written.append(f"{meant[0]}{equals}{value}" if is_one else arg)
    return written


_ENVIRONMENT = "--environment-variables"


def _with_dotenv(args: Sequence[str]) -> list[str]:
    """`args` with the nearest .env file, here or above, for an `--environment-variables` without a value."""
    given: list[str] = []
    for arg, following in zip(args, [*args[1:], "--"], strict=False):
        if arg != _ENVIRONMENT or not following.startswith("-"):
            given.append(arg)
            continue
        here = Path.cwd()
        found = next((file for folder in (here, *here.parents) if (file := folder / ".env").is_file()), None)
        if found is not None:
            given += [arg, str(found)]
        else:
            print(f"{_ENVIRONMENT}: there is no .env file here or above", file=sys.stderr)
    return given


def spread(args: Sequence[str], greedy: set[str]) -> list[str]:
    """`args` with the name of a greedy option repeated before each of its values.

    >>> spread(["--inputs", "a=1", "b=2", "--node", "n"], {"--inputs"})
    ['--inputs', 'a=1', '--inputs', 'b=2', '--node', 'n']
    """
    spelled: list[str] = []
    option: str | None = None
    fresh = False
    for at, arg in enumerate(args):
        if arg == "--":
            return [*spelled, *args[at:]]
        if arg.startswith("-") and len(arg) > 1:
            option, fresh = (arg, True) if arg in greedy else (None, False)
        elif option is not None and not fresh:
            spelled.append(option)
        else:
            fresh = False
        spelled.append(arg)
    return spelled


class Group(typer.Typer):
    """A command group: a `typer.Typer` whose commands are `PfCommand`s with plain help.

    Args:
        help: the line `pf --help` shows; keep it equal to the table in `cli/main.py`.
    """

    def __init__(self, help: str) -> None:
        super().__init__(
            help=help, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
        )

    def command(  # type: ignore[override]  # fewer options than typer's: each command looks alike
        self, name: str, *, examples: str = "", hidden: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a command.

        Args:
            name: as it is typed.
            examples: commands, one a line, printed under the help.
            hidden: leave it out of the help.
        """
        return super().command(
            name, cls=PfCommand, epilog=examples or None, hidden=hidden, no_args_is_help=False
        )


def pairs(values: Sequence[str] | None, option: str) -> dict[str, str]:
    """`name=value` texts as a mapping; quotes around a text or its value are left out, as in Prompt flow.

    Args:
        values: what the option was given; `None` is nothing.
        option: its name, for the message.

    Raises:
        UserError: a text has no `=`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in values or ():
        name, equals, value = _unquoted(text).partition("=")
        if not equals or not name:
            raise UserError(f"{option}: expected name=value, got {text!r}", code="bad-option")
        if name in found:
            raise UserError(f"{option}: {name!r} is given twice", code="bad-option")
        found[name] = _unquoted(value)
    return found


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def overrides(values: Sequence[str] | None, option: str = "--connections") -> dict[str, dict[str, str]]:
    """`node.key=value` texts by node.

    Raises:
        UserError: a text is not of that shape.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in pairs(values, option).items():
        node, dot, key = name.rpartition(".")
        if not dot or not node or not key:
            raise UserError(
                f"{option}: expected node.key=value, got {f'{name}={value}'!r}", code="bad-option"
            )
        found.setdefault(node, {})[key] = value
    return found
