"""How do requests of a served flow look as OpenTelemetry spans? As lines of a run do, in the caller's trace.

Where they go, and which part of them, the standard variables say: `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`; a caller whose `traceparent` is not sampled gets none.
"""

from __future__ import annotations

from dataclasses import replace

from promptflow_lite.integrations.otel import Spans, listen
from promptflow_lite.serving.traffic.aside import Aside
from promptflow_lite.serving.traffic.seen import Seen

__all__ = ["ServedSpans", "observe"]


def observe(endpoint: str) -> ServedSpans | None:
    """The observer, if the environment names a collector or the program has set up tracing itself."""
    spans = listen()
    return None if spans is None else ServedSpans(endpoint, spans)


class ServedSpans:
    """Makes spans of requests, in a thread beside them.

    Args:
        endpoint: its name.
        spans: makes them.
    """

    wants_values = True
    """The parameters of a model's request are among what its node took."""

    def __init__(self, endpoint: str, spans: Spans) -> None:
        self._endpoint = endpoint
        self._spans = spans
        self._aside = Aside("pf-otel", self._make, lambda seen: None)

    def __call__(self, seen: Seen) -> None:
        """Make spans of a request soon."""
        self._aside.put(seen)

    def close(self) -> None:
        """Have the last spans sent, in a few seconds or not at all."""
        self._aside.close()
        self._spans.close()

    def _make(self, items: list[Seen]) -> None:
        for seen in items:
            about = {
                "promptflow.endpoint": self._endpoint,
                "promptflow.deployment": seen.deployment,
                "promptflow.request_id": seen.request_id,
                "http.route": seen.path,
            }
            line = replace(seen.line, inputs=dict(seen.inputs))  # that of another process brings none
            self._spans.request(seen.flow, line, about, seen.traceparent)
