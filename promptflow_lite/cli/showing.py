"""How does a run look? As a row, as a page, as JSON; and its lines."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from promptflow_lite.cli.console import emit, neutral, paint, table
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.flow.conversation import readable
from promptflow_lite.runs.home import run_store
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import dumps, key_text, loads
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore
from promptflow_lite.settings import settings

__all__ = [
    "COLUMNS",
    "Details",
    "as_json",
    "dollars",
    "exit_code",
    "metrics",
    "row",
    "store",
    "text",
    "value",
]

COLUMNS = ("name", "status", "lines", "failed", "seconds", "created", "metrics")
_COLOURS = {
    Status.Completed: "green",
    Status.Failed: "red",
    Status.Running: "yellow",
    Status.Canceled: "yellow",
}
_CELL = 60
_CHOICE = ("limit", "sample", "shuffle_seed", "batch_timeout_s", "executor", "workers")


def store() -> RunStore:
    """The runs of this process's home."""
    return run_store()


def exit_code(run: Run) -> int:
    """What `pf` ends with for a run that has ended by itself."""
    if run.status is not Status.Completed:
        return 1
    return 3 if run.lines.failed and run.error_threshold is None else 0


def as_json(run: Run, store: RunStore) -> dict[str, Any]:
    """The run as a record for programs: what `run.json` holds, where its results are, Prompt flow's keys."""
    folder = store.folder(run.name)
    results = {
        "folder": str(folder),
        "outputs": str(folder / "outputs.jsonl"),
        "journal": str(folder / JOURNAL),
    }
    record: dict[str, Any] = loads(run.model_dump_json().encode())
    theirs = {
        "created_on": datetime.fromtimestamp(run.created, UTC).isoformat(),
        "flow_name": Path(run.flow).name.removesuffix(".prompty"),
        "output": str(folder),
    }
    return {**theirs, **record, "seconds": seconds(run), "results": results}


def row(run: Run, *, is_below: bool = False) -> tuple[object, ...]:
    """The run as a row under `COLUMNS`.

    Args:
        run: the run.
        is_below: it stands below its sweep.
    """
    name = f"  {run.name}" if is_below else run.name
    counts = run.lines
    metrics = ", ".join(f"{key}={value(number)}" for key, number in islice(run.metrics.items(), 4))
    done = f"{counts.completed + counts.failed}/{counts.total - counts.skipped}"
    return name, run.status, done, counts.failed or "", f"{seconds(run):.1f}", when(run.created), metrics


def text(run: Run, store: RunStore, *, whole: bool = False) -> str:
    """The run as a page: how it went, its metrics, where the results are.

    Args:
        run: the run.
        store: where it is kept.
        whole: say what was asked for too.
    """
    facts = [("run", run.name), ("status", _status(run)), *(_asked(run) if whole else ())]
    facts += [("lines", _lines(run)), ("time", f"{seconds(run):.1f} s")]
    if run.usage.get("calls") or run.usage.get("reused"):
        facts.append(("tokens", _tokens(run)))
    if run.cost is not None:
        facts.append(("cost", f"{dollars(run.cost)} (prices: {', '.join(run.prices)})"))
    facts += _metrics(run)
    facts.append(("results", str(store.folder(run.name))))
    facts += _mlflow(run)
    width = max(len(key) for key, _ in facts)
    page = "\n".join(f"{neutral(key):{width}}  {text}" for key, text in facts)
    return f"{page}\n{_failures(run)}" if run.failures else page


def _status(run: Run) -> str:
    painted = paint(run.status.value, _COLOURS.get(run.status, "bold"))  # type: ignore[arg-type]  # names of paints
    if run.error is None:
        return painted
    place = f" in {run.error['node']}" if run.error.get("node") else ""
    return (
        f"{painted} ({neutral(str(run.error['code']))}{neutral(place)}: {neutral(str(run.error['message']))})"
    )


def _asked(run: Run) -> Iterator[tuple[str, str]]:
    names = ("display_name", "description", "flow", "data", "run", "parent", "variant")
    for key in (*names, *_CHOICE, "error_threshold"):
        if (asked := getattr(run, key)) is not None:
            yield key, neutral(str(asked))
    for key in ("matrix", "column_mapping", "connections", "environment_variables", "tags"):
        if asked := getattr(run, key):
            yield key, neutral(json.dumps(asked, ensure_ascii=False))
    yield "created", when(run.created)


def _lines(run: Run) -> str:
    counts = run.lines
    parts = [f"{counts.completed} completed"]
    parts += [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.skipped} skipped"] if counts.skipped else []
    missing = counts.total - counts.completed - counts.failed - counts.skipped
    parts += [f"{missing} not run"] if missing > 0 else []
    return f"{counts.total}: {', '.join(parts)}"


def _tokens(run: Run) -> str:
    usage = run.usage
    parts = [f"{usage['prompt_tokens']:,} in", f"{usage['completion_tokens']:,} out"]
    if cached := usage.get("cached_tokens"):
        parts.append(f"{cached:,} of the prompts kept by the provider")
    told = f"{usage['total_tokens']:,} in {usage['calls']:,} model calls ({', '.join(parts)})"
    reused = usage.get("reused")
    is_shared = run.cache is None and (run.children or run.parent) and not settings().caching
    where = "asked for by another run of the sweep" if is_shared else "from the cache"
    return f"{told}; {reused:,} answers {where}" if reused else told


def dollars(amount: float) -> str:
    """US dollars for people: cents and their hundredths, or two figures of what is less."""
    places = 4 if amount >= 0.01 or not amount else 1 - math.floor(math.log10(amount))
    return f"${amount:,.{places}f}"


