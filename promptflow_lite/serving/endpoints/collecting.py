"""What is kept of each deployment's requests? What its `data_collector` asks for at that moment."""

from __future__ import annotations

from collections.abc import Callable

from promptflow_lite.serving.endpoints.split import Split
from promptflow_lite.serving.endpoints.store import Kept
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.traffic.collector import Collection, Collector
from promptflow_lite.serving.traffic.retention import Retention
from promptflow_lite.serving.traffic.told import traffic_of
from promptflow_lite.serving.traffic.watch import Traffic

__all__ = ["Collecting"]

Redact = Callable[[bytes], bytes]


class Collecting:
    """Reads the deployments' `data_collector` anew for each request, so that a change needs no restart.

    Args:
        split: the deployments that serve.
        mlflow: the address of an MLflow; empty for none.
    """

    def __init__(self, split: Split, *, mlflow: str) -> None:
        self._split = split
        self._mlflow = mlflow

    def traffic(self, kept: Kept, redact: Redact, metrics: Metrics) -> Traffic | None:
        """Those who are told of requests, and of their copies.

        Args:
            kept: the endpoint.
            redact: replaces the secrets of connections in JSON text.
            metrics: where what is kept, and what is lost, is counted.
        """
        traffic = traffic_of(
            kept.name,
            [Collector(kept.collected, redact, metrics, self.collection_of)],
            self.rate_of,
            mlflow=self._mlflow,
            redact=redact,
            metrics=metrics,
            observing=self._split.observing,
        )
        self._split.mirror.traffic = traffic
        return traffic

    def collection_of(self, name: str) -> Collection | None:
        """What is kept of a deployment's requests now; `None` for nothing."""
        deployment = self._split.spec.deployments.get(name)
        asked = deployment.data_collector if deployment is not None else None
        if asked is None or not asked.is_on:
            return None
        sides = asked.collections
        return Collection(
            inputs=sides.model_inputs.enabled,
            outputs=sides.model_outputs.enabled,
            rolling_rate=asked.rolling_rate,
            retention=Retention(days=asked.keep_days, megabytes=asked.keep_mb),
        )

    def rate_of(self, name: str) -> float:
        """Which part of a deployment's requests is kept, and traced where that is asked for."""
        deployment = self._split.spec.deployments.get(name)
        asked = deployment.data_collector if deployment is not None else None
        if asked is None or not asked.is_on:
            return 1.0 if self._mlflow else 0.0
        return asked.sampling_rate
