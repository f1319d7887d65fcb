"""What do gates and roll-outs ask of the evaluation? Rules read, runs compared, what was observed judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from promptflow_lite.cli.console import neutral, say
from promptflow_lite.errors import InputError, UserError
from promptflow_lite.serving.endpoints import changes, files, steps
from promptflow_lite.serving.endpoints.observed import Observed
from promptflow_lite.serving.endpoints.spec import EndpointSpec, Progress, Rollout, RunGate
from promptflow_lite.serving.endpoints.store import Kept

if TYPE_CHECKING:
    from promptflow_lite.evaluation.gate import Outcome, Rule

__all__ = [
    "CODES",
    "abort",
    "admit",
    "described",
    "hold",
    "judge",
    "pause",
    "read_rules",
    "resume",
    "show",
    "start",
    "wait",
]

CODES = {"completed": 0, "failed": 1, "aborted": 1, "paused": 3}
"""Exit codes of a roll-out that is waited for."""
_DEFAULT = ({"metric": "failure_rate", "kind": "no_worse_by", "bound": 0.05, "is_sure": False},)
_LOOK_S = 0.5


def judge(
    rules: Sequence[Mapping[str, Any]], own: tuple[str, Observed], others: tuple[str, Observed], level: float
) -> tuple[str, str]:
    """The verdict of a step; see `serving.endpoints.rolling`."""
    from promptflow_lite.evaluation import observed

    found = observed.judge(observed.rules_of(rules or _DEFAULT), own, others, level=level)
    worst, why = observed.outcome_of(found)
    return worst, why


def read_rules(asked: files.Asked, file: Path | None) -> None:
    """Let what a file asks for hold the rules themselves, in the place of the paths of gate files.

    Raises:
        FlowError: a gate file has a mistake.
        InputError: a rule of a roll-out is about what is not observed.
    """
    for key in ("rollout", "gate"):
        part = asked.body.get(key)
        if isinstance(part, dict) and isinstance(part.get("rules"), str):
            folder = file.absolute().parent if file is not None else Path.cwd()
            part["rules"] = _rules(folder / Path(part["rules"]).expanduser(), observed=key == "rollout")


def _rules(path: Path, *, observed: bool) -> list[dict[str, Any]]:
    from promptflow_lite.evaluation import gate
    from promptflow_lite.evaluation.observed import known

    found = gate.read(path)
    if observed:
        known(found.rules)
    return [asdict(rule) for rule in found.rules]


def admit(spec: EndpointSpec, traffic: Mapping[str, int] | None, *, gate: RunGate | None = None) -> int:
    """Whether those that get more traffic may have it, by the runs that the gate names: 0, 1 no, 3 not sure.

    Args:
        spec: the endpoint as it is.
        traffic: what is asked for; `None`: no other.
        gate: the gate, where another one is asked for along with it.
    """
    gate = gate or spec.gate
    if gate is None or traffic is None:
        return 0
    code = 0
    for name, share in traffic.items():
        if share > spec.traffic.get(name, 0):
            outcome = _admitted(spec, gate, name)
            code = max(code, {"pass": 0, "fail": 1, "inconclusive": 3}[outcome], key=(0, 3, 1).index)
    if code:
        say("the traffic is as it was; --force gives it all the same")
    return code


def hold(
    spec: EndpointSpec, traffic: Mapping[str, int] | None, *, asked: files.Asked | None = None, force: bool
) -> None:
    """End the command with 1 or 3 where the gate says no to more traffic.

    Args:
        spec: the endpoint as it is.
        traffic: what is asked for; `None`: no other.
        asked: a file that may bring another gate.
        force: whether the gate is not asked.
    """
    gate = (asked.body.get("gate") if asked is not None else None) or None
    code = 0 if force else admit(spec, traffic, gate=RunGate(**gate) if gate else None)
    if code:
        raise typer.Exit(code)


def _admitted(spec: EndpointSpec, gate: RunGate, name: str) -> Outcome:
    from promptflow_lite.cli.showing import store
    from promptflow_lite.evaluation import gate as gates
    from promptflow_lite.evaluation.gate import Gate, Outcome
    from promptflow_lite.evaluation.observed import rules_of
    from promptflow_lite.evaluation.scores import read
    from promptflow_lite.evaluation.side_by_side import figures, side_by_side

    rules = Gate(tuple(rules_of(gate.rules)))
    others = {n: share for n, share in spec.traffic.items() if share and n != name}
    before = max(others, key=lambda n: others[n]) if others else None
    lacking = [n for n in (name, before) if n is not None and n not in gate.runs]
    if lacking:
        say(neutral(f"fail          {name}: the gate names no run of {' and '.join(lacking)}"))
        return Outcome.failed
    run = read(store(), gate.runs[name])
    if before is None or gate.runs[before] == gate.runs[name]:
        bounds = Gate(tuple(rule for rule in rules.rules if rule.kind in ("at_least", "at_most")))
        results = gates.check(bounds, name, figures(run), {})
    else:
        both = side_by_side([read(store(), gate.runs[before]), run], margins=rules.margins)
        results = gates.check(rules, name, figures(run), both.of(run.run.name))
    for result in results:
        say(neutral(f"{result.outcome.value:12}  {result.run}: {result.rule}: {result.why}"))
    return gates.verdict(results)


@dataclass(frozen=True)
class Asked:
    """The options of `start` as they were typed."""

    to: str | None
    steps: Sequence[int]
    every: str | None
    min_requests: int | None
    rules: Path | None
    force: bool


def start(kept: Kept, asked: Asked) -> int:
    """Begin a roll-out; the exit code: 1 or 3 where the gate says no."""
    spec = kept.read()
    rollout = spec.rollout or Rollout()
    typed: dict[str, Any] = {
        "to": asked.to,
        "steps": tuple(asked.steps) or None,
        "every": asked.every,
        "min_requests": asked.min_requests,
        "rules": tuple(_rules(asked.rules, observed=True)) if asked.rules is not None else None,
    }
    rollout = replace(rollout, **{key: value for key, value in typed.items() if value is not None})
    _check(rollout)
    begun = steps.begun(spec, rollout, time.time())  # says what is wrong before runs are compared
    code = 0 if asked.force else admit(spec, begun.traffic)
    if code:
        return code
    changed = kept.change(lambda now: steps.begun(now, rollout, time.time()))
    changes.await_change(kept, changed.change)
    show(kept)
    if kept.served() is None:
        say(f"the endpoint is not served; pf endpoint serve {kept.name}  goes on with it")
    return 0


def _check(rollout: Rollout) -> None:
    if not rollout.to:
        hint = "--to green, or 'rollout: {to: green}' in endpoint.yml"
        raise InputError("which deployment shall get the traffic?", code="missing-option", hint=hint)
    rising = all(low < high for low, high in pairwise(rollout.steps))
    if not rising or not all(1 <= percent <= 100 for percent in rollout.steps):
        said = f"--steps: expected rising percents from 1 to 100, got {' '.join(map(str, rollout.steps))}"
        raise InputError(said, code="bad-option")
    if steps.seconds_of(rollout.every) is None:
        said = f"--every: expected a time such as 10m or 2h, got {rollout.every!r}"
        raise InputError(said, code="bad-option")


def pause(kept: Kept) -> None:
    """Let the traffic be as it is, until someone says more."""
    changes.await_change(kept, kept.change(steps.paused).change)
    show(kept)


def resume(kept: Kept) -> None:
    """Go on, with the present step from its beginning."""
    changes.await_change(kept, kept.change(lambda now: steps.resumed(now, time.time())).change)
    show(kept)


def abort(kept: Kept) -> None:
    """Give the traffic back as it was before."""
    changes.await_change(kept, kept.change(steps.aborted).change)
    show(kept)


def wait(kept: Kept) -> int:
    """Wait until a roll-out has ended, or needs a person; say each time that it moves. The exit code."""
    said = _progress(kept)
    while True:
        progress = _progress(kept)
        if progress != said:
            said = progress
            show(kept)
        if progress.state != "running":
            return CODES[progress.state]
        if kept.served() is None:
            raise UserError(f"endpoint {kept.name!r} is not served", code="endpoint-not-served")
        time.sleep(_LOOK_S)


def described(kept: Kept) -> dict[str, Any]:
    """A roll-out as JSON."""
    spec, progress = kept.read(), _progress(kept)
    rollout = spec.rollout or Rollout()
    observed = (kept.served() or {}).get("rollout")
    return {
        **asdict(progress),
        "steps": list(rollout.steps),
        "every": rollout.every,
        "min_requests": rollout.min_requests,
        "rules": [dict(rule) for rule in rollout.rules or _DEFAULT],
        "traffic": dict(spec.traffic),
        "observed": observed,
    }


def show(kept: Kept, tell: Callable[[str], None] = say) -> None:
    """Say how far a roll-out is; `emit` where that is the result."""
    from promptflow_lite.evaluation.observed import rules_of

    found = described(kept)
    at, listed = found["step"] + 1, found["steps"]
    tell(f"{'roll-out':<10}{found['to']}: {found['state']}, step {at} of {len(listed)}")
    given = " ".join(f"{name}={percent}" for name, percent in found["traffic"].items())
    tell(f"{'traffic':<10}{given}")
    if found["state"] == "running":
        more = 1 << found["look"]
        seen = found["observed"] or {"answers": 0, "failures": 0, "answers_of_others": 0}
        span = found["every"] if more == 1 else f"{more} times {found['every']}"
        need = f"{found['min_requests'] * more} answers of each, after {span}"
        others = f"{seen['answers_of_others']} of the others"
        tell(f"{'observed':<10}{seen['answers']} answers, {seen['failures']} failed; {others}")
        tell(f"{'judged at':<10}{need}")
        rules: list[Rule] = rules_of(found["rules"])
        tell(f"{'rules':<10}{neutral('; '.join(str(rule) for rule in rules))}")
    if found["why"]:
        tell(f"{'why':<10}{neutral(found['why'])}")


def _progress(kept: Kept) -> Progress:
    progress = kept.read().progress
    if progress is None:
        hint = f"pf endpoint rollout start --name {kept.name} --to DEPLOYMENT"
        raise UserError(f"endpoint {kept.name!r}: nothing is being rolled out", code="no-rollout", hint=hint)
    return progress
