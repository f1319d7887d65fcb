"""What does `pf` do with what was typed? Finds the command, runs it, and turns errors into exit codes.

Exit codes: 0 done, 1 failed, 2 wrong use or a wrong file, 3 done but some lines failed, 128+n after signal n.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from promptflow_lite.cli.console import neutral, say, use_utf8
from promptflow_lite.cli.plain import read_plainly
from promptflow_lite.cli.refused import refuse_command
from promptflow_lite.errors import PromptflowError, UserError

__all__ = ["GROUPS", "command_tree", "main"]

GROUPS = {
    "flow": "Make, check, try and look at flows.",
    "run": "Run flows over data, and look at what came of it.",
    "eval": "Evaluators: those that there are, and how far a judge can be trusted.",
    "connection": "Endpoints of models and services, and their secrets.",
    "config": "Settings of this home: where runs are kept.",
    "tool": "Tools of packages and of flows: make, list and check them.",
    "model": "The weights of embedded models.",
    "cache": "Answers of models that are kept.",
    "endpoint": "Endpoints of several deployments: traffic, keys, calls.",
    "deployment": "Deployments of endpoints: a flow each, in processes of its own.",
    "batch-endpoint": "Batch endpoints: a flow over whole files, asked for as jobs.",
    "batch-deployment": "Deployments of batch endpoints: a flow each, and how its jobs go.",
    "job": "Jobs of batch endpoints: see, follow, go on with, end, fetch.",
    "index": "Search indexes over your documents.",
    "data": "Data sets: made of the traffic of what is served.",
}
"""The command groups and their help lines; each is the module `promptflow_lite.cli.<name>` with an `app`.
Where a name has a dash, the module's has an underscore."""

MORE = {
    "endpoint": ("endpoint_live", "endpoint_build"),
    "connection": ("connection_import",),
    "flow": ("flow_serve", "flow_show", "build", "prompts", "flow_compat"),
    "index": ("index_search", "index_evaluate", "index_push"),
    "run": ("run_show", "run_compare", "run_control", "run_records"),
}
"""Further modules with an `app` whose commands belong to a group."""


class LazyGroup(TyperGroup):
    """A group whose module is imported when one of its commands is asked for."""

    def load(self) -> LazyGroup:
        """The group with its commands."""
        if not self.commands:
            for name in (self.name, *MORE.get(self.name or "", ())):
                module = importlib.import_module(f"promptflow_lite.cli.{(name or '').replace('-', '_')}")
                self.commands.update(get_group(module.app).commands)
        return self

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is asked for; one that only Prompt flow has says what to use."""
        if args[0] not in self.commands:
            refuse_command(f"{self.name} {args[0]}")
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return read_plainly(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without arguments, show the help."""
        self.load()
        return super().parse_args(ctx, args or ["--help"])


class Root(TyperGroup):
    """`pf` itself: its groups are named, not loaded."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, line in GROUPS.items():
            self.add_command(
                LazyGroup(name=name, help=line, rich_markup_mode=None, subcommand_metavar="COMMAND ...")
            )

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` among them."""
        return read_plainly(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without arguments, show the help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The group that is asked for; one that only Prompt flow has says what to use."""
        if args[0] not in self.commands:
            refuse_command(args[0])
        return super().resolve_command(ctx, args)


_app = typer.Typer(
    cls=Root,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"promptflow_lite {version('promptflow_lite')}")
        raise typer.Exit


@_app.callback()
def _pf(
    version: Annotated[
        bool,
        typer.Option("--version", "-v", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Flows of language models, written in YAML: make them, run them, score them."""


def command_tree() -> TyperGroup:
    """The whole command tree; groups load as they are asked for."""
    return cast(TyperGroup, get_command(_app))  # typer makes a group of what has a callback


def main(args: Sequence[str] | None = None) -> None:
    """Run `pf` and exit with its code."""
    use_utf8()
    name = "pfl" if os.path.basename(sys.argv[0]).startswith("pfl") else "pf"  # noqa: PTH119
    tree = command_tree()
    if os.environ.get(f"_{name.upper()}_COMPLETE"):
        tree.main(prog_name=name)
    sys.exit(run(tree, name, list(sys.argv[1:] if args is None else args)))


def run(tree: TyperGroup, name: str, args: list[str]) -> int:
    """The exit code of `name args`; the only place where an error becomes text."""
    try:
        with tree.make_context(name, args) as context:
            code = tree.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.Exit as asked:
        return asked.exit_code
    except UserError as error:
        say(neutral(str(error)))
        return 2
    except PromptflowError as error:
        say(neutral(str(error)))
        return 1
    except typer.TyperException as error:
        path = getattr(getattr(error, "ctx", None), "command_path", name)
        text = error.format_message().replace("Value error, ", "")  # pydantic's, by which typer checks
        say(f"{path}: {neutral(text)}\n  '{path} --help' says how it is used")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("")
        return 130
    except BrokenPipeError:
        # Whoever read us has left. Python flushes stdout once more at exit: give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:
            return _is_a_bug()
        say(neutral(f"{error.filename}: {error.strerror}"))
        return 1
    except Exception:
        return _is_a_bug()


def _is_a_bug() -> int:
    traceback.print_exc()
    say("this is a bug in promptflow_lite; a report with the lines above helps to mend it")
    return 1
