"""How does Python code run a flow over data? What is asked for becomes a run, which is waited for."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from promptflow_lite.api.finished import FinishedRun
from promptflow_lite.api.loop import wait_for
from promptflow_lite.connections.store import provider
from promptflow_lite.engine.events import Log
from promptflow_lite.errors import InputError
from promptflow_lite.evaluation import evaluators, summary
from promptflow_lite.registry import Registry
from promptflow_lite.runs import planning, sweep
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.forecast import forecast
from promptflow_lite.runs.home import run_store
from promptflow_lite.runs.job import Tracker
from promptflow_lite.runs.matrix import of_variants
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore, default_name, write
from promptflow_lite.settings import settings

__all__ = ["Data", "flow_path", "run"]

Data = str | Path | Sequence[Mapping[str, Any]]
"""A data file, or its rows."""

_logger = logging.getLogger("promptflow_lite")


def run(
    flow: str | Path,
    data: Data | None = None,
    *,
    column_mapping: Mapping[str, Any] | None = None,
    run: str | FinishedRun | None = None,
    variant: str | Sequence[str] | None = None,
    matrix: Mapping[str, Sequence[Any]] | None = None,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    environment_variables: Mapping[str, str] | None = None,
    name: str | None = None,
    display_name: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, Any] | None = None,
    init: Mapping[str, Any] | None = None,
    resume_from: str | FinishedRun | None = None,
    limit: int | None = None,
    sample: float | None = None,
    shuffle_seed: int | None = None,
    repeats: int = 1,
    skip_bad_lines: bool = False,
    concurrency: int = 16,
    workers: int | None = None,
    executor: str | None = None,
    line_timeout_s: float | None = None,
    batch_timeout_s: float | None = None,
    error_threshold: int | None = None,
    cache: bool | None = None,
    max_cost: float | None = None,
    max_tokens: int | None = None,
    tracking: str | None = None,
) -> FinishedRun:
    """Run a flow over data, and keep the run; `pf run` sees it too.

    Args:
        flow: a flow's folder or file, or an evaluator's name such as `evaluator:qa_text`.
        data: a file (jsonl, json, csv, tsv or parquet, also compressed), a folder of them, or rows.
        column_mapping: flow input to `${data.column}`, `${run.outputs.column}` or a literal; an input that is
            not named takes the column of its name.
        run: the run this one builds on.
        variant: `${node.variant}`, or several: those of one node are a run each, those of others go together.
        matrix: what is varied, with its values: `{"examples": "*", "classify.temperature": [0, 0.5]}`. There
            is a run for every combination, and what comes back is their sweep.
        connections: node name to overrides such as `{"connection": "my_azure"}`.
        environment_variables: set while the flow runs.
        name: a new one is made without it.
        display_name: for people.
        description: for people.
        tags: for people.
        properties: for programs; kept as they are.
        init: what the class of a flex flow is made with.
        resume_from: an earlier run of the same flow and data, whose completed lines are taken over.
        limit: only the first rows.
        sample: only so many rows, or below 1 that part of them, drawn at random.
        shuffle_seed: start lines in the random order of this seed; draw the sample by it.
        repeats: how often each row is run; `line_number` and `repeat` tell its lines apart.
        skip_bad_lines: leave bad records of the data out instead of refusing it.
        concurrency: lines in flight.
        workers: run the flow's code in this many processes; `None`: in this one.
        executor: `ray`, or a Ray cluster's address; `None`: this machine.
        line_timeout_s: how long a line may take; `None`: as `PF_LINE_TIMEOUT_SEC` says, or 600.
        batch_timeout_s: how long all lines may take; `None`: as `PF_BATCH_TIMEOUT_SEC` says, or for ever.
        error_threshold: stop when more lines than this have failed; -1: never mind failed lines.
        cache: keep the answers of models, and ask for none that is kept; `None`: as the settings say.
        max_cost: US dollars after which no more lines are taken.
        max_tokens: the same for tokens.
        tracking: where it is logged too, such as `mlflow`; `None` is nowhere.

    Raises:
        UserError: what is asked for is wrong; nothing was run.
    """
    source = flow_path(flow)
    chosen = of_variants([variant] if isinstance(variant, str) else variant or ())
    varied = {**chosen.matrix, **{key: _listed(values) for key, values in (matrix or {}).items()}}
    asked = _asked(
        name=name or default_name(source, "sweep" if varied else chosen.variant, datetime.now()),
        flow=str(source),
        data=str(_file_of(data)) if data is not None else None,
        run=_name_of(run) if run is not None else None,
        column_mapping=dict(column_mapping) if column_mapping is not None else None,
        variant=chosen.variant,
        matrix=varied,
        connections={node: dict(changes) for node, changes in (connections or {}).items()},
        environment_variables=dict(environment_variables or {}),
        display_name=display_name,
        description=description,
        tags=dict(tags or {}),
        properties=dict(properties or {}),
        init=dict(init or {}),
        limit=limit,
        sample=sample,
        shuffle_seed=shuffle_seed,
        repeats=repeats,
        skip_bad_lines=skip_bad_lines,
        concurrency=concurrency,
        workers=workers,
        executor=executor,
        line_timeout_s=line_timeout_s or settings().line_timeout_s,
        batch_timeout_s=batch_timeout_s or settings().batch_timeout_s,
        error_threshold=error_threshold,
        cache=cache,
        max_cost=max_cost,
        max_tokens=max_tokens,
        tracked=tracking is not None,
    )
    store = run_store()
    reuse = store.load(_name_of(resume_from)) if resume_from is not None else None
    trackers = [Registry("trackers").get(tracking)()] if tracking is not None else []
    ended = wait_for(_executed(asked, reuse, store, trackers))
    return FinishedRun(ended, store.folder(ended.name))


async def _executed(asked: Run, reuse: Run | None, store: RunStore, trackers: Sequence[Tracker]) -> Run:
    connections = provider(settings())
    if not planning.is_sweep(asked, store):
        return await run_batch(
            asked,
            store=store,
            connections=connections,
            trackers=trackers,
            reuse=reuse,
            summarize=summary.of,
            emit=_log,
        )
    if reuse is not None:
        raise InputError("a sweep resumes from no run", code="bad-option", hint=f"leave out {reuse.name!r}")
    planned = planning.plan(asked, store)
    return await sweep.run_sweep(
        planned,
        await forecast(planned.parent, planned.children, store=store, connections=connections),
        store=store,
        connections=connections,
        trackers=trackers,
        summarize=summary.of,
        emit=_log,
    )


def _listed(values: Any) -> list[Any]:
    """The values of a matrix's key: several, or a single one such as `*`."""
    is_one = isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable)
    return [values] if is_one else list(values)


def _asked(**fields: Any) -> Run:
    """The run that is asked for; every wrong value is said at once."""
    try:
        return Run(**fields)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InputError("\n".join(wrong), code="bad-option") from error


def _name_of(run: str | FinishedRun) -> str:
    return run if isinstance(run, str) else run.name


def _log(event: RunEvent) -> None:
    if isinstance(event, Log):
        _logger.log(logging.getLevelNamesMapping().get(event.level.upper(), logging.INFO), event.text)


def flow_path(flow: str | Path) -> Path:
    """The absolute path of a flow; evaluators are found by name.

    Raises:
        PluginNotFound: no evaluator has that name.
    """
    if isinstance(flow, str) and flow.startswith(evaluators.PREFIX):
        return evaluators.find(flow).absolute()
    return Path(flow).expanduser().absolute()


def _file_of(data: Data) -> Path:
    """Where the data is. Rows are kept, under a name made of them, since a run can be taken up again."""
    if isinstance(data, str | Path):
        return Path(data).expanduser().absolute()
    content = "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in data).encode()
    file = settings().home / "data" / f"{hashlib.sha256(content).hexdigest()[:32]}.jsonl"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write(file, content)
    return file
