"""`pf flow register-prompts`: a flow's prompts in MLflow's registry, one version for each text."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit_json, say, table
from promptflow_lite.cli.options import Output, Outputs, Source
from promptflow_lite.errors import PromptflowError

app = Group("Make, check, try and look at flows.")


@app.command(
    "register-prompts",
    examples="""
    pf flow register-prompts --source flows/support
    pf flow register-prompts --source flows/support --alias staging --message "shorter answers"
    """,
)
def register_prompts(
    source: Source,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", "-n", metavar="NAME", help="What the prompts' names begin with.  [default: the flow's]"
        ),
    ] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", metavar="NAME", help="An alias that each of them gets.")
    ] = None,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="What is new in these versions.")
    ] = "",
    output: Outputs = Output.table,
) -> None:
    """Register the prompts of a flow's nodes, those of all variants, in MLflow's prompt registry.

    Each becomes NAME-NODE, with -VARIANT behind it where a node has variants. A text that is the latest
    version already makes no new one. A node takes a registered prompt by `source: {type: code, path:
    prompts:/NAME/3}`, or `prompts:/NAME@ALIAS`. MLFLOW_TRACKING_URI says where the registry is.
    """
    from promptflow_lite.flow.load import load_flow
    from promptflow_lite.registry import Registry

    flow = load_flow(source)
    try:
        kept: list[Any] = (
            Registry("prompt_registries")
            .get("mlflow")
            .register(flow, name=name, alias=alias, message=message)
        )
    except ConnectionError as error:
        raise PromptflowError(str(error), code="prompts-away") from error
    if output is Output.json:
        emit_json([one._asdict() for one in kept])
    elif kept:
        table(
            ("node", "variant", "prompt", ""),
            [(one.node, one.variant or "", one.uri, "new" if one.is_new else "as it was") for one in kept],
        )
    else:
        say("no node of the flow has a prompt in a file of its own")
