"""How does a deployment get its traffic step by step? What a verdict, or a person, means for the endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from promptflow_lite.errors import InputError, UserError
from promptflow_lite.serving.endpoints.spec import EndpointSpec, Progress, Rollout

__all__ = ["LEVEL", "aborted", "advanced", "begun", "level_of", "paused", "resumed", "seconds_of", "shares"]

LEVEL = 0.95
"""How sure the whole roll-out is: all its verdicts together are wrongly bad in 5 of 100."""
_LOOKS = 4
"""How often a step is judged before a person must say what shall be."""
_UNITS: dict[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float | None:
    """A span such as `10m`, in seconds; `None` where it is none.

    >>> seconds_of("10m"), seconds_of("0.5s"), seconds_of("soon")
    (600.0, 0.5, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text)
    if found is None:
        return None
    return float(found[1]) * _UNITS[str(found[2])]


def level_of(steps: int, look: int) -> float:
    """How sure the intervals of a look are, so that those of all steps and looks together keep `LEVEL`.

    A step's share of the allowed error is spent by halves: the first look gets half of it, the next a
    quarter, and so on.
    """
    return 1 - (1 - LEVEL) / max(1, steps) / (2 << look)


def shares(before: Mapping[str, int], to: str, percent: int) -> dict[str, int]:
    """The traffic where `to` has `percent`, and the others the rest, in the proportion that they had.

    >>> shares({"blue": 75, "red": 25}, "green", 20)
    {'blue': 60, 'red': 20, 'green': 20}
    """
    others = {name: share for name, share in before.items() if share and name != to}
    if not others:
        return {to: 100}
    total, rest = sum(others.values()), 100 - percent
    found = {name: rest * share // total for name, share in others.items()}
    found[max(others, key=lambda name: others[name])] += rest - sum(found.values())
    return {**{name: 0 for name in before if name != to}, **found, to: percent}


def begun(spec: EndpointSpec, rollout: Rollout, now: float) -> EndpointSpec:
    """The endpoint at the first step.

    Args:
        spec: the endpoint before.
        rollout: where to, and how.
        now: seconds since the epoch.

    Raises:
        UserError: there is no such deployment, it has all traffic, or another one is being rolled out.
    """
    to = rollout.to
    if to not in spec.deployments:
        exist = ", ".join(spec.deployments) or "none"
        raise UserError(f"no deployment is named {to!r}; there are: {exist}", code="deployment-not-found")
    if spec.progress is not None and spec.progress.is_under_way:
        hint = f"pf endpoint rollout abort --name {spec.name}  ends it"
        other = spec.progress
        raise UserError(f"{other.to!r} is being rolled out ({other.state})", code="rollout-busy", hint=hint)
    if not any(share for name, share in spec.traffic.items() if name != to):
        hint = f"pf endpoint update --name {spec.name} --traffic {to}=100"
        raise InputError(f"nobody but {to!r} could have the traffic", code="bad-rollout", hint=hint)
    mirrored = {name: share for name, share in spec.mirror_traffic.items() if name != to}
    progress = Progress(to=to, before=dict(spec.traffic), since=now)
    return _at(replace(spec, rollout=rollout, mirror_traffic=mirrored, progress=progress), 0, now)


def advanced(spec: EndpointSpec, outcome: str, why: str, now: float) -> EndpointSpec:
    """The endpoint after a step was judged.

    Args:
        spec: the endpoint during the step.
        outcome: `pass`, `fail` or `inconclusive`.
        why: for people.
        now: seconds since the epoch.
    """
    progress = spec.progress
    if progress is None or progress.state != "running":
        return spec
    match outcome:
        case "pass":
            return _at(replace(spec, progress=replace(progress, why=why)), progress.step + 1, now)
        case "fail":
            return _back(spec, "failed", why)
        case _ if progress.look + 1 < _LOOKS:
            return replace(spec, progress=replace(progress, look=progress.look + 1, why=why))
    return replace(spec, progress=replace(progress, state="paused", why=f"inconclusive: {why}"))


def paused(spec: EndpointSpec) -> EndpointSpec:
    """The endpoint, where it is, until someone says more."""
    return _changed(spec, ("running",), state="paused", why="paused by hand")


def resumed(spec: EndpointSpec, now: float) -> EndpointSpec:
    """The endpoint, its present step begun anew."""
    return _changed(spec, ("paused",), state="running", why="", look=0, since=now)


def aborted(spec: EndpointSpec, why: str = "aborted by hand") -> EndpointSpec:
    """The endpoint as it was before the roll-out."""
    _changed(spec, ("running", "paused"))
    return _back(spec, "aborted", why)


def _changed(spec: EndpointSpec, states: Sequence[str], **changes: object) -> EndpointSpec:
    if spec.progress is None or spec.progress.state not in states:
        now = "nothing is being rolled out" if spec.progress is None else f"it is {spec.progress.state}"
        raise UserError(f"endpoint {spec.name!r}: {now}", code="no-rollout")
    return replace(spec, progress=replace(spec.progress, **changes))  # type: ignore[arg-type]  # its fields


def _at(spec: EndpointSpec, step: int, now: float) -> EndpointSpec:
    """The endpoint at a step; the last one is the end."""
    progress, rollout = spec.progress, spec.rollout
    if progress is None or rollout is None:
        return spec
    step = min(step, len(rollout.steps) - 1)
    state: Literal["completed", "running"] = "completed" if step == len(rollout.steps) - 1 else "running"
    moved = replace(progress, step=step, look=0, since=now, state=state)
    return replace(spec, traffic=shares(progress.before, progress.to, rollout.steps[step]), progress=moved)


def _back(spec: EndpointSpec, state: Literal["failed", "aborted"], why: str) -> EndpointSpec:
    progress = spec.progress
    if progress is None:
        return spec
    before = {name: share for name, share in progress.before.items() if name in spec.deployments}
    moved = replace(progress, state=state, why=why)
    return replace(spec, traffic=before if sum(before.values()) in (0, 100) else spec.traffic, progress=moved)
