"""Does a deployment fail too often? Its answers of the last minutes, and what that means for its traffic."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from promptflow_lite.serving.endpoints.spec import EndpointSpec, Rollout

__all__ = ["Record", "aborted", "without"]


class Record:
    """How the answers of one deployment went.

    Args:
        limits: when that is too bad.
    """

    def __init__(self, limits: Rollout) -> None:
        self.limits = limits
        self._answers: deque[tuple[float, bool]] = deque()
        self._failed = 0

    def count(self, *, failed: bool, now: float) -> None:
        """Take in an answer.

        Args:
            failed: whether that was the deployment's failure.
            now: seconds, of a clock that only goes forward.
        """
        self._answers.append((now, failed))
        self._failed += failed
        while self._answers[0][0] < now - self.limits.window_s:
            self._failed -= self._answers.popleft()[1]

    @property
    def size(self) -> int:
        """The answers that count."""
        return len(self._answers)

    @property
    def rate(self) -> float:
        """The share of them that are failures."""
        return self._failed / len(self._answers) if self._answers else 0.0

    @property
    def is_too_bad(self) -> bool:
        """Whether there are enough of them to say that too many failed."""
        return self.size >= self.limits.min_requests and self.rate > self.limits.max_error_rate


def without(traffic: Mapping[str, int], name: str) -> dict[str, int] | None:
    """The traffic in which `name` has none, and the others its share, in the proportion of theirs.

    `None` where nobody else has any: a bad answer is better than none.

    >>> without({"blue": 60, "green": 10, "red": 30}, "green")
    {'blue': 67, 'green': 0, 'red': 33}
    """
    others = {other: percent for other, percent in traffic.items() if percent and other != name}
    if not others or not traffic.get(name):
        return None
    total = sum(others.values())
    shares = {other: 100 * percent // total for other, percent in others.items()}
    most = max(others, key=lambda other: others[other])
    shares[most] += 100 - sum(shares.values())
    return {other: shares.get(other, 0) for other in traffic}


def aborted(spec: EndpointSpec, name: str, why: str) -> EndpointSpec | None:
    """The endpoint after a deployment has lost its traffic; a roll-out to it has failed.

    `None` where nobody else has any.
    """
    traffic = without(spec.traffic, name)
    if traffic is None:
        return None
    progress = spec.progress
    if progress is not None and progress.is_under_way and progress.to == name:
        return replace(spec, traffic=traffic, progress=replace(progress, state="failed", why=why))
    return replace(spec, traffic=traffic)
