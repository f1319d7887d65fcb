"""What is MLflow told of requests that a served flow answered? A trace each, and what people said of it.

Everything happens in a thread, beside the requests. A server that is away costs traces, once its share of
memory is used up, and nothing else. A caller's `traceparent` gives the trace its id, so that the caller's own
spans and these are one trace.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptflow_lite.engine.results import LineResult, NodeRun, Status
from promptflow_lite.serving.reply import dumps
from promptflow_lite.serving.traffic.aside import Aside
from promptflow_lite.serving.traffic.scrub import scrub
from promptflow_lite.serving.traffic.seen import Seen, record_of
from promptflow_lite.tools.scope import Usage

if TYPE_CHECKING:
    from mlflow.entities import Span, TraceInfo
    from opentelemetry.trace import SpanContext

__all__ = ["ServedTraces", "connect"]

_log = logging.getLogger("promptflow_lite.serving.traffic")

_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""Instead of MLflow's 120 s and 7 retries: what fails is tried again here."""
_MOST = 1024
_GROUP = 50
_LONGEST_PAUSE_S = 60.0
_TRIES = 6
"""How often the trace of a feedback is looked for: another worker may have yet to tell it."""
_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_REQUEST_TAG = "promptflow_lite.request."
_ENDED = (Status.Completed, Status.Failed, Status.Canceled)
_TYPES = {"llm": "LLM", "prompty": "LLM", "custom_llm": "LLM", "retrieval": "RETRIEVER"}

Redact = Callable[[bytes], bytes]


