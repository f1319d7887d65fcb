"""What exactly shall a run do? The flow with its variant, its lines with inputs, a fingerprint of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import FlowError, InputError, RunNotFound
from promptflow_lite.flow.check import check
from promptflow_lite.flow.init import give
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.registered import LOCK, unlock
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.variants import choose_variants, parse_choices
from promptflow_lite.runs import data, snapshot
from promptflow_lite.runs.combinations import shared_nodes
from promptflow_lite.runs.job import FlowJob
from promptflow_lite.runs.lines import Lines, Sources
from promptflow_lite.runs.mapping import Scope
from promptflow_lite.runs.outcome import Outcome
from promptflow_lite.runs.records import Key, dumps
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.secrets import masked, refuse_forgotten
from promptflow_lite.runs.store import RunStore
from promptflow_lite.runs.turns import Mode, plan_lines
from promptflow_lite.settings import settings
from promptflow_lite.tools.registered import fetched
from promptflow_lite.tools.scope import SharedAnswers

__all__ = ["SHARED", "Prepared", "differences", "prepare"]

SHARED = "shared"
"""The folder of a sweep that holds the answers which its runs have in common."""
_SHOWN = 20


@dataclass(frozen=True)
class Prepared:
    """A run that could start now."""

    run: Run
    """As it was asked for, with its fingerprint, and with the base run's data where it takes that."""
    flow: Flow
    lines: Lines
    skipped: dict[Key, str]
    """Lines with nothing to work on, and why."""
    notes: list[str]
    base: Run | None
    variables: dict[str, str]
    """The environment variables that were asked for, secret values included: never kept."""
    init: dict[str, Any]
    """What was asked for as `init`, secrets included: never kept."""
    folders: tuple[str, ...]
    """Where the paths of images in the lines may lead, beside the flow's folder."""
    shared: SharedAnswers | None = None
    """Answers that it has in common with other runs of its sweep."""
    mode: Mode = ""
    """Whether the lines are conversations."""

    @property
    def job(self) -> FlowJob:
        """What an executor needs."""
        return FlowJob(
            flow=self.run.flow,
            variant=_choices(self.run),
            connections=self.run.connections,
            environment_variables=self.variables,
            prompts=self.flow.prompts,
            init=self.init,
            line_timeout_s=self.run.line_timeout_s,
            concurrency=self.run.concurrency,
            memory_mb=self.run.worker_memory_mb,
            cache=self._cache,
            folders=self.folders,
            mode=self.mode,
        )

    @property
    def _cache(self) -> str | SharedAnswers | None:
        if self.run.cache is None:
            return None if settings().caching else self.shared
        return str(settings().cache) if self.run.cache else ""


def prepare(run: Run, store: RunStore) -> Prepared:
    """Read the flow, the data and the base run, and map the lines; no user code is imported.

    Raises:
        UserError: whatever is wrong with what was asked for; all complaints of a kind at once.
    """
    flow = _flow(run, store)
    base = None if run.run is None else _base(run.run, store)
    if base is not None and run.repeats > 1:
        raise InputError(
            f"--repeats repeats the rows of data; the lines to score are those of {base.name!r}",
            code="bad-option",
            hint=f"repeat that run instead: it had {base.repeats}",
        )
    run = _with_data_of(run, base)
    if run.data is None and base is None:
        raise InputError("a run needs data", code="no-data", hint="give --data FILE, or --run BASE")
    outcome = None if base is None else Outcome(base.name, store.folder(base.name))
    rows = None
    if run.data is not None:
        look = _look(flow, run, outcome)
        rows = data.read(Path(run.data), skip_bad=run.skip_bad_lines, look=look)
    notes = list(rows.notes) if rows is not None else []
    if base is not None and outcome is not None:
        notes += _partly(rows, outcome, base)
    sources = Sources(rows, outcome)
    plan, mode = plan_lines(flow, sources.scopes(), run.column_mapping)
    is_partial = flow.type == "evaluation" or base is not None or run.skip_bad_lines
    lines = Lines(sources, plan, run, skip_incomplete=is_partial)
    if run.skip_bad_lines and lines.skipped:
        shown = list(lines.skipped.values())[:_SHOWN]
        more = [f"... and {len(lines.skipped) - len(shown)} more"] if len(lines.skipped) > len(shown) else []
        count = len(lines.skipped)
        who, are = ("1 row lacks", "is") if count == 1 else (f"{count} rows lack", "are")
        text = f"{who} a mapped column and {are} left out:"
        notes.append("\n  ".join([text, *shown, *more]))
    skipped = _skipped(sources, lines, run)
    if not len(lines):
        raise InputError("no line is left to run", code="no-lines", hint=_why(skipped))
    variables, init = run.environment_variables, run.init
    run = run.model_copy(update=masked(run))
    prompts = {uri: prompt.uri for uri, prompt in flow.prompts.items()}
    run = run.model_copy(update={"fingerprint": _fingerprint(run, flow, base, store), "prompts": prompts})
    return Prepared(
        run,
        flow,
        lines,
        skipped,
        [*notes, *plan.notes],
        base,
        variables,
        init,
        _folders(run, base, store),
        _shared(run, flow, store),
        mode,
    )


def _shared(run: Run, flow: Flow, store: RunStore) -> SharedAnswers | None:
    """The answers of models that the run need not ask for if another of its sweep has."""
    if run.parent is None:
        return None
    try:
        parent = store.load(run.parent)
    except RunNotFound:  # the sweep was deleted, and this run kept
        return None
    nodes = shared_nodes(flow, run.choice, parent.matrix)
    return SharedAnswers(str(store.folder(run.parent) / SHARED), nodes) if nodes else None


