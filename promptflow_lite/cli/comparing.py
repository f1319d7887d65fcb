"""How does a comparison of runs look? As tables, as JSON, as Markdown, as JUnit's XML; and its exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from promptflow_lite.cli.console import emit, emit_json, neutral, pairs, say, table
from promptflow_lite.cli.gating import keep
from promptflow_lite.cli.showing import store
from promptflow_lite.errors import InputError
from promptflow_lite.evaluation import gate as gates
from promptflow_lite.evaluation.compare import Change, Comparison, Key, Verdict
from promptflow_lite.evaluation.gate import Outcome, Result
from promptflow_lite.evaluation.report import write_comparison
from promptflow_lite.evaluation.scores import SECONDS, TOKENS, read
from promptflow_lite.evaluation.side_by_side import SideBySide, figures, side_by_side
from promptflow_lite.evaluation.statistics import Estimate
from promptflow_lite.flow.conversation import readable
from promptflow_lite.runs.combinations import label
from promptflow_lite.settings import settings

__all__ = ["Asked", "compare", "numbers"]

_CELL = 48
_CODES = {Outcome.passed: 0, Outcome.failed: 1, Outcome.inconclusive: 3}


class Asked:
    """What `pf run compare` was asked for; see its help.

    Args:
        notes: what was said of the runs already, on a terminal; a file has to say it too.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        metrics: Sequence[str] = (),
        margins: Mapping[str, float] | None = None,
        lower_is_better: Sequence[str] = (),
        by: str | None = None,
        gate: Path | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        if len(set(names)) < 2:
            raise InputError("a comparison needs two different runs or more", code="nothing-to-compare")
        self.gate = gates.read(gate) if gate is not None else None
        self.said = notes
        found = side_by_side(
            [read(store(), name, by=by) for name in dict.fromkeys(names)],
            metrics=metrics,
            margins={**(self.gate.margins if self.gate else {}), **(margins or {})},
            lower_is_better=lower_is_better,
            is_same_data=by is None,
        )
        self.found = replace(found, notes=[*notes, *found.notes])

    def results(self) -> list[Result]:
        """The gate's rules, held against every candidate; none without a gate."""
        if self.gate is None:
            return []
        return [
            result
            for run in self.found.candidates
            for result in gates.check(self.gate, run.run.name, figures(run), self.found.of(run.run.name))
        ]


def numbers(given: Sequence[str]) -> dict[str, float]:
    """What `--margin f1=0.02` says, by metric.

    Raises:
        InputError: a value is no number of 0 or more (code `bad-option`).
    """
    found: dict[str, float] = {}
    for key, text in pairs(given, "--margin").items():
        try:
            found[key] = float(text)
        except ValueError:
            found[key] = -1.0
        if not 0 <= found[key] < float("inf"):
            raise InputError(
                f"--margin {key}: expected a number of 0 or more, got {text!r}", code="bad-option"
            )
    return found


def compare(asked: Asked, *, how: str, lines: int, junit: Path | None, report: Path | None = None) -> int:
    """Write the comparison and return the exit code: 0, or with a gate 1 failed, 3 inconclusive.

    Args:
        asked: what is compared.
        how: `table`, `json` or `markdown`.
        lines: how many changed lines of each kind are shown.
        junit: where the gate's rules go as JUnit's XML.
        report: where the HTML page goes.
    """
    results = asked.results()
    match how:
        case "json":
            emit_json(_as_json(asked.found, results))
        case "markdown":
            emit(_markdown(asked.found, results))
        case _:
            _show(asked, results, lines)
    if junit is not None:
        junit.write_bytes(_junit(asked.found, results))
    if report is not None:
        say(f"report   {write_comparison(store(), asked.found, results, report)}")
    if results:
        keep(store(), asked.found.baseline.run.name, results)
    if (summary := settings().step_summary) is not None:
        with summary.open("a", encoding="utf-8") as file:
            file.write(_markdown(asked.found, results) + "\n")
    return _CODES[gates.verdict(results)] if results else 0


def _show(asked: Asked, results: Sequence[Result], lines: int) -> None:
    found = asked.found
    for run in found.candidates:
        name = run.run.name
        comparisons = found.of(name)
        table(_columns(found, name), [_row(one) for one in comparisons.values()])
        _show_failures(found, name)
        for metric in comparisons if lines else ():
            if metric not in (SECONDS, TOKENS):
                _show_changes(found, comparisons[metric], lines)
        emit("")
    for note in found.notes[len(asked.said) :]:
        say(neutral(note))
    for result in results:
        emit(neutral(f"{result.outcome.value:12}  {result.run}: {result.rule}: {result.why}"))


def _columns(found: SideBySide, candidate: str) -> tuple[str, ...]:
    baseline = found.baseline.run.name
    return ("metric", "lines", baseline, candidate, "changed", "difference (95 %)", "p", "verdict")


def _row(one: Comparison) -> tuple[object, ...]:
    return (
        one.metric,
        one.pairs,
        _figure(one.baseline_mean),
        _figure(one.candidate_mean),
        f"{len(one.better)} better, {len(one.worse)} worse",
        f"{one.difference.value:+.4g} ({one.difference.low:+.4g} to {one.difference.high:+.4g})",
        f"{one.adjusted_p:.2g}",
        _verdict(one),
    )


