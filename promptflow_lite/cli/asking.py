"""What was asked for? The options of `pf run create`, over the keys of a run file, as a Run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from promptflow_lite.cli.command import overrides, pairs
from promptflow_lite.cli.console import neutral, say
from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.evaluation import evaluators
from promptflow_lite.flow.load import is_entry
from promptflow_lite.runs.matrix import of_texts, of_variants
from promptflow_lite.runs.request import KEYS, of_env_file, of_json_file, of_yaml
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore, default_name
from promptflow_lite.settings import settings

__all__ = ["Options", "init_of", "request", "variables"]

_VALUES = (
    "sample",
    "shuffle_seed",
    "repeats",
    "skip_bad_lines",
    "batch_timeout",
    "cache",
    "max_cost",
    "max_tokens",
)
_CHOICE = ("sample", "shuffle_seed", "repeats", "skip_bad_lines")
_OF_THE_EARLIER = (
    *("flow", "data", "run", "variant", "matrix", "column_mapping", "connections", "limit"),
    *_CHOICE,
)
"""What a run that resumes from another takes from it."""
_NUMBERS = ("concurrency", "error_threshold", "limit", "line_timeout", "workers", "worker_memory")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `pf run create` as they were typed; `None` is not given."""

    flow: str | None = None
    data: Path | None = None
    column_mapping: Sequence[str] | None = None
    run: str | None = None
    name: str | None = None
    variant: Sequence[str] | None = None
    matrix: Sequence[str] | None = None
    connections: Sequence[str] | None = None
    environment_variables: Sequence[str] | None = None
    init: Sequence[str] | None = None
    display_name: str | None = None
    tags: Sequence[str] | None = None
    settings: Sequence[str] | None = None
    resume_from: str | None = None
    concurrency: int | None = None
    executor: str | None = None
    workers: int | None = None
    worker_memory: int | None = None
    line_timeout: float | None = None
    error_threshold: int | None = None
    batch_timeout: float | None = None
    limit: int | None = None
    sample: float | None = None
    shuffle_seed: int | None = None
    repeats: int | None = None
    skip_bad_lines: bool | None = None
    cache: bool | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    file: Path | None = None


def request(options: Options, store: RunStore) -> tuple[Run, Run | None]:
    """The run that is asked for, and the earlier run that it resumes from.

    Raises:
        UserError: an option or a key of the run file is wrong.
    """
    fields: dict[str, Any] = {}
    if options.file is not None:
        fields, notes = of_yaml(options.file)
        for note in notes:
            say(neutral(f"note: {note}"))
    _merge(fields, _typed(options))
    _alternatives(fields)
    reuse: Run | None = None
    if (earlier := fields.pop("resume_from", None)) is not None:
        reuse = store.load(earlier)
        if reuse.children:
            hint = f"pf run resume {earlier}  goes on with it"
            raise UserError(f"{earlier!r} is a sweep: nothing resumes from it", code="bad-option", hint=hint)
        fields = _of_earlier(fields, reuse)
    if "flow" not in fields:
        raise UserError(
            "which flow?", code="bad-option", hint="--flow PATH, or --file run.yaml with the key flow"
        )
    fields["flow"] = str(_flow(fields["flow"]))
    chosen = "sweep" if fields.get("matrix") else fields.get("variant")
    fields.setdefault("name", default_name(Path(fields["flow"]), chosen, datetime.now().astimezone()))
    fields["line_timeout_s"] = fields.pop("line_timeout", settings().line_timeout_s)
    fields["batch_timeout_s"] = fields.pop("batch_timeout", settings().batch_timeout_s)
    if "worker_memory" in fields:
        fields["worker_memory_mb"] = fields.pop("worker_memory")
    _fill_in(fields)
    try:
        return Run(**fields), reuse
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UserError("\n".join(wrong), code="bad-option") from error


def variables(values: Sequence[str] | None) -> dict[str, str]:
    """`--environment-variables`: `NAME=value` texts, and .env files, over which the texts count.

    Raises:
        UserError: not that.
    """
    files = [text for text in values or () if "=" not in text]
    found = {name: value for file in files for name, value in of_env_file(Path(file)).items()}
    return found | pairs([text for text in values or () if text not in files], "--environment-variables")


def init_of(values: Sequence[str] | None) -> dict[str, Any]:
    """`--init`: `NAME=value` texts, or one .json file.

    Raises:
        UserError: not that.
    """
    if values and len(values) == 1 and "=" not in values[0]:
        return of_json_file(Path(values[0]).expanduser())
    return dict(pairs(values, "--init"))


