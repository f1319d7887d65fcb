"""How is it going? Requests, latency, tokens and failures of each deployment, as Prometheus reads them."""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from promptflow_lite.engine.results import LineResult

__all__ = ["CONTENT_TYPE", "SHARED", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable in which prometheus-client finds the folder that several workers share."""

_MOST_SERIES = 1000
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one app; those of all workers where they share a folder."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ["deployment", "path"]
        registry = self._registry
        self._requests = Counter(
            "promptflow_requests", "Requests answered.", [*labels, "status"], registry=registry
        )
        self._seconds = Histogram(
            "promptflow_request_seconds",
            "Time to the end of an answer.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self._first = Histogram(
            "promptflow_first_part_seconds",
            "Time to the first part of a streamed answer.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "promptflow_tokens", "Tokens that models counted.", ["deployment", "kind"], registry=registry
        )
        self._failures = Counter(
            "promptflow_failures", "Answers that are an error.", ["deployment", "code"], registry=registry
        )
        self._in_flight = Gauge(
            "promptflow_in_flight",
            "Runs in flight.",
            ["deployment"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._queued = Gauge(
            "promptflow_queued",
            "Runs that wait.",
            ["deployment"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._collected = Counter("promptflow_collected", "Requests kept.", ["deployment"], registry=registry)
        self._not_collected = Counter(
            "promptflow_not_collected",
            "Requests that were drawn to be kept, and are lost.",
            ["deployment", "reason"],
            registry=registry,
        )
        # A series is looked up by its labels' text, which costs more than to count: each is looked up once.
        self._request_of = lru_cache(_MOST_SERIES)(self._requests.labels)
        self._seconds_of = lru_cache(_MOST_SERIES)(self._seconds.labels)
        self._in_flight_of = lru_cache(_MOST_SERIES)(self._in_flight.labels)
        self._queued_of = lru_cache(_MOST_SERIES)(self._queued.labels)
        self._tokens_of = lru_cache(_MOST_SERIES)(self._tokens.labels)
        self._waiting: dict[str, int] = {}
        """Runs that wait, by deployment, as last noted: mostly nobody does, before and after."""

    def answered(self, deployment: str, path: str, status: int, code: str, seconds: float) -> None:
        """Count an answer.

        Args:
            deployment: who answered; empty where nobody was asked.
            path: a path of the app, or `other`: a stranger's path is no label.
            status: its HTTP status; 499 where the caller left.
            code: of the error, or empty.
            seconds: from the request's head to the answer's end.
        """
        self._request_of(deployment, path, status).inc()
        self._seconds_of(deployment, path).observe(seconds)
        if code:
            self._failures.labels(deployment, code).inc()

    def first_part(self, deployment: str, path: str, seconds: float) -> None:
        """Count the wait for the first part of a stream."""
        self._first.labels(deployment, path).observe(seconds)

    def spent(self, deployment: str, line: LineResult) -> None:
        """Count the tokens of a run."""
        if line.usage.total_tokens:
            self._tokens_of(deployment, "prompt").inc(line.usage.prompt_tokens)
            self._tokens_of(deployment, "completion").inc(line.usage.completion_tokens)

    def busy(self, deployment: str, *, in_flight: int, queued: int) -> None:
        """Note how many runs there are now."""
        self._in_flight_of(deployment).set(in_flight)
        if self._waiting.get(deployment) != queued:
            self._waiting[deployment] = queued
            self._queued_of(deployment).set(queued)

    def collected(self, deployment: str, count: int) -> None:
        """Count requests that were kept."""
        self._collected.labels(deployment).inc(count)

    def not_collected(self, deployment: str, reason: str, count: int) -> None:
        """Count requests that should have been kept.

        Args:
            deployment: who answered them.
            reason: `queue-full`, `disk`, or `mlflow` for a trace that could not be told.
            count: how many.
        """
        self._not_collected.labels(deployment, reason).inc(count)

    def text(self) -> bytes:
        """Prometheus' text form."""
        if os.environ.get(SHARED):  # prometheus-client itself reads it at import and knows no other way
            shared = CollectorRegistry()
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # untyped there
            return generate_latest(shared)
        return generate_latest(self._registry)
