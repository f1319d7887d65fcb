"""What is an endpoint, and what is a deployment? Plain data, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "Affinity",
    "Collect",
    "Collections",
    "DataCollector",
    "DeploymentSpec",
    "EndpointSpec",
    "Probe",
    "Progress",
    "RequestSettings",
    "Rollout",
    "RunGate",
    "traffic_complaints",
]

_MOST_MIRRORED = 50


@dataclass(frozen=True, kw_only=True)
class RequestSettings:
    """What one request may cost. Azure's own defaults (5000, 1) would end most calls of language models."""

    request_timeout_ms: int = 60_000
    max_concurrent_requests_per_instance: int = 64
    max_queue_wait_ms: int = 500


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How a process is asked whether it lives; seconds, with Azure's defaults."""

    initial_delay: float = 10
    period: float = 10
    timeout: float = 2
    success_threshold: int = 1
    failure_threshold: int = 30


@dataclass(frozen=True, kw_only=True)
class Affinity:
    """What the turns of one chat have in common."""

    header: str


@dataclass(frozen=True, kw_only=True)
class RunGate:
    """What a deployment's runs must have shown before it gets traffic."""

    rules: tuple[Mapping[str, Any], ...] = ()
    """Those of a gate file: `metric`, `kind`, `bound`, `is_sure`."""
    runs: Mapping[str, str] = field(default_factory=dict)
    """A run by deployment."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a roll-out is."""

    to: str
    before: Mapping[str, int]
    """The traffic to go back to."""
    since: float
    """When the step began; seconds since the epoch."""
    step: int = 0
    look: int = 0
    """How often the step was judged, and nothing was sure."""
    state: Literal["running", "paused", "completed", "failed", "aborted"] = "running"
    why: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("running", "paused")


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """When a deployment loses its traffic, and by which steps one gets it."""

    to: str = ""
    """The deployment that `pf endpoint rollout start` gives traffic."""
    steps: tuple[int, ...] = (10, 50, 100)
    """Its percents, rising."""
    every: str = "10m"
    """How long a step takes at least."""
    rules: tuple[Mapping[str, Any], ...] = ()
    """What must hold of what is observed, as in `RunGate`; without any its failures, no worse by 0.05."""

    max_error_rate: float = 0.1
    """The share of its answers that may be its failures (5xx)."""
    min_requests: int = 50
    """How many answers there must be before it is judged."""
    window_s: float = 300.0
    """How far back they count."""


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Whether one side of the requests is kept."""

    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Collections:
    """Which sides of the requests are kept; one that is not named is not."""

    model_inputs: Collect = Collect(enabled=False)
    model_outputs: Collect = Collect(enabled=False)


@dataclass(frozen=True, kw_only=True)
class DataCollector:
    """What is kept of a deployment's requests."""

    collections: Collections = Collections()
    sampling_rate: float = 1.0
    """Which part of the requests, from 0 to 1."""
    rolling_rate: Literal["day", "hour", "minute"] = "hour"
    """How long one file is written to."""
    keep_days: float = 30
    """How long requests are kept; 0 for ever."""
    keep_mb: int = 1024
    """How many megabytes of them; 0 for any."""

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self.collections.model_inputs.enabled or self.collections.model_outputs.enabled

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> DataCollector:
        """What a file asks for, or what was kept of it."""
        sides = {
            name: Collect(enabled=str(side.get("enabled", True)).lower() == "true")  # Azure: 'True'
            for name, side in body.get("collections", {}).items()
        }
        rate = str(body.get("rolling_rate", "hour")).lower()
        return cls(**{**body, "collections": Collections(**sides), "rolling_rate": rate})


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec:
    """One deployment of an endpoint."""

    name: str
    source: str
    """The flow, as it is loaded: our copy of it."""
    flow: str
    """Where that was copied from: a path, or the address of a model with its version."""
    model: str = ""
    """The address of the model as it was asked for; its alias may move on. Empty: it is no model."""
    revision: int = 1
    """Counts what needs a new process."""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    init: Mapping[str, Any] = field(default_factory=dict)
    request_settings: RequestSettings = RequestSettings()
    liveness_probe: Probe = Probe()
    readiness_probe: Probe = Probe()
    instance_count: int = 1
    data_collector: DataCollector | None = None

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> DeploymentSpec:
        """A deployment as it was kept, or as a file asks for it; what it leaves out has its default."""
        parts = {
            "request_settings": RequestSettings(**body.get("request_settings", {})),
            "liveness_probe": Probe(**body.get("liveness_probe", {})),
            "readiness_probe": Probe(**body.get("readiness_probe", {})),
        }
        collector = body.get("data_collector")
        kept = {"data_collector": DataCollector.of_json(collector)} if collector else {}
        return cls(**{**body, **parts, **kept})


