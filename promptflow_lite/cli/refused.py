"""What of Prompt flow's commands is not taken over, and what does the same here?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from promptflow_lite.errors import UserError

__all__ = ["COMMANDS", "OPTIONS", "pfazure", "refuse_command", "refuse_options"]

_MLFLOW = "runs are kept in folders and told to MLflow: pf run show, pf run visualize, mlflow ui"
_PACKAGES = "the package manager does that: pip install --upgrade promptflow_lite"

COMMANDS = {
    "service": "there is no service to start: every command works by itself, and pf flow serve serves a flow",
    "trace": _MLFLOW,
    "upgrade": _PACKAGES,
    "experiment": "pf run create --run BASE builds one run on another; a shell script strings them together",
    "run build": "pf flow build --source FLOW packs it for a container",
}
"""A command as it is typed after `pf`, and what to use in its place."""

OPTIONS: dict[str, dict[str, str]] = {
    "flow test": {
        "--ui": "pf flow serve --source FLOW has a page to chat with",
        "--multi-modal": "pf flow serve --source FLOW has a page to chat with",
        "--url-params": "pf flow serve --source FLOW has a page to chat with",
        "--skip-open-browser": "no browser is opened; leave it out",
        "--collection": "no traces are collected; leave it out",
        "--config": "pf config set, or --environment-variables",
        "--port": "pf flow serve --source FLOW --port PORT has a page to chat with",
        "--detail": "--output json gives the record of every node",
    },
    "flow serve": {
        "--config": "pf config set, or --environment-variables",
        "--static_folder": "the page of the endpoint is its own; put a page of yours before it",
        "--static-folder": "the page of the endpoint is its own; put a page of yours before it",
    },
    "flow build": {
        "--flow-only": "pf flow validate checks the flow, and its folder is the flow; leave it out",
    },
    "flow init": {
        "--connection": "write the connection's name into flow.dag.yaml",
        "--deployment": "write the deployment's name into flow.dag.yaml",
    },
}
"""Options of a command, and what to use in their place."""


def refuse_command(path: str) -> None:
    """Say what to use in the place of a command of Prompt flow.

    Args:
        path: as it is typed after `pf`.

    Raises:
        UserError: the command is one that this house does not have (`not-supported`).
    """
    if path in COMMANDS:
        raise UserError(
            f"'pf {path}' is not part of promptflow_lite", code="not-supported", hint=COMMANDS[path]
        )


def refuse_options(path: str, args: Sequence[str], known: set[str]) -> None:
    """Say what to use in the place of an option of Prompt flow.

    Args:
        path: the command as it is typed after `pf`.
        args: what follows it.
        known: the options that the command has.

    Raises:
        UserError: an option is one that this house does not have (`not-supported`).
    """
    for option, instead in OPTIONS.get(path, {}).items():
        if option not in known and any(arg.partition("=")[0] == option for arg in args):
            raise UserError(
                f"'pf {path} {option}' is not part of promptflow_lite", code="not-supported", hint=instead
            )


def pfazure() -> None:
    """The command `pfazure`: it says what to use, and exits with 2."""
    print(
        "pfazure: Azure's service is not part of promptflow_lite, and closes itself\n"
        "  pf run create runs here and tells MLflow, Azure ML's too, where MLFLOW_TRACKING_URI says;\n"
        "  pf flow serve serves a flow, in a container of yours too",
        file=sys.stderr,
    )
    sys.exit(2)
