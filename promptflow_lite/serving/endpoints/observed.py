"""What is observed of deployments while one is rolled out? Failures, seconds, and what people said."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from promptflow_lite.serving.traffic.seen import Seen

__all__ = ["Observed", "Observing", "together"]

_MOST = 20_000
"""Answers whose seconds are kept, the last ones; and requests whose feedback still counts."""


@dataclass
class Observed:
    """What was observed of one deployment, or of several together."""

    answers: int = 0
    failures: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST))
    scores: list[float] = field(default_factory=list)


class Observing:
    """Takes note of answers that were drawn, from the beginning of a step on; of nothing before the first."""

    wants_values = False

    def __init__(self) -> None:
        self.is_on = False
        self._found: dict[str, Observed] = {}
        self._who: dict[str, str] = {}

    def begin(self) -> None:
        """Begin anew."""
        self.is_on = True
        self._found, self._who = {}, {}

    def end(self) -> None:
        """Take note of nothing more."""
        self.is_on = False
        self._found, self._who = {}, {}

    def of(self, name: str) -> Observed:
        """What was observed of a deployment."""
        return self._found.setdefault(name, Observed())

    def others(self, name: str) -> Observed:
        """What was observed of all others."""
        return together(found for other, found in self._found.items() if other != name)

    def answered(self, name: str, *, failed: bool, seconds: float) -> None:
        """Take note of an answer."""
        found = self.of(name)
        found.answers += 1
        if failed:
            found.failures += 1
        else:
            found.seconds.append(seconds)

    def __call__(self, seen: Seen) -> None:
        """Take note of who answered a request, for what may be said of it."""
        if self.is_on:
            self._who[seen.request_id] = seen.deployment
            if len(self._who) > _MOST:
                self._who.pop(next(iter(self._who)))

    def rated(self, line: Mapping[str, Any]) -> None:
        """Take note of what was said of an answer; the first score of a request counts."""
        if self.is_on and line.get("score") is not None:
            name = self._who.pop(str(line.get("request_id")), None)
            if name is not None:
                self.of(name).scores.append(float(line["score"]))

    def close(self) -> None:
        """Nothing: all of it is in memory."""


def together(parts: Iterable[Observed]) -> Observed:
    """What was observed of several."""
    found = Observed()
    for part in parts:
        found.answers += part.answers
        found.failures += part.failures
        found.seconds.extend(part.seconds)
        found.scores += part.scores
    return found
