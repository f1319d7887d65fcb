"""Who shall be told of an endpoint's requests? The collector, MLflow where it is named, and observers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from promptflow_lite.registry import Registry
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.traffic.seen import Seen
from promptflow_lite.serving.traffic.watch import Taker, Traffic

__all__ = ["traffic_of"]

Redact = Callable[[bytes], bytes]


class Observing(Taker, Protocol):
    """Hears of requests and of what is said of them."""

    def rated(self, line: Mapping[str, Any]) -> None:
        """Take note of feedback."""
        ...


def traffic_of(
    endpoint: str,
    takers: Sequence[Taker],
    rate_of: Callable[[str], float],
    *,
    mlflow: str,
    redact: Redact,
    metrics: Metrics,
    observing: Observing | None = None,
) -> Traffic | None:
    """Those who are told; `None` where nobody wants to know, so that requests cost nothing more.

    Plugins of the group `promptflow_lite.observers` are told of every request: an entry point names a
    function that makes a `Taker` for the endpoint of a name, or gives `None` if there is nothing to do.

    Args:
        endpoint: its name.
        takers: are told of what is drawn.
        rate_of: which part of a deployment's requests is drawn.
        mlflow: the address of an MLflow; empty for none.
        redact: replaces the secrets of connections in JSON text.
        metrics: where what is lost is counted.
        observing: is told of all requests and of feedback.
    """
    drawn, feedback = [*takers], []
    if observing is not None:
        feedback.append(observing.rated)
    if mlflow:
        lost = partial(_lose, metrics, "mlflow")
        traces = Registry("traces").get("mlflow")(endpoint, mlflow, redact=redact, lost=lost)
        drawn.append(traces)
        feedback.append(traces.rated)
    observers = Registry("observers")
    always: list[Taker] = [] if observing is None else [observing]
    always += [taker for name in observers.names() if (taker := observers.get(name)(endpoint)) is not None]
    if not drawn and not always:
        return None
    return Traffic(endpoint, drawn, rate_of, always=always, feedback=feedback)


def _lose(metrics: Metrics, reason: str, seen: Seen) -> None:
    metrics.not_collected(seen.deployment, reason, 1)
