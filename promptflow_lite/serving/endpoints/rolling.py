"""Who moves the traffic during a roll-out? The serving process: it observes, and asks for verdicts.

The state is that of the endpoint, so it survives a restart; what was observed does not, and a step that was
under way begins anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from promptflow_lite.errors import UserError
from promptflow_lite.serving.endpoints.observed import Observed
from promptflow_lite.serving.endpoints.spec import EndpointSpec, Progress, Rollout
from promptflow_lite.serving.endpoints.split import Split
from promptflow_lite.serving.endpoints.steps import advanced, level_of, seconds_of
from promptflow_lite.serving.endpoints.store import Kept

__all__ = ["Judge", "Rolling"]

Named = tuple[str, Observed]
Judge = Callable[[Sequence[Mapping[str, Any]], Named, Named, float], tuple[str, str]]
"""Of rules, the candidate, the others and how sure: `pass`, `fail` or `inconclusive`, and why."""


class Rolling:
    """Drives the roll-out of one endpoint.

    Args:
        kept: the endpoint.
        split: who is observed.
        judge: gives the verdicts.
        say: is told what a person should know.
    """

    def __init__(self, kept: Kept, split: Split, judge: Judge, say: Callable[[str], None]) -> None:
        self._kept = kept
        self._split = split
        self._judge = judge
        self._say = say
        self._step: tuple[str, int, float] | None = None
        self._began = 0.0

    async def look(self) -> bool:
        """Judge the present step if it is time; whether the state was changed."""
        spec = self._split.spec
        progress, rollout = spec.progress, spec.rollout
        if progress is None or rollout is None or progress.state != "running":
            self._split.observing.end()
            self._step = None
            return False
        step = (progress.to, progress.step, progress.since)
        if step != self._step:
            self._step, self._began = step, time.monotonic()
            self._split.observing.begin()
        if not self._is_time(rollout, progress):
            return False
        outcome, why = await self._verdict(spec, rollout, progress)

        def how(now: EndpointSpec) -> EndpointSpec:
            return advanced(now, outcome, why, time.time()) if now.progress == progress else now

        try:
            after = await asyncio.to_thread(self._kept.change, how)
        except (UserError, OSError) as error:  # tried again at the next look
            self._say(f"the roll-out of {progress.to!r}: {error}")
            return False
        self._tell(after, outcome, why)
        return True

    def status(self) -> dict[str, Any] | None:
        """What was observed in the present step; `None` where none is under way."""
        progress = self._split.spec.progress
        if progress is None or self._step is None:
            return None
        own, others = self._split.observing.of(progress.to), self._split.observing.others(progress.to)
        return {"answers": own.answers, "failures": own.failures, "answers_of_others": others.answers}

    def _is_time(self, rollout: Rollout, progress: Progress) -> bool:
        more = 1 << progress.look
        if time.monotonic() - self._began < more * (seconds_of(rollout.every) or 0.0):
            return False
        own, others = self._split.observing.of(progress.to), self._split.observing.others(progress.to)
        return min(own.answers, others.answers) >= more * rollout.min_requests

    async def _verdict(self, spec: EndpointSpec, rollout: Rollout, progress: Progress) -> tuple[str, str]:
        observing = self._split.observing
        own = Observed(**_copied(observing.of(progress.to)))
        others = Observed(**_copied(observing.others(progress.to)))
        names = " and ".join(n for n, share in spec.traffic.items() if share and n != progress.to)
        level = level_of(len(rollout.steps) - 1, progress.look)
        return await asyncio.to_thread(
            self._judge, rollout.rules, (progress.to, own), (names or "the others", others), level
        )

    def _tell(self, after: EndpointSpec, outcome: str, why: str) -> None:
        progress = after.progress
        if progress is None:
            return
        percent = after.traffic.get(progress.to, 0)
        self._say(f"roll-out of {progress.to!r}: {outcome}, {progress.state} at {percent} %: {why}")


def _copied(found: Observed) -> dict[str, Any]:
    """As it is now: a thread reads it while answers come in."""
    return {
        "answers": found.answers,
        "failures": found.failures,
        "seconds": found.seconds.copy(),
        "scores": list(found.scores),
    }
