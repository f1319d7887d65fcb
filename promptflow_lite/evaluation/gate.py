"""May this run go on? The rules of a gate file, held against a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, near_miss
from promptflow_lite.evaluation.compare import Comparison, Verdict
from promptflow_lite.evaluation.statistics import Estimate
from promptflow_lite.flow.source import Document, read_yaml

__all__ = ["Gate", "Outcome", "Result", "Rule", "check", "read", "verdict"]

_KINDS = ("at_least", "at_most", "better_than_baseline", "no_worse_by")


class Outcome(StrEnum):
    """What came of a rule, or of the gate."""

    passed = "pass"
    failed = "fail"
    inconclusive = "inconclusive"


@dataclass(frozen=True)
class Rule:
    """One rule: a metric, and one of `at_least`, `at_most`, `better_than_baseline`, `no_worse_by`."""

    metric: str
    kind: str
    bound: float
    """The least or the most that is allowed, or the margin; 0 for `better_than_baseline`."""
    is_sure: bool = False
    """Of a bound: the whole interval must keep it, not just the figure."""

    def __str__(self) -> str:
        match self.kind:
            case "better_than_baseline":
                return f"{self.metric} better than the baseline"
            case "no_worse_by":
                return f"{self.metric} no worse than the baseline by {self.bound:g}"
        surely = "surely " if self.is_sure else ""
        return f"{self.metric} {surely}{self.kind.replace('_', ' ')} {self.bound:g}"


@dataclass(frozen=True)
class Gate:
    """The rules of a gate file."""

    rules: tuple[Rule, ...]

    @property
    def margins(self) -> dict[str, float]:
        """By metric: how much worse is still "no worse"."""
        return {rule.metric: rule.bound for rule in self.rules if rule.kind == "no_worse_by"}


@dataclass(frozen=True)
class Result:
    """A rule, held against a run."""

    rule: Rule
    run: str
    outcome: Outcome
    why: str


def read(path: Path) -> Gate:
    """The gate of a file: `rules:`, a list of mappings such as `{metric: f1, no_worse_by: 0.02}`.

    Raises:
        FlowError: every mistake of the file, with its place.
    """
    document = read_yaml(path)
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list) or not data["rules"]:
        raise FlowError(
            [
                Diagnostic(
                    "bad-gate",
                    "expected `rules:` and a list of rules under it",
                    document.at(),
                    "rules: [{metric: f1, at_least: 0.8}]",
                )
            ]
        )
    complaints = [
        Diagnostic("unknown-key", f"a gate has no key {key!r}", document.at(key), near_miss(key, ["rules"]))
        for key in data
        if key != "rules"
    ]
    rules: list[Rule] = []
    for i, rule in enumerate(data["rules"]):
        found = list(_complaints(rule, document, i))
        complaints += found
        if not found:
            kind = next(kind for kind in _KINDS if kind in rule)
            bound = 0.0 if kind == "better_than_baseline" else float(rule[kind])
            rules.append(Rule(rule["metric"], kind, bound, bool(rule.get("surely", False))))
    if complaints:
        raise FlowError(complaints)
    return Gate(tuple(rules))


def check(
    gate: Gate,
    run: str,
    figures: Mapping[str, Estimate],
    comparisons: Mapping[str, Comparison],
) -> list[Result]:
    """Each rule's outcome for one run.

    Args:
        gate: the rules.
        run: the run's name.
        figures: its metrics.
        comparisons: by metric, its comparison with the baseline; empty where there is none.
    """
    return [_result(rule, run, figures, comparisons) for rule in gate.rules]


def verdict(results: Sequence[Result]) -> Outcome:
    """The worst outcome of all: a failure before what is inconclusive."""
    outcomes = {result.outcome for result in results}
    for worst in (Outcome.failed, Outcome.inconclusive):
        if worst in outcomes:
            return worst
    return Outcome.passed


def _result(
    rule: Rule, run: str, figures: Mapping[str, Estimate], comparisons: Mapping[str, Comparison]
) -> Result:
    if rule.kind in ("at_least", "at_most"):
        figure = figures.get(rule.metric)
        if figure is None:
            hint = near_miss(rule.metric, figures) or f"there are: {', '.join(figures)}"
            return Result(rule, run, Outcome.failed, f"the run has no metric {rule.metric!r}; {hint}")
        return Result(rule, run, *_bounded(rule, figure))
    comparison = comparisons.get(rule.metric)
    if comparison is None:
        return Result(rule, run, Outcome.failed, f"{rule.metric!r} was not compared with a baseline")
    return Result(rule, run, *_compared(rule, comparison))


def _bounded(rule: Rule, figure: Estimate) -> tuple[Outcome, str]:
    keeps: Callable[[float], bool] = (
        (lambda value: value >= rule.bound)
        if rule.kind == "at_least"
        else (lambda value: value <= rule.bound)
    )
    why = f"{figure.value:.4g}"
    if figure.has_interval:
        why += f" ({figure.low:.4g} to {figure.high:.4g})"
    if not rule.is_sure or (not figure.has_interval and not keeps(figure.value)):
        return (Outcome.passed if keeps(figure.value) else Outcome.failed), why
    if not figure.has_interval:
        return Outcome.inconclusive, f"{why}, of the run as a whole: no interval is known, so nothing is sure"
    kept = [keeps(figure.low), keeps(figure.high)]
    return (Outcome.passed if all(kept) else Outcome.inconclusive if any(kept) else Outcome.failed), why


def _compared(rule: Rule, comparison: Comparison) -> tuple[Outcome, str]:
    difference = comparison.difference
    interval = f"{difference.low:+.4g} to {difference.high:+.4g}"
    why = f"{difference.value:+.4g} ({interval}): {comparison.verdict.value}"
    if comparison.lines_needed is not None:
        why += f"; about {comparison.lines_needed:,} lines would settle it"
    if rule.kind == "no_worse_by":
        low, high = difference.low, difference.high
        worst, best = (-high, -low) if comparison.lower_is_better else (low, high)
        if comparison.verdict is Verdict.better or worst > -rule.bound:
            is_sure = comparison.verdict is Verdict.worse
            return Outcome.passed, f"{why}, but within the margin" if is_sure else why
        is_beyond = comparison.verdict is Verdict.worse and best <= -rule.bound
    elif comparison.verdict is Verdict.better:
        return Outcome.passed, why
    else:
        is_beyond = comparison.verdict is Verdict.worse
    return (Outcome.failed if is_beyond else Outcome.inconclusive), why


def _complaints(rule: Any, document: Document, i: int) -> Iterator[Diagnostic]:
    place = document.at("rules", i)
    if not isinstance(rule, dict):
        yield Diagnostic("wrong-type", f"expected a mapping, got {rule!r}", place)
        return
    known = ("metric", "surely", *_KINDS)
    for key in rule:
        if key not in known:
            hint = near_miss(str(key), known) or f"there are: {', '.join(known)}"
            yield Diagnostic("unknown-key", f"a rule has no key {key!r}", document.at("rules", i, key), hint)
    if not isinstance(rule.get("metric"), str):
        yield Diagnostic("missing-key", "a rule names its `metric`", place)
    kinds = [kind for kind in _KINDS if kind in rule]
    if len(kinds) != 1:
        yield Diagnostic("bad-gate", f"a rule has one of {', '.join(_KINDS)}; this has {len(kinds)}", place)
    for kind in kinds:
        yield from _bad_bound(kind, rule[kind], document, i)
    if not isinstance(rule.get("surely", False), bool):
        yield Diagnostic("wrong-type", "expected true or false", document.at("rules", i, "surely"))


def _bad_bound(kind: str, bound: Any, document: Document, i: int) -> Iterator[Diagnostic]:
    place = document.at("rules", i, kind)
    if kind == "better_than_baseline":
        if bound is not True:
            yield Diagnostic("wrong-type", f"expected true, got {bound!r}", place)
    elif isinstance(bound, bool) or not isinstance(bound, int | float):
        yield Diagnostic("wrong-type", f"expected a number, got {bound!r}", place)
    elif kind == "no_worse_by" and bound < 0:
        yield Diagnostic("wrong-type", f"expected a margin of 0 or more, got {bound!r}", place)