def connect(endpoint: str, uri: str, *, redact: Redact, lost: Callable[[Seen], None]) -> ServedTraces:
    """Traces to the experiment that is named like the endpoint.

    Args:
        endpoint: its name.
        uri: the address of the MLflow.
        redact: replaces the secrets of connections in JSON text.
        lost: is told of a request whose trace cannot be told.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # decided when mlflow is imported
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    import mlflow.entities
    import mlflow.tracing.client  # noqa: F401  # now, and not while requests are answered

    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return ServedTraces(endpoint, uri, redact=redact, lost=lost)


@dataclass
class _Said:
    """Feedback whose trace is looked for."""

    line: Mapping[str, Any]
    tries: int = 0


class ServedTraces:
    """Tells an MLflow of requests and of feedback; see `connect`."""

    def __init__(self, endpoint: str, uri: str, *, redact: Redact, lost: Callable[[Seen], None]) -> None:
        self._endpoint = endpoint
        self._uri = uri
        self._redact = redact
        self._lost = lost
        self._waiting: deque[Seen] = deque()
        self._said: deque[_Said] = deque()
        self._experiment: str | None = None
        self._pause = 0.0
        self._not_before = 0.0
        self._aside = Aside("pf-mlflow", self._tell, lost, most=_MOST, most_bytes=16 * 1024 * 1024)

    def __call__(self, seen: Seen) -> None:
        """Tell of a request soon."""
        self._aside.put(seen)

    def rated(self, line: Mapping[str, Any]) -> None:
        """Tell what was said of an answer soon; its trace may be of another process, and of another day."""
        name = line.get("request_id")
        if isinstance(name, str) and _ID.fullmatch(name) and len(self._said) < _MOST:
            self._said.append(_Said(line))
            self._aside.start()

    def close(self) -> None:
        """Tell what is left, for at most five seconds."""
        self._not_before = 0.0
        self._aside.close()

    def _tell(self, items: list[Seen]) -> None:
        """Tell what waits, unless the server was away a moment ago."""
        self._waiting += items
        while len(self._waiting) > _MOST:
            self._lost(self._waiting.popleft())
        if not (self._waiting or self._said) or time.monotonic() < self._not_before:
            return
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._tell_traces()
            self._tell_opinions()
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if not self._pause:
                _log.warning("MLflow is not told of requests, and tried again: %s", _reason(error))
            self._pause = min(_LONGEST_PAUSE_S, 2 * self._pause or 1.0)
            self._not_before = time.monotonic() + self._pause
        else:
            self._pause = 0.0

    def _tell_traces(self) -> None:
        from mlflow.tracing.client import TracingClient

        client = TracingClient(self._uri)
        while self._waiting:
            experiment = self._experiment_id()
            group = [self._waiting[at] for at in range(min(_GROUP, len(self._waiting)))]
            made = [_trace_of(seen, experiment, self._text) for seen in group]
            for seen, (info, _) in zip(group, made, strict=True):
                if not _taken(client.start_trace, info):
                    # The caller's trace has another request of ours, or was begun by the caller.
                    _taken(client.set_trace_tag, info.trace_id, f"{_REQUEST_TAG}{seen.request_id}", "yes")
            if not _taken(client.log_spans, experiment, [span for _, spans in made for span in spans]):
                for seen in group:
                    self._lost(seen)
            for _ in group:
                self._waiting.popleft()

    def _tell_opinions(self) -> None:
        from mlflow.tracing.client import TracingClient

        client = TracingClient(self._uri)
        for _ in range(len(self._said)):
            said = self._said[0]
            found = self._find(client, said.line["request_id"])
            if found is not None:
                for assessment in _assessments_of(said.line, self._clean):
                    client.log_assessment(found, assessment)
            self._said.popleft()
            said.tries += 1
            if found is None and said.tries < _TRIES:
                self._said.append(said)

    def _find(self, client: Any, request_id: str) -> str | None:
        """The trace of a request; `None` where it was not drawn."""
        tag = f"{_REQUEST_TAG}{request_id}"
        for query in (f"trace.client_request_id = '{request_id}'", f"tags.`{tag}` = 'yes'"):
            page = client.search_traces(
                locations=[self._experiment_id()], filter_string=query, max_results=1, include_spans=False
            )
            for trace in page:
                found: str = trace.info.trace_id
                return found
        return None

    def _experiment_id(self) -> str:
        """The experiment of the endpoint's name, made if there is none."""
        if self._experiment is None:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            client = MlflowClient(tracking_uri=self._uri)
            found = client.get_experiment_by_name(self._endpoint)
            if found is None:
                try:
                    self._experiment = str(client.create_experiment(self._endpoint))
                except MlflowException:  # another worker was first
                    found = client.get_experiment_by_name(self._endpoint)
                    if found is None:
                        raise
            if found is not None:
                self._experiment = str(found.experiment_id)
        assert self._experiment is not None  # noqa: S101  # one of both
        return self._experiment

    def _text(self, value: Any) -> str:
        """JSON without secrets."""
        return scrub(self._redact(dumps(value)))[0].decode()

    def _clean(self, text: str) -> str:
        """Text without secrets."""
        return scrub(self._redact(text.encode("utf-8", "replace")))[0].decode()


def _taken(tell: Callable[..., object], *told: Any) -> bool:
    """Whether the server took what it was told; one that is away, or broken, raises."""
    from mlflow.exceptions import MlflowException, RestException

    try:
        tell(*told)
    except RestException as error:
        if error.get_http_status_code() >= 500:  # type: ignore[no-untyped-call]  # mlflow's
            raise
        return False
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise
        return False
    return True


