"""`pf run`: run flows over data, score the runs, look at what came of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, say, table, wants_json
from promptflow_lite.cli.names import run_names
from promptflow_lite.errors import UserError

app = Group("Run flows over data, and look at what came of it.")


class Output(StrEnum):
    """How a result is written."""

    table = "table"
    json = "json"


class LogFormat(StrEnum):
    """How what happens is told, on stderr."""

    text = "text"
    json = "json"


class Details(StrEnum):
    """How the lines of a run are written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


class Comparing(StrEnum):
    """How a comparison is written."""

    table = "table"
    json = "json"
    markdown = "markdown"


_Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The run.", autocompletion=run_names, show_default=False),
]
_Named = Annotated[
    str | None,
    typer.Option(
        "--name", "-n", metavar="NAME", help="The run, as Prompt flow has it.", autocompletion=run_names
    ),
]
_Out = Annotated[Output, typer.Option("--output", "-o", help="How the result is written.")]
OutputOrJson = Annotated[
    Output | None,
    typer.Option("--output", "-o", help="How the result is written.  [default: table; json in a pipe]"),
]
_Concurrency = Annotated[
    int | None, typer.Option("--concurrency", "-c", min=1, help="Lines in flight.  [default: 16]")
]
_Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Run the flow's code in this many processes: all cores, and a crash costs one line.",
    ),
]
_Executor = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="ray|ADDRESS",
        help="Run lines on a Ray cluster: this one, ray://HOST:10001 or HOST:6379.  [default: this machine]",
    ),
]
_WorkerMemory = Annotated[
    int | None,
    typer.Option("--worker-memory", min=1, metavar="MB", help="What a worker process may take at most."),
]
_LineTimeout = Annotated[
    float | None,
    typer.Option(
        "--line-timeout", min=0.001, metavar="SECONDS", help="How long a line may take.  [default: 600]"
    ),
]
_BatchTimeout = Annotated[
    float | None,
    typer.Option(
        "--batch-timeout", min=0.001, metavar="SECONDS", help="How long all lines may take; resume goes on."
    ),
]
_ErrorThreshold = Annotated[
    int | None,
    typer.Option(
        "--error-threshold",
        min=-1,
        help="Stop when more lines than this have failed, and exit 0 up to it; -1: never mind failed lines.",
    ),
]
_Cache = Annotated[
    bool | None,
    typer.Option(
        "--cache/--no-cache",
        help="Keep the models' answers, and pay for none that is kept (pf cache).  [default: PF_CACHE]",
        show_default=False,
    ),
]
_MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost", min=0.000001, metavar="USD", help="Stop when so much is spent; resume goes on."
    ),
]
_MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, metavar="N", help="Stop after so many tokens; resume goes on."),
]
_LogFormat = Annotated[
    LogFormat, typer.Option("--log-format", help="How progress and logs are told: for people, or as JSON.")
]
_NoTracking = Annotated[bool, typer.Option("--no-tracking", help="Do not tell MLflow of the run.")]


