"""`pf run`: run flows over data, new or once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group
from promptflow_lite.cli.names import run_names
from promptflow_lite.cli.options import (
    BatchTimeout,
    Cache,
    Concurrency,
    Connections,
    EnvironmentVariables,
    ErrorThreshold,
    Executor,
    Init,
    LineTimeout,
    LogFormat,
    Matrix,
    MaxCost,
    MaxTokens,
    Name,
    Named,
    NoTraces,
    NoTracking,
    Output,
    Outputs,
    Stream,
    ToldAs,
    Variants,
    WorkerMemory,
    Workers,
    Yes,
    one_of,
)

app = Group("Run flows over data, and look at what came of it.")


@app.command(
    "create",
    examples="""
    pf run create --flow flows/intent --data flows/intent/data.jsonl --name base
    pf run create --flow flows/intent --data tickets.csv --column-mapping text='${data.message}'
    pf run create --flow evaluators/classification --run base \\
        --column-mapping prediction='${run.outputs.intent}' ground_truth='${data.intent}'
    pf run create --flow flows/intent --data data.jsonl --variant '${examples.few_shot}'
    pf run create --flow flows/intent --data data.jsonl --matrix 'examples=*' 'classify.temperature=0,0.5'
    pf run create --file run.yaml --stream
    pf run create --resume-from base --name again
    """,
)
def create(
    flow: Annotated[
        str | None,
        typer.Option("--flow", metavar="PATH", help="The flow's folder or file, or evaluator:NAME."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Rows: .jsonl, .json, .csv, .tsv, .parquet (or .gz, ...), or a folder.",
        ),
    ] = None,
    column_mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--column-mapping",
            metavar="INPUT=VALUE ...",
            help="Where inputs come from: '${data.COL}', '${run.outputs.COL}', '${run.inputs.COL}', text.",
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="NAME", help="The run to score or to go on from.", autocompletion=run_names
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="The new run's name.")] = None,
    variant: Variants = None,
    matrix: Matrix = None,
    connections: Connections = None,
    environment_variables: EnvironmentVariables = None,
    init: Init = None,
    display_name: Annotated[str | None, typer.Option("--display-name", help="A name for people.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tags", metavar="KEY=VALUE ...", help="Tags.")] = None,
    settings_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE ...", help="Any key of a run file, as in display_name=x tags.team=a."
        ),
    ] = None,
    resume_from: Annotated[
        str | None,
        typer.Option(
            "--resume-from",
            metavar="NAME",
            help="A new run that asks for the same and takes over that run's completed lines.",
            autocompletion=run_names,
        ),
    ] = None,
    concurrency: Concurrency = None,
    executor: Executor = None,
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    line_timeout: LineTimeout = None,
    error_threshold: ErrorThreshold = None,
    batch_timeout: BatchTimeout = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first rows.")] = None,
    sample: Annotated[
        float | None,
        typer.Option("--sample", metavar="N|PART", help="Only so many rows, or that part (0.1), at random."),
    ] = None,
    shuffle_seed: Annotated[
        int | None,
        typer.Option(
            "--shuffle-seed", metavar="SEED", help="Start lines in this random order; draw the sample by it."
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", min=1, max=1000, metavar="N", help="Run each row N times.  [default: 1]"),
    ] = None,
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Leave bad records of the data out, and say which.")
    ] = False,
    cache: Cache = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Only say what it would ask and cost: nothing is sent, no run made."),
    ] = False,
    stream: Stream = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="YAML", help="A run file; options go over its keys."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source", metavar="DIR", help="Take over a run's folder from elsewhere, Prompt flow's too."
        ),
    ] = None,
    yes: Yes = False,
    no_tracking: NoTracking = False,
    no_traces: NoTraces = False,
    log_format: ToldAs = LogFormat.text,
    output: Outputs = Output.table,
) -> int:
    """Run a flow over every row of a data file and keep what comes of each.

    Each finished line is on the disk before it counts as done. Ctrl-C once finishes the lines in flight,
    twice leaves at once; either way `pf run resume NAME` goes on.

    With --matrix, with several variants of a node, or with --run of such runs, there is a run for every
    combination, and what they ask and cost together is shown first.

    Exit code 0: done; 1: failed; 2: wrong use or a wrong file; 3: done, but some lines failed; 128+n: ended
    by signal n.
    """
    if source is not None:
        from promptflow_lite.cli.run_records import take_over

        return take_over(source, name, display_name, tags, output)
    from promptflow_lite.cli.asking import Options, request
    from promptflow_lite.cli.running import Session
    from promptflow_lite.runs.planning import is_sweep

    options = Options(
        flow=flow,
        data=data,
        column_mapping=column_mapping,
        run=run,
        name=name,
        variant=variant,
        matrix=matrix,
        connections=connections,
        environment_variables=environment_variables,
        init=init,
        display_name=display_name,
        tags=tags,
        settings=settings_,
        resume_from=resume_from,
        concurrency=concurrency,
        executor=executor,
        workers=workers,
        worker_memory=worker_memory,
        line_timeout=line_timeout,
        error_threshold=error_threshold,
        batch_timeout=batch_timeout,
        limit=limit,
        sample=sample,
        shuffle_seed=shuffle_seed,
        repeats=repeats,
        skip_bad_lines=skip_bad_lines,
        cache=cache,
        max_cost=max_cost,
        max_tokens=max_tokens,
        file=file,
    )
    session = Session(
        each_line=stream,
        tracking=not no_tracking,
        traces=not no_traces,
        as_json=output is Output.json,
        log_format=log_format.value,
    )
    asked, reuse = request(options, session.store)
    asked = asked.model_copy(
        update={"tracked": asked.tracked and not no_tracking, "traced": asked.traced and not no_traces}
    )
    if is_sweep(asked, session.store):
        from promptflow_lite.cli.sweeping import create as create_sweep

        return create_sweep(asked, session, only_estimate=estimate, yes=yes, as_json=output is Output.json)
    if estimate:
        from promptflow_lite.cli.estimating import show as show_estimate

        return show_estimate(asked, session.store, as_json=output is Output.json)
    return session.create(asked, reuse)


@app.command("resume", examples="pf run resume base\npf run resume base --retry-failed")
def resume(
    name: Name = None,
    named: Named = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run the failed lines again too.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although the flow, the data or the mapping changed.")
    ] = False,
    environment_variables: Annotated[
        list[str] | None,
        typer.Option(
            "--environment-variables",
            metavar="NAME=VALUE ...",
            help="Values that were not kept, because their names are those of secrets.",
        ),
    ] = None,
    concurrency: Concurrency = None,
    executor: Executor = None,
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    line_timeout: LineTimeout = None,
    batch_timeout: BatchTimeout = None,
    error_threshold: ErrorThreshold = None,
    cache: Cache = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    stream: Stream = False,
    no_tracking: NoTracking = False,
    no_traces: NoTraces = False,
    log_format: ToldAs = LogFormat.text,
    output: Outputs = Output.table,
) -> int:
    """Go on with a run that ended early: only the lines that are missing are run."""
    from promptflow_lite.cli.asking import variables
    from promptflow_lite.cli.running import Session

    session = Session(
        each_line=stream,
        tracking=not no_tracking,
        traces=not no_traces,
        as_json=output is Output.json,
        log_format=log_format.value,
    )
    changes = {
        "concurrency": concurrency,
        "executor": executor,
        "workers": workers,
        "worker_memory_mb": worker_memory,
        "line_timeout_s": line_timeout,
        "batch_timeout_s": batch_timeout,
        "error_threshold": error_threshold,
        "cache": cache,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
        "tracked": False if no_tracking else None,
        "traced": False if no_traces else None,
    }
    return session.resume(
        one_of(name, named),
        {key: value for key, value in changes.items() if value is not None},
        variables(environment_variables),
        retry_failed=retry_failed,
        force=force,
    )