def _figure(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _verdict(one: Comparison) -> str:
    if one.verdict is not Verdict.inconclusive or one.lines_needed is None:
        return one.verdict.value
    return f"{one.verdict.value}; about {one.lines_needed:,} lines would settle it"


def _show_failures(found: SideBySide, name: str) -> None:
    for what, keys in (
        ("newly failing", found.newly_failing[name]),
        ("no longer failing", found.no_longer_failing[name]),
    ):
        if keys:
            shown = ", ".join(_shown(key) for key in keys[:10])
            say(f"{neutral(name)}: {len(keys)} {what}: {shown}{', ...' if len(keys) > 10 else ''}")


def _show_changes(found: SideBySide, one: Comparison, lines: int) -> None:
    candidate = next(run for run in found.candidates if run.run.name == one.candidate)
    for what, changes in (("better", one.better), ("worse", one.worse)):
        if not changes:
            continue
        count = f"{len(changes)} lines are" if len(changes) != 1 else "1 line is"
        emit(f"\n{one.metric}: {count} {what} in {neutral(one.candidate)}")
        rows = [
            (
                _shown(change.key),
                f"{change.baseline:.4g} -> {change.candidate:.4g}",
                _cell(found.baseline.inputs.get(change.key)),
                _cell(found.baseline.outputs.get(change.key)),
                _cell(candidate.outputs.get(change.key)),
            )
            for change in changes[:lines]
        ]
        table(("line", "score", "inputs", one.baseline, one.candidate), rows)


def _shown(key: Key) -> str:
    return f"{key.item}" + (f" (repeat {key.repeat})" if key.repeat else "")


def _cell(values: Mapping[str, Any] | None) -> str:
    text = ", ".join(f"{value}" for value in readable(values or {}).values())
    text = " ".join(text.split())
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _as_json(found: SideBySide, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "baseline": found.baseline.run.name,
        "candidates": [run.run.name for run in found.candidates],
        "comparisons": [_comparison(one) for one in found.comparisons],
        "newly_failing": {name: [_key(key) for key in keys] for name, keys in found.newly_failing.items()},
        "no_longer_failing": {
            name: [_key(key) for key in keys] for name, keys in found.no_longer_failing.items()
        },
        "notes": list(found.notes),
        "gate": [
            {"run": r.run, "rule": str(r.rule), "outcome": r.outcome.value, "why": r.why} for r in results
        ],
        "outcome": gates.verdict(results).value if results else None,
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    record = asdict(one)
    for side in ("baseline_mean", "candidate_mean", "difference"):
        figure = getattr(one, side)._asdict()
        record[side] = {key: value for key, value in figure.items() if key != "has_interval"}
    for side in ("better", "worse"):
        record[side] = [_change(change) for change in getattr(one, side)]
    return record


def _change(change: Change) -> dict[str, Any]:
    return {**_key(change.key), "baseline": change.baseline, "candidate": change.candidate}


def _key(key: Key) -> dict[str, Any]:
    return {"line": key.item, "repeat": key.repeat}


def _markdown(found: SideBySide, results: Sequence[Result]) -> str:
    return "\n".join(_markdown_lines(found, results))


def _markdown_lines(found: SideBySide, results: Sequence[Result]) -> Iterator[str]:
    if results:
        yield f"### Gate: {gates.verdict(results).value}\n"
        yield "| | run | rule | what came of it |\n|---|---|---|---|"
        for result in results:
            cells = (result.outcome.value, result.run, str(result.rule), result.why)
            yield f"| {' | '.join(_markdown_cell(cell) for cell in cells)} |"
        yield ""
    for run in found.candidates:
        columns = _columns(found, run.run.name)
        yield f"| {' | '.join(_markdown_cell(column) for column in columns)} |\n|{'---|' * len(columns)}"
        for one in found.of(run.run.name).values():
            yield f"| {' | '.join(_markdown_cell(str(cell)) for cell in _row(one))} |"
        yield ""
    for note in found.notes:
        yield f"{_markdown_cell(note)}\n"


def _markdown_cell(text: str) -> str:
    """Text that cannot leave its cell or become markup."""
    plain = neutral(text).replace("\n", " ")
    for mark in "\\`*_[]<>|":
        plain = plain.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return plain


def _junit(found: SideBySide, results: Sequence[Result]) -> bytes:
    """One test case a rule; an inconclusive one is skipped, as JUnit has no third outcome.

    A run of a sweep is told with its combination, which its name need not say.
    """
    choices = {one.run.name: label(one.run.choice) for one in found.candidates if one.run.choice}
    failed = sum(result.outcome is Outcome.failed for result in results)
    skipped = sum(result.outcome is Outcome.inconclusive for result in results)
    suite = ElementTree.Element(
        "testsuite",
        name=f"pf run compare {found.baseline.run.name}",
        tests=str(len(results)),
        failures=str(failed),
        skipped=str(skipped),
    )
    for result in results:
        choice = f" ({choices[result.run]})" if result.run in choices else ""
        name = f"{result.rule}{choice}"
        case = ElementTree.SubElement(suite, "testcase", classname=result.run, name=name)
        if result.outcome is Outcome.passed:
            continue
        tag = "failure" if result.outcome is Outcome.failed else "skipped"
        ElementTree.SubElement(case, tag, message=result.why)
    if found.notes:
        ElementTree.SubElement(suite, "system-out").text = "\n".join(found.notes)
    xml: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return xml