@app.command(
    "create",
    examples="""
    pf run create --flow flows/intent --data flows/intent/data.jsonl --name base
    pf run create --flow flows/intent --data tickets.csv --column-mapping text='${data.message}'
    pf run create --flow evaluators/classification --run base \\
        --column-mapping prediction='${run.outputs.intent}' ground_truth='${data.intent}'
    pf run create --flow flows/intent --data data.jsonl --variant '${examples.few_shot}'
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
    variant: Annotated[
        str | None,
        typer.Option("--variant", metavar="'${NODE.ID}'", help="A variant instead of the default."),
    ] = None,
    connections: Annotated[
        list[str] | None,
        typer.Option(
            "--connections",
            metavar="NODE.KEY=VALUE ...",
            help="What a node connects to instead, as in answer.connection=azure answer.deployment_name=gpt.",
        ),
    ] = None,
    environment_variables: Annotated[
        list[str] | None,
        typer.Option(
            "--environment-variables",
            metavar="NAME=VALUE ...",
            help="Variables for the flow's code, or one .env file.",
        ),
    ] = None,
    init: Annotated[
        list[str] | None,
        typer.Option(
            "--init",
            metavar="NAME=VALUE ...",
            help="What the class of a flex flow is made with, or one .json file.",
        ),
    ] = None,
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
    concurrency: _Concurrency = None,
    executor: _Executor = None,
    workers: _Workers = None,
    worker_memory: _WorkerMemory = None,
    line_timeout: _LineTimeout = None,
    error_threshold: _ErrorThreshold = None,
    batch_timeout: _BatchTimeout = None,
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
    cache: _Cache = None,
    max_cost: _MaxCost = None,
    max_tokens: _MaxTokens = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Only say what it would ask and cost: nothing is sent, no run made."),
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", "-s", help="Say how each line ended, not just how far the run is.")
    ] = False,
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
    no_tracking: _NoTracking = False,
    log_format: _LogFormat = LogFormat.text,
    output: _Out = Output.table,
) -> int:
    """Run a flow over every row of a data file and keep what comes of each.

    Each finished line is on the disk before it counts as done. Ctrl-C once finishes the lines in flight,
    twice leaves at once; either way `pf run resume NAME` goes on. Exit code 0: done; 1: failed; 2: wrong
    use or a wrong file; 3: done, but some lines failed; 128+n: ended by signal n.
    """
    if source is not None:
        from promptflow_lite.cli.run_records import take_over

        return take_over(source, name, display_name, tags, output)
    from promptflow_lite.cli.asking import Options, request
    from promptflow_lite.cli.running import Session

    options = Options(
        flow=flow,
        data=data,
        column_mapping=column_mapping,
        run=run,
        name=name,
        variant=variant,
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
        as_json=output is Output.json,
        log_format=log_format.value,
    )
    asked, reuse = request(options, session.store)
    if estimate:
        from promptflow_lite.cli.estimating import show as show_estimate

        return show_estimate(asked, session.store, as_json=output is Output.json)
    return session.create(asked, reuse)


def _one(name: str | None, named: str | None) -> str:
    if (name is None) == (named is None):
        raise UserError("which run?", code="bad-option", hint="name one run; pf run list  shows them")
    return name or named or ""


@app.command("resume", examples="pf run resume base\npf run resume base --retry-failed")
def resume(
    name: _Name = None,
    named: _Named = None,
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
    concurrency: _Concurrency = None,
    executor: _Executor = None,
    workers: _Workers = None,
    worker_memory: _WorkerMemory = None,
    line_timeout: _LineTimeout = None,
    batch_timeout: _BatchTimeout = None,
    error_threshold: _ErrorThreshold = None,
    cache: _Cache = None,
    max_cost: _MaxCost = None,
    max_tokens: _MaxTokens = None,
    stream: Annotated[
        bool, typer.Option("--stream", "-s", help="Say how each line ended, not just how far the run is.")
    ] = False,
    no_tracking: _NoTracking = False,
    log_format: _LogFormat = LogFormat.text,
    output: _Out = Output.table,
) -> int:
    """Go on with a run that ended early: only the lines that are missing are run."""
    from promptflow_lite.cli.asking import variables
    from promptflow_lite.cli.running import Session

    session = Session(
        each_line=stream,
        tracking=not no_tracking,
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
    }
    return session.resume(
        _one(name, named),
        {key: value for key, value in changes.items() if value is not None},
        variables(environment_variables),
        retry_failed=retry_failed,
        force=force,
    )


@app.command("list", examples="pf run list\npf run list --output json")
def list_(
    max_results: Annotated[int, typer.Option("--max-results", "-r", min=1, help="How many at most.")] = 50,
    all_results: Annotated[bool, typer.Option("--all-results", help="All of them.")] = False,
    archived_only: Annotated[
        bool, typer.Option("--archived-only", help="Only those that were put away.")
    ] = False,
    include_archived: Annotated[
        bool, typer.Option("--include-archived", help="Those that were put away too.")
    ] = False,
    output: OutputOrJson = None,
) -> None:
    """List the runs, the newest first; those that were put away only if asked for."""
    from promptflow_lite.cli import showing

    kept, complaints = showing.store().all()
    runs = [run for run in kept if include_archived or run.archived == archived_only]
    for complaint in complaints:
        say(neutral(f"warning: {complaint}"))
    shown = runs if all_results else runs[:max_results]
    if wants_json(output):
        emit_json([showing.as_json(run, showing.store()) for run in shown])
    elif shown:
        table(showing.COLUMNS, [showing.row(run) for run in shown])
    else:
        say("there are no runs yet; pf run create  makes one")
    if len(runs) > len(shown):
        say(f"{len(runs) - len(shown)} older runs are not shown; --all-results shows them")


@app.command("show", examples="pf run show base\npf run show base --output json")
def show(name: _Name = None, named: _Named = None, output: OutputOrJson = None) -> None:
    """Show a run: what was asked, how it went, its metrics, and where everything is."""
    from promptflow_lite.cli import showing

    run = showing.store().load(_one(name, named))
    if wants_json(output):
        emit_json(showing.as_json(run, showing.store()))
    else:
        emit(showing.text(run, showing.store(), whole=True))


@app.command(
    "show-details",
    examples="""
    pf run show-details base
    pf run show-details base --failed
    pf run show-details base --format jsonl --all-results > base.jsonl
    """,
)
def show_details(
    name: _Name = None,
    named: _Named = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only the lines that failed.")] = False,
    max_results: Annotated[int, typer.Option("--max-results", "-r", min=1, help="How many at most.")] = 100,
    all_results: Annotated[bool, typer.Option("--all-results", help="All of them.")] = False,
    format_: Annotated[
        Details | None,
        typer.Option("--format", "--output", "-o", help="jsonl: one record a line.  [default: table]"),
    ] = None,
) -> None:
    """Show the lines of a run: number, status, inputs, outputs, error."""
    from promptflow_lite.cli import showing

    details = showing.Details(
        showing.store(), _one(name, named), failed=failed, limit=None if all_results else max_results
    )
    match format_:
        case Details.jsonl:
            details.emit_jsonl()
        case Details.json:
            emit_json(list(details))
        case _:
            details.emit_table()
    if details.left:
        say(f"{details.left} more lines are not shown; --all-results shows them")


@app.command(
    "show-metrics",
    examples="pf run show-metrics scores\n"
    "pf run show-metrics scores --output json\n"
    "pf run show-metrics zero_shot few_shot --metric accuracy macro_f1",
)
def show_metrics(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME ...",
            help="The run; several are shown side by side.",
            autocompletion=run_names,
            show_default=False,
        ),
    ] = None,
    named: _Named = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="METRIC ...", help="Only these metrics.")
    ] = None,
    output: OutputOrJson = None,
) -> None:
    """Show the metrics of a run, or of several side by side."""
    from promptflow_lite.cli import showing

    asked = (
        names if names and len(names) > 1 and named is None else [_one(names[0] if names else None, named)]
    )
    found = showing.metrics([showing.store().load(name) for name in asked], metric)
    if output is Output.json or (len(asked) == 1 and wants_json(output)):
        emit_json(found if len(asked) > 1 else found[asked[0]])
    elif any(found.values()):
        rows = metric or dict.fromkeys(key for metrics in found.values() for key in metrics)
        columns = ("metric", *asked) if len(asked) > 1 else ("metric", "value")
        table(columns, [(key, *(showing.value(found[name].get(key, "")) for name in asked)) for key in rows])
    else:
        say(f"{', '.join(asked)}: no metrics; their flows have no aggregation node that logs one")


@app.command(
    "compare",
    examples="""
    pf run compare zero_shot few_shot retrieved
    pf run compare base candidate --metric f1 --margin f1=0.02 --lines 5
    pf run compare base candidate --gate gate.yaml --junit gate.xml --report report.html
    """,
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="BASELINE CANDIDATE ...",
            help="The runs; the first is the one that the others are held against.",
            autocompletion=run_names,
            show_default=False,
        ),
    ],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="METRIC ...", help="Only these metrics.")
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=NUMBER ...", help="How much worse is still 'no worse', by metric."
        ),
    ] = None,
    lower_is_better: Annotated[
        list[str] | None,
        typer.Option("--lower-is-better", metavar="METRIC ...", help="Metrics of which less is more."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="INPUT", help="The input that tells items apart, not the line number."),
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", min=0, help="How many changed lines of each kind to show.")
    ] = 0,
    gate: Annotated[
        Path | None,
        typer.Option(
            "--gate", metavar="YAML", help="Rules that must hold; exit code 1 failed, 3 inconclusive."
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="XML", help="Where the rules go as JUnit's test cases.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="HTML", help="Where a page goes that shows all of it, line by line."
        ),
    ] = None,
    output: Annotated[
        Comparing, typer.Option("--output", "-o", help="How the comparison is written.")
    ] = Comparing.table,
) -> int:
    """Compare runs over the same data: paired differences, how sure they are, which lines changed."""
    from promptflow_lite.cli import comparing

    asked = comparing.Asked(
        names,
        metrics=metric or (),
        margins=comparing.numbers(margin or ()),
        lower_is_better=lower_is_better or (),
        by=by,
        gate=gate,
    )
    return comparing.compare(asked, how=output.value, lines=lines, junit=junit, report=report)


@app.command("stream", examples="pf run stream base\npf run stream base --lines --log-format json")
def stream(
    name: _Name = None,
    named: _Named = None,
    lines: Annotated[bool, typer.Option("--lines", help="Say how each line ended.")] = False,
    log_format: _LogFormat = LogFormat.text,
    output: _Out = Output.table,
) -> int:
    """Watch a run that another process executes until it ends; for an ended one, show its log.

    Ctrl-C ends the watching, not the run. The exit code is the run's.
    """
    from promptflow_lite.cli.watching import watch

    return watch(
        _one(name, named), as_json=output is Output.json, log_format=log_format.value, each_line=lines
    )


@app.command("cancel", examples="pf run cancel base")
def cancel(name: _Name = None, named: _Named = None, output: _Out = Output.table) -> None:
    """Ask the process that executes a run to stop: lines in flight are finished, the rest can be resumed."""
    from promptflow_lite.cli import showing
    from promptflow_lite.cli.watching import cancel as ask

    run = ask(_one(name, named))
    if output is Output.json:
        emit_json(showing.as_json(run, showing.store()))
    else:
        emit(f"{run.name} is {run.status}; pf run resume {run.name}  goes on")


@app.command("delete", examples="pf run delete base --yes")
def delete(
    name: _Name = None,
    named: _Named = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", "--assume-yes", help="Do not ask.")] = False,
    output: _Out = Output.table,
) -> None:
    """Delete a run: its folder with its journal and results. What MLflow was told stays there."""
    from promptflow_lite.cli.showing import store

    name = _one(name, named)
    folder = store().folder(name)
    if not yes:
        typer.confirm(f"delete {folder}?", abort=True, err=True)
    store().delete(name)
    if output is Output.json:
        emit_json({"deleted": name})
    else:
        emit(f"deleted {name}")


@app.command("sync", examples="pf run sync base")
def sync(name: _Name = None, named: _Named = None, output: _Out = Output.table) -> int:
    """Tell MLflow of a run it does not know yet, because it was away or was not to be told."""
    from promptflow_lite.cli.running import Session

    return Session(tracking=True, as_json=output is Output.json).sync(_one(name, named))
