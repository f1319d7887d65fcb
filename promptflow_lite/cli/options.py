"""Which options do several commands take? Each is written once: what it means, and what its help says."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.names import run_names
from promptflow_lite.errors import UserError

__all__ = [
    "AllowedHosts",
    "BatchTimeout",
    "Cache",
    "Concurrency",
    "Connections",
    "EnvironmentVariables",
    "ErrorThreshold",
    "Executor",
    "Host",
    "Init",
    "LineTimeout",
    "LogFormat",
    "LogLevel",
    "Matrix",
    "MaxBodyBytes",
    "MaxCost",
    "MaxTokens",
    "Name",
    "Named",
    "NoTraces",
    "NoTracking",
    "Output",
    "OutputOrJson",
    "Outputs",
    "PlainYes",
    "Port",
    "Source",
    "Stream",
    "TextOutput",
    "ToldAs",
    "Variant",
    "Variants",
    "WorkerMemory",
    "Workers",
    "Yes",
    "one_of",
]


class Output(StrEnum):
    """How a result is written."""

    table = "table"
    json = "json"


class TextOutput(StrEnum):
    """How a result is written that is no table."""

    text = "text"
    json = "json"


class LogLevel(StrEnum):
    """What a server writes to stderr."""

    error = "error"
    warning = "warning"
    info = "info"


class LogFormat(StrEnum):
    """How what happens is told, on stderr."""

    text = "text"
    json = "json"


Outputs = Annotated[Output, typer.Option("--output", "-o", help="How the result is written.")]
Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The run.", autocompletion=run_names, show_default=False),
]
Named = Annotated[
    str | None,
    typer.Option(
        "--name", "-n", metavar="NAME", help="The run, as Prompt flow has it.", autocompletion=run_names
    ),
]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", "-c", min=1, help="Lines in flight.  [default: 16]")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Run the flow's code in this many processes: all cores, and a crash costs one line.",
    ),
]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="ray|ADDRESS",
        help="Run lines on a Ray cluster: this one, ray://HOST:10001 or HOST:6379.  [default: this machine]",
    ),
]
WorkerMemory = Annotated[
    int | None,
    typer.Option("--worker-memory", min=1, metavar="MB", help="What a worker process may take at most."),
]
LineTimeout = Annotated[
    float | None,
    typer.Option(
        "--line-timeout", min=0.001, metavar="SECONDS", help="How long a line may take.  [default: 600]"
    ),
]
BatchTimeout = Annotated[
    float | None,
    typer.Option(
        "--batch-timeout", min=0.001, metavar="SECONDS", help="How long all lines may take; resume goes on."
    ),
]
ErrorThreshold = Annotated[
    int | None,
    typer.Option(
        "--error-threshold",
        min=-1,
        help="Stop when more lines than this have failed, and exit 0 up to it; -1: never mind failed lines.",
    ),
]
Cache = Annotated[
    bool | None,
    typer.Option(
        "--cache/--no-cache",
        help="Keep the models' answers, and pay for none that is kept (pf cache).  [default: PF_CACHE]",
        show_default=False,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost", min=0.000001, metavar="USD", help="Stop when so much is spent; resume goes on."
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, metavar="N", help="Stop after so many tokens; resume goes on."),
]
ToldAs = Annotated[
    LogFormat, typer.Option("--log-format", help="How progress and logs are told: for people, or as JSON.")
]
OutputOrJson = Annotated[
    Output | None,
    typer.Option("--output", "-o", help="How the result is written.  [default: table; json in a pipe]"),
]
NoTracking = Annotated[bool, typer.Option("--no-tracking", help="Do not tell MLflow of the run.")]
NoTraces = Annotated[
    bool, typer.Option("--no-traces", help="Tell MLflow of the run, but no trace for each line (10 ms each).")
]
Stream = Annotated[
    bool,
    typer.Option("--stream", "-s", help="Say how each line ended, not just how far the run is."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", "--assume-yes", help="Do not ask.")]
PlainYes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
"""Of commands that Prompt flow has not, nor its `--assume-yes`."""
Source = Annotated[
    Path, typer.Option("--source", "--flow", help="The flow's folder, or its file.", metavar="PATH")
]
Variant = Annotated[
    str | None,
    typer.Option("--variant", metavar="'${NODE.ID}'", help="A variant to take instead of the default."),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="'${NODE.ID}' ...",
        help="A variant instead of the default. Several of one node: a run for each.",
    ),
]
Matrix = Annotated[
    list[str] | None,
    typer.Option(
        "--matrix",
        metavar="KEY=V,V ...",
        help="A run for every combination, under one parent: NODE=VARIANT,... (or '*'), "
        "NODE.temperature=0,0.5, NODE.deployment_name=..., NODE.connection=..., inputs.NAME=..., "
        "init.NAME=...",
    ),
]
Connections = Annotated[
    list[str] | None,
    typer.Option(
        "--connections",
        metavar="NODE.KEY=VALUE ...",
        help="What a node connects to instead, as in answer.connection=azure answer.deployment_name=gpt.",
    ),
]
EnvironmentVariables = Annotated[
    list[str] | None,
    typer.Option(
        "--environment-variables",
        metavar="NAME=VALUE ...",
        help="Variables for the flow's code, or a .env file.",
    ),
]
Init = Annotated[
    list[str] | None,
    typer.Option(
        "--init",
        metavar="NAME=VALUE ...",
        help="What the class of a flex flow is made with, by name, or a .json file.",
    ),
]

Port = Annotated[int, typer.Option("--port", help="Where to listen; 0 takes a free one.", min=0, max=65535)]
Host = Annotated[str, typer.Option("--host", help="The address to listen on.", metavar="HOST")]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option("--allowed-hosts", help="Further names in the Host header.", metavar="NAME ..."),
]
MaxBodyBytes = Annotated[
    int, typer.Option("--max-body-bytes", help="The largest request.", min=1024, metavar="BYTES")
]


def one_of(name: str | None, named: str | None) -> str:
    """The run that is meant, by its place or by `--name`.

    Raises:
        UserError: none is named, or one both ways (code `bad-option`).
    """
    if (name is None) == (named is None):
        raise UserError("which run?", code="bad-option", hint="name one run; pf run list  shows them")
    return name or named or ""
