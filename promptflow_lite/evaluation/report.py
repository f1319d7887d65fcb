"""What is one HTML page about runs? Their settings, metrics side by side, and every line, escaped.

The page stands alone: no script, no font and no picture from elsewhere, and a content policy that says so.
Whatever a model or a data file said is text in it, never markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore, write

__all__ = ["Reported", "page", "write_report"]

LIMIT = 1000
"""Lines of a run that a page shows; a browser is slow with more."""

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; margin: .5rem 0 }
th, td { border: 1px solid #d0d7de; padding: .3rem .6rem; text-align: left; vertical-align: top }
th { background: #f6f8fa; position: sticky; top: 0 }
td.number { text-align: right; font-variant-numeric: tabular-nums }
td pre { margin: 0; white-space: pre-wrap; max-width: 40rem; max-height: 16rem; overflow: auto }
tr.Failed td { background: #fff1f0 } tr.Bypassed td { color: #656d76 }
.note { color: #656d76 }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Reported:
    """A run and what came of its lines."""

    run: Run
    lines: Sequence[Mapping[str, Any]]
    """`line_number`, `status`, `inputs`, `outputs`, `error` each, in order."""
    left: int = 0
    """Lines that are not among them."""

    @classmethod
    def of(cls, store: RunStore, name: str) -> Reported:
        """The run of that name, with as many lines as a page shows.

        Raises:
            RunNotFound: there is none.
        """
        run = store.load(name)
        records = Records.read(store.folder(name) / JOURNAL)
        lines: list[Mapping[str, Any]] = []
        left = 0
        for record in records.each():
            if len(lines) < LIMIT:
                lines.append(record)
            else:
                left += 1
        return cls(run, lines, left)


def write_report(store: RunStore, names: Sequence[str], path: str | Path | None = None) -> Path:
    """Write the page of these runs; where it is.

    Args:
        store: where the runs are.
        names: of the runs, in the order of the page.
        path: the file; `None` is `report.html` in the folder of the last run.

    Raises:
        RunNotFound: no run has one of the names.
    """
    reported = [Reported.of(store, name) for name in names]
    target = Path(path).expanduser() if path is not None else store.folder(names[-1]) / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, page(reported).encode("utf-8", "replace"))
    return target.absolute()


def page(reported: Sequence[Reported]) -> str:
    """The page of these runs, as HTML."""
    title = ", ".join(one.run.display_name or one.run.name for one in reported)
    body = "\n".join(
        [f"<h1>{escape(title)}</h1>", _facts(reported), _metrics(reported), *map(_lines, reported)]
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _facts(reported: Sequence[Reported]) -> str:
    rows = [_fact(one.run) for one in reported]
    columns = (
        "run",
        "status",
        "flow",
        "data",
        "variant",
        "builds on",
        "lines",
        "failed",
        "seconds",
        "tokens",
    )
    return _table(columns, ["".join(map(_cell, row)) for row in rows])


def _fact(run: Run) -> tuple[Any, ...]:
    counts = run.lines
    return (
        run.name,
        run.status.value,
        run.flow,
        run.data,
        run.variant,
        run.run,
        counts.total,
        counts.failed,
        round(run.seconds, 1),
        run.usage.get("total_tokens") or None,
    )


def _metrics(reported: Sequence[Reported]) -> str:
    names = dict.fromkeys(key for one in reported for key in one.run.metrics)
    if not names:
        return ""
    columns = ("metric", *(one.run.name for one in reported))
    rows = [_cell(name) + "".join(_cell(one.run.metrics.get(name)) for one in reported) for name in names]
    return f"<h2>Metrics</h2>\n{_table(columns, rows)}"


def _lines(one: Reported) -> str:
    inputs = dict.fromkeys(key for line in one.lines for key in line["inputs"] or {})
    outputs = dict.fromkeys(key for line in one.lines for key in line["outputs"] or {})
    columns = (
        "line",
        "status",
        *(f"inputs.{k}" for k in inputs),
        *(f"outputs.{k}" for k in outputs),
        "error",
    )
    rows = [_line(line, inputs, outputs) for line in one.lines]
    more = f"<p class='note'>{one.left} more lines are not shown.</p>" if one.left else ""
    table = _table(columns, rows, [str(line["status"]) for line in one.lines])
    return f"<h2>{escape(one.run.name)}</h2>\n{table}{more}"


def _line(line: Mapping[str, Any], inputs: Iterable[str], outputs: Iterable[str]) -> str:
    error = line["error"]
    cells = [
        line["line_number"],
        line["status"],
        *((line["inputs"] or {}).get(key) for key in inputs),
        *((line["outputs"] or {}).get(key) for key in outputs),
        f"{error['code']}: {error['message']}" if error else None,
    ]
    return "".join(map(_cell, cells))


def _table(columns: Iterable[str], rows: Sequence[str], classes: Sequence[str] = ()) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    marks = [f' class="{escape(name)}"' for name in classes] or [""] * len(rows)
    body = "\n".join(f"<tr{mark}>{row}</tr>" for mark, row in zip(marks, rows, strict=True))
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n"


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        return f'<td class="number">{escape(shown)}</td>'
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return (
        f"<td><pre>{escape(text)}</pre></td>"
        if "\n" in text or len(text) > 60
        else f"<td>{escape(text)}</td>"
    )