def _trace_of(seen: Seen, experiment: str, text: Callable[[Any], str]) -> tuple[TraceInfo, list[Span]]:
    """The trace of a request: a span for it, and one for each node that ran."""
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    line, record = seen.line, record_of(seen)
    number, parent = _identity(seen)
    trace_id = f"tr-{number:032x}"
    usage = _usage(line.usage)
    tags = {"mlflow.traceName": seen.endpoint, "promptflow_lite.deployment": seen.deployment}
    metadata = {
        "mlflow.trace_schema.version": "3",
        **({"mlflow.trace.tokenUsage": text(usage)} if usage else {}),
    }
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=round(line.started * 1000),
        execution_duration=round(line.seconds * 1000),
        state=TraceState.OK if line.status is Status.Completed else TraceState.ERROR,
        request_preview=text(record["inputs"])[:1000],
        response_preview=text(record["outputs"])[:1000],
        client_request_id=seen.request_id,
        trace_metadata=metadata,
        tags=tags,
    )
    root = {
        "mlflow.spanType": "CHAIN",
        "mlflow.spanInputs": record["inputs"],
        "mlflow.spanOutputs": record["outputs"] or None,
        "promptflow_lite.deployment": seen.deployment,
        "promptflow_lite.request_id": seen.request_id,
        "http.route": seen.path,
    }
    top = random.getrandbits(64) or 1  # no secret: the id of a span
    spans = [_span(seen.endpoint, (number, top, parent), root, line, text)]
    nodes = {node.name: node for node in seen.flow.nodes}
    for run in line.node_runs.values():
        if run.started and run.status in _ENDED:
            node = nodes.get(run.node)
            kind = "LLM" if run.model is not None else _TYPES.get(node.type if node else "", "TOOL")
            facts = {
                "mlflow.spanType": kind,
                "mlflow.spanInputs": run.inputs or None,
                "mlflow.spanOutputs": run.output,
                "mlflow.chat.tokenUsage": _usage(run.usage) if run.usage else None,
                "mlflow.llm.model": run.model,
            }
            spans.append(_span(run.node, (number, random.getrandbits(64) or 1, top), facts, run, text))
    return info, spans


def _identity(seen: Seen) -> tuple[int, int | None]:
    """The id of the trace, the same when it is told again, and of the caller's span in it."""
    if seen.traceparent is None:
        told = f"{seen.endpoint}\n{seen.request_id}\n{seen.time!r}".encode()
        return int.from_bytes(hashlib.sha256(told).digest()[:16], "big"), None
    _, trace, span, _ = seen.traceparent.split("-")
    return int(trace, 16), int(span, 16)


def _span(
    name: str,
    ids: tuple[int, int, int | None],
    attributes: Mapping[str, Any],
    of: LineResult | NodeRun,
    text: Callable[[Any], str],
) -> Span:
    from mlflow.entities import Span
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, StatusCode, TraceFlags
    from opentelemetry.trace import Status as OtelStatus

    number, own, within = ids

    def context(at: int) -> SpanContext:
        return SpanContext(number, at, False, TraceFlags(TraceFlags.SAMPLED))

    told = {"mlflow.traceRequestId": f"tr-{number:032x}", **attributes}
    ended = OtelStatus(StatusCode.OK) if of.error is None else OtelStatus(StatusCode.ERROR, of.error.code)
    return Span(
        ReadableSpan(
            name=name,
            context=context(own),
            parent=None if within is None else context(within),
            resource=Resource.get_empty(),
            attributes={key: text(value) for key, value in told.items() if value is not None},
            status=ended,
            start_time=round(of.started * 1e9),
            end_time=round((of.started + of.seconds) * 1e9),
        )
    )


def _usage(usage: Usage) -> dict[str, int]:
    """Tokens in MLflow's names; empty where none were counted."""
    if not usage.total_tokens:
        return {}
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _assessments_of(line: Mapping[str, Any], clean: Callable[[str], str]) -> list[Any]:
    """What a person said, as MLflow keeps it: the score, its comment the reason; or the comment alone."""
    from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback

    source = AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id="caller")
    comment = clean(line["comment"]) if line.get("comment") else None
    if line.get("score") is not None:
        return [Feedback(name="user_score", value=line["score"], source=source, rationale=comment)]
    return [Feedback(name="user_comment", value=comment, source=source)] if comment else []


def _reason(error: Exception) -> str:
    """What matters of an error of MLflow's, which quotes those of three packages below it."""
    text = str(error)
    system = re.search(r"\[Errno -?\d+\] ([^\"')]+)", text)
    if system:
        return system[1]
    lines = text.strip().splitlines() or [type(error).__name__]
    return re.sub(r"(?<=://)[^/@\s]*@", "", lines[0])[:300]