def _typed(options: Options) -> dict[str, Any]:
    """What was typed, as the keys of a run file."""
    typed = {
        "flow": options.flow,
        "data": str(options.data.expanduser().absolute()) if options.data else None,
        "run": options.run,
        "name": options.name,
        "variant": list(options.variant) if options.variant else None,
        "matrix": of_texts(options.matrix or ()) or None,
        "display_name": options.display_name,
        "resume_from": options.resume_from,
        "concurrency": options.concurrency,
        "executor": options.executor,
        "workers": options.workers,
        "worker_memory": options.worker_memory,
        "line_timeout": options.line_timeout,
        "error_threshold": options.error_threshold,
        "batch_timeout": options.batch_timeout,
        "cache": options.cache,
        "max_cost": options.max_cost,
        "max_tokens": options.max_tokens,
        "limit": options.limit,
        "sample": options.sample,
        "shuffle_seed": options.shuffle_seed,
        "repeats": options.repeats,
        "skip_bad_lines": options.skip_bad_lines or None,
        "column_mapping": pairs(options.column_mapping, "--column-mapping") or None,
        "connections": overrides(options.connections) or None,
        "environment_variables": variables(options.environment_variables) or None,
        "init": init_of(options.init) or None,
        "tags": pairs(options.tags, "--tags") or None,
    }
    fields = {key: value for key, value in typed.items() if value is not None}
    for key, text in pairs(options.settings, "--set").items():
        _set(fields, key, text)
    return fields


def _set(fields: dict[str, Any], key: str, text: str) -> None:
    head, *rest = key.split(".")
    if head not in KEYS:
        hint = near_miss(head, KEYS) or f"there are: {', '.join(KEYS)}"
        raise UserError(f"--set: a run has no {head!r}", code="bad-option", hint=hint)
    if head == "matrix":
        fields["matrix"] = {**fields.get("matrix", {}), **of_texts([f"{'.'.join(rest)}={text}"])}
        return
    at = fields
    for step, following in zip([head, *rest], rest, strict=False):
        at = at.setdefault(step, {})
        if not isinstance(at, dict):
            raise UserError(f"--set: {step!r} holds no {following!r}", code="bad-option")
    at[rest[-1] if rest else head] = _number_or_text(head, text)


def _number_or_text(key: str, text: str) -> Any:
    if key not in (*_NUMBERS, *_VALUES):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _merge(fields: dict[str, Any], typed: dict[str, Any]) -> None:
    """Options go over the keys of the file; mappings key by key."""
    for key, value in typed.items():
        if isinstance(value, dict) and isinstance(fields.get(key), dict):
            fields[key] = {**fields[key], **value}
        else:
            fields[key] = value


def _alternatives(fields: dict[str, Any]) -> None:
    """Several variants of one node are runs of a sweep; those of several nodes go together."""
    if (variants := fields.pop("variant", None)) is None:
        return
    chosen = of_variants([variants] if isinstance(variants, str) else variants)
    if chosen.variant is not None:
        fields["variant"] = chosen.variant
    if twice := sorted(chosen.matrix.keys() & fields.get("matrix", {}).keys()):
        raise UserError(f"--variant and --matrix both vary {', '.join(map(repr, twice))}", code="bad-option")
    if chosen.matrix:
        fields["matrix"] = {**chosen.matrix, **fields.get("matrix", {})}


def _of_earlier(fields: dict[str, Any], earlier: Run) -> dict[str, Any]:
    given = [key for key in _OF_THE_EARLIER if key in fields]
    if given:
        raise UserError(
            f"a run that resumes from another asks for the same: leave out {', '.join(given)}",
            code="bad-option",
        )
    keys = (*_OF_THE_EARLIER, "environment_variables", "init", "concurrency", "tracked", "traced")
    same = {key: getattr(earlier, key) for key in keys}
    return {**{key: value for key, value in same.items() if value is not None}, **fields}


def _fill_in(fields: dict[str, Any]) -> None:
    """Prompt flow's macros in a display name: the base run, the variant without its node, the minute."""
    if "display_name" in fields:
        variant = fields.get("variant", "variant_0").strip("${}").rpartition(".")[2]
        values = {"${run}": fields.get("run", fields["name"]), "${variant_id}": variant}
        values["${timestamp}"] = f"{datetime.now().astimezone():%Y%m%d%H%M}"
        for macro, value in values.items():
            fields["display_name"] = fields["display_name"].replace(macro, value)


def _flow(text: str) -> Path:
    if text.startswith(evaluators.PREFIX):
        return evaluators.find(text)
    path = Path(text).expanduser().absolute()
    if not path.exists() and not is_entry(path):
        hint = near_miss(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else None
        if path.name in evaluators.names():
            hint = f"the evaluator that is shipped is --flow {evaluators.PREFIX}{path.name}"
        raise UserError(f"--flow: there is no {text}", code="flow-not-found", hint=hint)
    return path