def _metrics(run: Run) -> Iterator[tuple[str, str]]:
    """The metrics of the whole; those of a part (`f1/refund`) and tables are left to `show-metrics`."""
    whole = {
        key: number for key, number in run.metrics.items() if "/" not in key and not isinstance(number, dict)
    }
    for key, number in whole.items():
        yield f"metric {key}", value(number)
    if more := len(run.metrics) - len(whole):
        yield f"{more} more", f"pf run show-metrics {run.name}"


def _failures(run: Run) -> str:
    count = run.lines.failed
    reasons = ", ".join(f"{neutral(code)} ({number})" for code, number in run.failures.items())
    noun = "line" if count == 1 else "lines"
    return paint(f"{count} {noun} failed: {reasons}; see pf run show-details {run.name} --failed", "red")


def _mlflow(run: Run) -> list[tuple[str, str]]:
    if "mlflow_run_id" not in run.tracking:
        return []
    link = run.tracking.get("mlflow_url")
    return [
        ("mlflow", link if link else f"{run.tracking['mlflow_open']}  (run {run.tracking['mlflow_run_id']})")
    ]


def metrics(runs: Sequence[Run], only: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """The metrics of each run, by the run's name.

    Args:
        runs: the runs.
        only: the metrics to keep; `None` keeps all.

    Raises:
        UserError: none of the runs has a metric of that name.
    """
    known = {key for run in runs for key in run.metrics}
    for name in only or ():
        if name not in known:
            raise UserError(
                f"no run here has a metric {name!r}", code="unknown-metric", hint=near_miss(name, known)
            )
    return {
        run.name: {key: figure for key, figure in run.metrics.items() if only is None or key in only}
        for run in runs
    }


def value(number: Any) -> str:
    """A metric's value for people."""
    if isinstance(number, bool) or not isinstance(number, float):
        return neutral(
            number if isinstance(number, str) else json.dumps(number, ensure_ascii=False, default=str)
        )
    return f"{number:.4g}"


def when(epoch: float) -> str:
    """A time for people, in their zone."""
    return f"{datetime.fromtimestamp(epoch).astimezone():%Y-%m-%d %H:%M:%S}" if epoch else ""


def seconds(run: Run) -> float:
    """How long the run took, or has taken until now."""
    return run.seconds + (max(0.0, time.time() - run.started) if run.status is Status.Running else 0.0)


class Details:
    """The lines of a run, one record each: number, status, inputs, outputs, error.

    Args:
        store: where the run is kept.
        name: of the run.
        failed: only the failed ones.
        limit: how many at most; `None` for all.
    """

    def __init__(self, store: RunStore, name: str, *, failed: bool, limit: int | None) -> None:
        self.run = store.load(name)
        if self.run.children:
            raise UserError(
                f"{name!r} is a sweep: its runs have the lines",
                code="is-sweep",
                hint=f"pf run show-details {self.run.children[0]}",
            )
        folder = store.folder(name)
        self._records = Records.read(folder / JOURNAL)
        self._statuses = (Status.Failed,) if failed else ()
        self._skipped = {} if failed else _skipped(folder)
        self._limit = limit
        count = len(self._records.keys(*self._statuses)) + len(self._skipped)
        self.left = 0 if limit is None else max(0, count - limit)
        """How many lines are beyond the limit."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return islice(self._all(), self._limit)

    def _all(self) -> Iterator[dict[str, Any]]:
        for record in self._records.each(*self._statuses):
            which = {"line_number": record["line_number"]}
            if self._records.are_repeated:
                which["repeat"] = record["repeat"]
            yield {**which, **{key: record[key] for key in ("status", "inputs", "outputs", "error")}}
        for number, reason in self._skipped.items():
            error = {"code": "skipped", "message": reason}
            yield {"line_number": number, "status": "Skipped", "inputs": {}, "outputs": {}, "error": error}

    def emit_jsonl(self) -> None:
        """One record a line, to stdout."""
        for record in self:
            emit(dumps(record).decode())

    def emit_table(self) -> None:
        """A row a line, to stdout; cells are cut."""
        records = list(self)
        inputs = list(dict.fromkeys(key for record in records for key in record["inputs"]))
        outputs = list(dict.fromkeys(key for record in records for key in record["outputs"]))
        columns = [
            "line",
            "status",
            *(f"inputs.{k}" for k in inputs),
            *(f"outputs.{k}" for k in outputs),
            "error",
        ]
        table(columns, [self._row(record, inputs, outputs) for record in records])

    @staticmethod
    def _row(record: dict[str, Any], inputs: list[str], outputs: list[str]) -> list[str]:
        error = record["error"]
        why = f"{error['code']}: {error['message']}" if error else ""
        given, came = readable(record["inputs"]), readable(record["outputs"])
        cells = [*(given.get(k, "") for k in inputs), *(came.get(k, "") for k in outputs)]
        which = key_text((record["line_number"], record.get("repeat", 0)))
        return [which, record["status"], *(_cell(c) for c in cells), _cell(why)]


def _cell(content: Any) -> str:
    shown = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    shown = " ".join(shown.split())
    return shown if len(shown) <= _CELL else f"{shown[: _CELL - 1]}…"


def _skipped(folder: Path) -> dict[int, str]:
    path = folder / "skipped.json"
    kept = loads(path.read_bytes()) if path.is_file() else {}
    return {int(key.partition("/")[0]): why for key, why in kept.items()}
