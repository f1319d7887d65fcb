"""Which options do the commands of endpoints take, online and batch alike, and what do their texts mean?"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.command import pairs
from promptflow_lite.errors import UserError

__all__ = [
    "DeploymentName",
    "EndpointName",
    "File",
    "Force",
    "KeyOf",
    "KeyType",
    "MaybeDeploymentName",
    "MaybeEndpointName",
    "Served",
    "Set",
    "named",
    "typed",
]


class KeyType(StrEnum):
    """Which of the two keys."""

    primary = "primary"
    secondary = "secondary"


_ENDPOINT = typer.Option("--name", "-n", help="The endpoint's name.", metavar="NAME")
_DEPLOYMENT = typer.Option("--name", "-n", help="The deployment's name.", metavar="NAME")

EndpointName = Annotated[str, _ENDPOINT]
MaybeEndpointName = Annotated[str | None, _ENDPOINT]
"""Of commands that take a file, where the name may stand."""
DeploymentName = Annotated[str, _DEPLOYMENT]
MaybeDeploymentName = Annotated[str | None, _DEPLOYMENT]
Served = Annotated[str, typer.Argument(help="The endpoint's name.", metavar="NAME")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="Its YAML.", metavar="PATH")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Keys over those of the file, as in affinity.header=X-Session-Id.",
        metavar="KEY=VALUE ...",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Give the traffic whatever the gate says.")]
KeyOf = Annotated[KeyType, typer.Option("--key-type", help="Which of the two.")]


def typed(texts: list[str] | None, **keys: str | None) -> dict[str, str]:
    """What was typed over a file: `--set` texts, and options that stand for a key.

    >>> typed(["affinity.header=X-Session"], name="support", auth_mode=None)
    {'affinity.header': 'X-Session', 'name': '"support"'}
    """
    of_options = {key: json.dumps(text) for key, text in keys.items() if text is not None}
    return {**pairs(texts, "--set"), **of_options}


def named(name: str | None, asked: str | None, option: str) -> str:
    """A name that was typed, or stands in the file.

    Raises:
        UserError: neither (code `missing-option`).
    """
    found = name or asked
    if found is None:
        raise UserError(f"which one? Say {option} NAME, or write it into the file", code="missing-option")
    return found
