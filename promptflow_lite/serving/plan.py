"""What shall be served, and how? All that a process needs to know, as JSON can hold it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from promptflow_lite.connections.store import provider
from promptflow_lite.runs.redact import redactor
from promptflow_lite.serving import log
from promptflow_lite.serving.app import Options
from promptflow_lite.serving.call import Limits
from promptflow_lite.serving.deployment import Alone, BoundDeployment, load
from promptflow_lite.serving.door import Access
from promptflow_lite.serving.gate import Gate
from promptflow_lite.serving.keys import Keys
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.traffic.collector import Collection, Collector
from promptflow_lite.serving.traffic.retention import Retention
from promptflow_lite.serving.traffic.told import traffic_of
from promptflow_lite.settings import settings

__all__ = ["Plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A flow to serve, and the limits of each process that serves it."""

    source: str
    name: str | None = None
    variant: str | None = None
    variants: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    init: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 60.0
    max_concurrency: int = 64
    max_queue: int = 256
    queue_wait_s: float = 30.0
    max_body_bytes: int = 8 * 1024 * 1024
    body_s: float = 15.0
    grace_s: float = 30.0
    keys: tuple[str, ...] = ()
    """As hashes: a plan goes from process to process."""
    key_file: str | None = None
    hosts: tuple[str, ...] | None = None
    origins: tuple[str, ...] = ()
    log_level: str = "warning"
    feedback: str = ""
    """A file; empty for the one in the home folder that is named like the flow."""
    collect: str = ""
    """The folder that requests are kept in; empty for none."""
    sampling_rate: float = 1.0
    """Which part of the requests is kept and traced."""
    keep_days: float = 30
    """How long requests are kept; 0 for ever."""
    keep_mb: int = 1024
    """How many megabytes of them; 0 for any."""
    mcp: bool = False
    """Whether the flow is offered as an MCP tool too."""
    mlflow: str = ""
    """The address of an MLflow that is told of requests as traces; empty for none."""

    def to_json(self) -> bytes:
        """The plan for another process."""
        return orjson.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: bytes) -> Plan:
        """A plan from another process."""
        fields = orjson.loads(text)
        hosts = fields["hosts"]
        return cls(**{**fields, "hosts": None if hosts is None else tuple(hosts)})

    def deployment(self) -> BoundDeployment:
        """The flow, checked and bound.

        Raises:
            UserError: what is wrong with the flow, a tool or a connection.
        """
        return load(
            self.source,
            connections=provider(settings()),
            name=self.name,
            variant=self.variant,
            variants=self.variants,
            overrides=self.overrides,
            environment_variables=self.environment_variables,
            init=self.init,
            gate=Gate(in_flight=self.max_concurrency, queue=self.max_queue, wait_s=self.queue_wait_s),
            timeout_s=self.timeout_s,
        )

    def configure_log(self) -> None:
        """Let this process write its log."""
        log.configure(self.log_level, redactor(provider(settings())))

    def options(self, endpoint: Alone, metrics: Metrics) -> Options:
        """How the endpoint is served.

        Args:
            endpoint: which.
            metrics: where the requests that are kept are counted.
        """
        file = self.feedback or os.fspath(settings().home / "feedback" / f"{endpoint.name}.jsonl")
        redact = redactor(provider(settings())) if self.collect or self.mlflow else bytes
        kept = Collection(retention=Retention(days=self.keep_days, megabytes=self.keep_mb))
        takers = [Collector(Path(self.collect), redact, metrics, lambda name: kept)] if self.collect else []
        return Options(
            access=Access(
                Keys(self.keys, file=Path(self.key_file) if self.key_file else None),
                hosts=self.hosts,
                origins=self.origins,
            ),
            limits=Limits(body_bytes=self.max_body_bytes, body_s=self.body_s),
            feedback=Path(file),
            only=settings().response_fields,
            mcp=self.mcp,
            traffic=traffic_of(
                endpoint.name,
                takers,
                lambda name: self.sampling_rate,
                mlflow=self.mlflow,
                redact=redact,
                metrics=metrics,
            ),
        )
