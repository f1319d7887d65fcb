"""What does a container need to run? What Compose and Kubernetes files both say, each in its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["GRACE_S", "HOME", "LEAVE_S", "WRITTEN", "Plan"]

HOME = "/app/home"
WRITTEN = ("endpoints", "feedback")
"""The folders of the home that a server writes to."""
LEAVE_S = 5
"""A server that is to end is still asked for so long, where others have to hear of it."""
GRACE_S = 45
"""Then it finishes what is in flight within 30 seconds, and has time to leave."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A container."""

    name: str
    """Letters, digits and dashes, lower case."""
    image: str
    port: int
    user: int
    variables: Mapping[str, str]
    """By name, what each is for; all of them come from outside."""
    processes: int
    """Interpreters in it: the door's and the deployments'."""
    is_local: bool
    """Whether the embedded model answers, whose weights are mounted."""

    @property
    def memory_mb(self) -> int:
        """What it may use: 512 MB a process, and 1.5 GB where the embedded model is loaded."""
        return 512 * self.processes + (1536 if self.is_local else 0)

    @property
    def cpus(self) -> float:
        """What it is given: a half for each process."""
        return 0.5 * self.processes
