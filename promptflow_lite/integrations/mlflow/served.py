"""What is MLflow told of requests that a served flow answered? A trace each, and what people said of it.

Everything happens in a thread, beside the requests. A server that is away costs traces, once its share of
memory is used up, and nothing else. A caller's `traceparent` gives the trace its id, so that the caller's own
spans and these are one trace.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptflow_lite.engine.results import Status
from promptflow_lite.evaluation.page.prompts import Prompts
from promptflow_lite.integrations.mlflow.reach import reason
from promptflow_lite.integrations.mlflow.spans import Ids, Teller, spans_of, usage_of
from promptflow_lite.runs.records import dumps, loads
from promptflow_lite.serving.traffic.aside import Aside
from promptflow_lite.serving.traffic.scrub import scrub
from promptflow_lite.serving.traffic.seen import Seen, record_of

if TYPE_CHECKING:
    from mlflow.entities import Span, TraceInfo

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
_SQLITE = "sqlite:///"

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
    return ServedTraces(endpoint, _from_here(uri), redact=redact, lost=lost)


def _from_here(uri: str) -> str:
    """The address, a relative path made absolute: the working directory will be the flow's."""
    path = uri.removeprefix(_SQLITE)
    if path == uri and ":" in uri:
        return uri
    return (_SQLITE if path != uri else "") + os.fspath(Path(path).absolute())


@dataclass
class _Said:
    """Feedback whose trace is looked for."""

    line: Mapping[str, Any]
    tries: int = 0


class ServedTraces:
    """Tells an MLflow of requests and of feedback; see `connect`."""

    wants_values = True

    def __init__(self, endpoint: str, uri: str, *, redact: Redact, lost: Callable[[Seen], None]) -> None:
        self._endpoint = endpoint
        self._uri = uri
        self._redact = redact
        self._lost = lost
        self._waiting: deque[Seen] = deque()
        self._said: deque[_Said] = deque()
        self._experiment: str | None = None
        self._tellers: dict[str, Teller] = {}
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
                _log.warning("MLflow is not told of requests, and tried again: %s", reason(error))
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
            made = [_trace_of(seen, experiment, self._teller(seen)) for seen in group]
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

    def _teller(self, seen: Seen) -> Teller:
        """Of the flow that answered; an endpoint may get another one while it runs."""
        known = self._tellers.get(seen.deployment)
        if known is None or known.flow is not seen.flow:
            known = Teller(seen.endpoint, seen.flow, Prompts(seen.flow), self._clean)
            self._tellers[seen.deployment] = known
        return known

    def _clean(self, text: bytes) -> bytes:
        """Text without secrets."""
        return scrub(self._redact(text))[0]


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


def _trace_of(seen: Seen, experiment: str, teller: Teller) -> tuple[TraceInfo, list[Span]]:
    """The trace of a request: a span for it, and one for each node that ran."""
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    line, kept = seen.line, record_of(seen)
    record = {**loads(dumps(line)), "inputs": kept["inputs"], "outputs": kept["outputs"]}
    ids = _ids(seen)
    usage = usage_of(record["usage"])
    tags = {"mlflow.traceName": seen.endpoint, "promptflow_lite.deployment": seen.deployment}
    metadata = {
        "mlflow.trace_schema.version": "3",
        **({"mlflow.trace.tokenUsage": teller.text(usage)} if usage else {}),
    }
    info = TraceInfo(
        trace_id=f"tr-{ids.trace:032x}",
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=round(line.started * 1000),
        execution_duration=round(line.seconds * 1000),
        state=TraceState.OK if line.status is Status.Completed else TraceState.ERROR,
        request_preview=teller.request(record["inputs"]),
        response_preview=teller.response(record["outputs"]),
        client_request_id=seen.request_id,
        trace_metadata=metadata,
        tags=tags,
    )
    root = {
        "promptflow_lite.deployment": seen.deployment,
        "promptflow_lite.request_id": seen.request_id,
        "http.route": seen.path,
    }
    return info, spans_of(record, root, ids, teller)


def _ids(seen: Seen) -> Ids:
    """The ids, the same when it is told again; a caller's trace may have several requests of ours."""
    told = hashlib.sha256(f"{seen.endpoint}\n{seen.request_id}\n{seen.time!r}".encode()).digest()
    first = int.from_bytes(told[16:24], "big") >> 1 | 1
    if seen.traceparent is None:
        return Ids(int.from_bytes(told[:16], "big"), first)
    _, trace, span, _ = seen.traceparent.split("-")
    return Ids(int(trace, 16), first, int(span, 16))


def _assessments_of(line: Mapping[str, Any], clean: Redact) -> list[Any]:
    """What a person said, as MLflow keeps it: the score, its comment the reason; or the comment alone."""
    from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback

    source = AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id="caller")
    comment = clean(line["comment"].encode("utf-8", "replace")).decode() if line.get("comment") else None
    if line.get("score") is not None:
        return [Feedback(name="user_score", value=line["score"], source=source, rationale=comment)]
    return [Feedback(name="user_comment", value=comment, source=source)] if comment else []