def _look(flow: Flow, run: Run, outcome: Outcome | None) -> data.Look:
    """Says what a mapping lacks in the columns of data whose records are bad too."""

    def look(columns: Mapping[str, int], rows: int) -> Iterator[str]:
        scopes = Sources(None, outcome).scopes() | {"data": Scope(str(run.data), columns, rows)}
        try:
            plan, _ = plan_lines(flow, scopes, run.column_mapping)
        except InputError as error:
            yield from error.message.splitlines()
            return
        if flow.type == "evaluation" or run.run is not None:  # they leave such rows out
            return
        for name, ref in plan.values.items():
            if not isinstance(ref, Ref) or ref.scope != "data" or name in plan.optional:
                continue
            if lack := rows - columns[ref.name]:
                lacking = f"{lack} of {rows} whole rows have no {ref.name!r}"
                yield f"{run.data}: {lacking} for the input {name!r}"

    return look


def _folders(run: Run, base: Run | None, store: RunStore) -> tuple[str, ...]:
    found = [] if base is None else [store.folder(base.name)]
    if run.data is not None:
        data_path = Path(run.data).absolute()
        found.insert(0, data_path if data_path.is_dir() else data_path.parent)
    return tuple(map(str, found))


def differences(prepared: Prepared, then: Run, folder: Path) -> list[str]:
    """What has changed since `then` was started, in words; empty if nothing has."""
    now = prepared.run.fingerprint
    parts = [
        part
        for part in sorted(now.keys() | then.fingerprint.keys())
        if now.get(part) != then.fingerprint.get(part)
    ]
    return [f"{part}{_which(part, prepared, folder)}" for part in parts]


def _which(part: str, prepared: Prepared, folder: Path) -> str:
    match part:
        case "flow":
            names = snapshot.changed(prepared.flow, folder / "snapshot")
            return f" ({', '.join(names[:5])})" if names else ""
        case "data":
            return f" ({prepared.run.data})"
        case _:
            return ""


def _flow(run: Run, store: RunStore) -> Flow:
    flow = choose_variants(load_flow(run.flow), _choices(run))
    refuse_forgotten(run)
    if run.environment_variables:
        flow = flow.derive(environment_variables={**flow.environment_variables, **run.environment_variables})
    errors = [complaint for complaint in check(flow) if complaint.severity == "error"]
    if errors:
        raise FlowError(errors)
    known = unlock(store.root / run.name / "snapshot" / LOCK)  # a run goes on with what it began with
    return give(fetched(flow, known), run.init)


def _choices(run: Run) -> dict[str, str]:
    return parse_choices(run.variant)


def _base(name: str, store: RunStore) -> Run:
    base = store.load(name)
    if base.status is Status.Running:
        raise InputError(
            f"the base run {name!r} is still running", code="base-running", hint=f"pf run stream {name}"
        )
    return base


def _with_data_of(run: Run, base: Run | None) -> Run:
    """The base run's data, where the mapping speaks of data and none is given."""
    if base is None or base.data is None or run.data is not None:
        return run
    values = (run.column_mapping or {}).values()
    if run.column_mapping and not any(isinstance(v, str) and v.startswith("${data.") for v in values):
        return run
    if not Path(base.data).exists() or data.digest(Path(base.data)) != base.fingerprint.get("data"):
        raise InputError(
            f"{base.data}, the data of {base.name!r}, has changed since that run, or is gone",
            code="data-changed",
            hint="give the data to score against with --data",
        )
    return run.model_copy(update={"data": base.data})


def _partly(rows: data.Data | None, outcome: Outcome, base: Run) -> Iterator[str]:
    if not outcome.keys:
        raise InputError(f"the base run {base.name!r} has no completed line", code="no-lines")
    if base.status is not Status.Completed:
        yield f"the base run {base.name!r} is {base.status}: only its finished lines are taken"
    if rows is not None:
        known = {number for keys in (outcome.keys, outcome.failed) for number, _ in keys}
        absent = sum(number not in known for number in rows.numbers)
        if absent:
            yield f"{absent} rows of the data are no lines of {base.name!r}; they are left out"


def _skipped(sources: Sources, lines: Lines, run: Run) -> dict[Key, str]:
    """Lines with nothing to run, and why: each of a row's repeats is one."""
    found: dict[Key, str] = {}
    if sources.base is not None:
        found |= dict.fromkeys(sources.base.failed, f"the line failed in {sources.base.name}")
    incomplete = {**(sources.data.bad if sources.data is not None else {}), **lines.skipped}
    for number, why in incomplete.items():
        found |= {(number, repeat): why for repeat in sources.repeats_of(number, run.repeats)}
    return dict(sorted(found.items()))


def _why(skipped: Mapping[Key, str]) -> str | None:
    return next((f"{len(skipped)} are skipped: {reason}" for reason in skipped.values()), None)


def _fingerprint(run: Run, flow: Flow, base: Run | None, store: RunStore) -> dict[str, str]:
    where = Path(run.data) if run.data else None
    parts = {
        "flow": snapshot.digest(flow, without=where),
        "mapping": _sha(run.column_mapping),
        "variant": _sha(run.variant),
        "overrides": _sha([run.connections, run.environment_variables, *([run.init] if run.init else [])]),
        "choice": _sha([run.limit, run.sample, run.shuffle_seed, run.repeats, run.skip_bad_lines]),
    }
    if where is not None:
        parts["data"] = data.digest(where)
    if base is not None:
        parts["base"] = data.digest(store.folder(base.name) / "outputs.jsonl")
    return parts


def _sha(value: Any) -> str:
    return hashlib.sha256(dumps(value)).hexdigest()