@dataclass(frozen=True, kw_only=True)
class EndpointSpec:
    """An endpoint: its deployments, and who of them gets what."""

    name: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    auth_mode: Literal["key", "none"] = "key"
    traffic: Mapping[str, int] = field(default_factory=dict)
    mirror_traffic: Mapping[str, int] = field(default_factory=dict)
    affinity: Affinity | None = None
    rollout: Rollout | None = None
    gate: RunGate | None = None
    progress: Progress | None = None
    deployments: Mapping[str, DeploymentSpec] = field(default_factory=dict)
    change: int = 0
    """Counts the changes, so that whoever made one can wait until it is served."""

    def to_json(self) -> dict[str, Any]:
        """The endpoint as it is kept."""
        return asdict(self)

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> EndpointSpec:
        """An endpoint as it was kept."""
        affinity, rollout = body.get("affinity"), body.get("rollout")
        gate, progress = body.get("gate"), body.get("progress")
        deployments = {n: DeploymentSpec.of_json(d) for n, d in body.get("deployments", {}).items()}
        parts = {
            "affinity": Affinity(**affinity) if affinity else None,
            "rollout": _rollout(rollout) if rollout else None,
            "gate": RunGate(**{**gate, "rules": tuple(gate.get("rules", ()))}) if gate else None,
            "progress": Progress(**progress) if progress else None,
            "deployments": deployments,
        }
        return cls(**{**body, **parts})


def _rollout(body: Mapping[str, Any]) -> Rollout:
    lists = {key: tuple(body[key]) for key in ("steps", "rules") if isinstance(body.get(key), list | tuple)}
    return Rollout(**{**body, **lists})


def traffic_complaints(spec: EndpointSpec) -> list[tuple[str, str]]:
    """What is wrong with who gets what, by the key that is wrong: whole percents, 0 or 100 together.

    As in Azure ML, one deployment at most is mirrored to, with at most 50 percent, and one that has traffic
    is not.
    """
    found = []
    for key, shares in (("traffic", spec.traffic), ("mirror_traffic", spec.mirror_traffic)):
        for name, percent in shares.items():
            if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
                found.append((key, f"{name!r}: expected a whole percent from 0 to 100, got {percent!r}"))
            if name not in spec.deployments:
                exist = ", ".join(spec.deployments) or "none"
                found.append((key, f"no deployment is named {name!r}; there are: {exist}"))
    if found:
        return found
    if sum(spec.traffic.values()) not in (0, 100):
        found.append(("traffic", f"the percents add up to {sum(spec.traffic.values())}, not to 0 or 100"))
    mirrored = [name for name, percent in spec.mirror_traffic.items() if percent]
    if len(spec.mirror_traffic) > 1:
        found.append(("mirror_traffic", "one deployment at most can be mirrored to"))
    for name in mirrored:
        if spec.mirror_traffic[name] > _MOST_MIRRORED:
            found.append(("mirror_traffic", f"{name!r}: at most {_MOST_MIRRORED} percent can be mirrored"))
        if spec.traffic.get(name):
            found.append(("mirror_traffic", f"{name!r} has traffic of its own; the two exclude each other"))
    return found
