"""How do the lines of a run become traces in MLflow, a thousand of them soon and none twice?

A trace is told in two steps: its facts, with the run that it belongs to, which MLflow takes one at a time and
does not let change afterwards; then the spans of many traces at once. One that is whole is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from promptflow_lite.connections.store import provider
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Status
from promptflow_lite.evaluation.page.prompts import Prompts
from promptflow_lite.flow.spec import Flow
from promptflow_lite.integrations.mlflow.facts import flow_name, linked_prompts
from promptflow_lite.integrations.mlflow.lines import CREATED_TAG, RUN_TAG, Shared, Trace, trace_of
from promptflow_lite.integrations.mlflow.reach import Store
from promptflow_lite.integrations.mlflow.spans import Teller
from promptflow_lite.runs.events import RunEmit
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import Key, key_of, key_text
from promptflow_lite.runs.redact import redactor
from promptflow_lite.runs.run import Run
from promptflow_lite.settings import settings

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo
    from mlflow.tracing.client import TracingClient

__all__ = ["GROUP", "Progress", "Traces", "each", "found"]

GROUP = 50
"""Traces whose spans are told at once; what Ctrl-C has to wait for."""
_AT_ONCE = 4
"""Requests in flight to a server; a database of this machine takes one after the other."""
_PAGE = 500
_Item = TypeVar("_Item")
_MANY = 200
"""So many take seconds, which are announced."""
_EVERY_S = 5.0
_WHOLE_TAG = "promptflow_lite.whole"
"""Set where the store keeps spans as files: it has no mark of its own for a trace that has them."""
_LOCATION_TAG = "mlflow.trace.spansLocation"


class Progress:
    """Says now and then how far it is.

    Args:
        emit: told.
        total: how many there are.
        what: of what.
    """

    def __init__(self, emit: RunEmit, total: int, what: str) -> None:
        self._emit = emit
        self._total = total
        self._what = what
        self._said = time.monotonic()

    def at(self, done: int) -> None:
        """So many are done."""
        if time.monotonic() - self._said >= _EVERY_S:
            self._said = time.monotonic()
            self._emit(Log(f"MLflow: {done:,} of {self._total:,} {self._what}"))


class Traces:
    """The traces of one run, being told.

    Args:
        store: to which store.
        experiment: in which experiment.
        run: whose lines.
        flow: its flow; `None` where it cannot be read.
        folder: the run's.
        source_run: the MLflow run in which the lines were run; `None` for what a scorer did.
    """

    def __init__(
        self,
        store: Store,
        experiment: str,
        run: Run,
        flow: Flow | None,
        folder: Path,
        *,
        source_run: str | None,
    ) -> None:
        name = flow_name(run)
        self._store = store
        self._experiment = experiment
        self._run = run
        self._shared = Shared(
            run,
            Teller(
                name,
                flow,
                Prompts.of_run(run, folder),
                redactor(provider(settings())),  # a template has passed no journal
            ),
            experiment,
            source_run,
            tags={
                **linked_prompts(run),
                **({"mlflow.trace.sourceScorer": name} if source_run is None else {}),
            },
        )
        self.ids: dict[str, str] = {}
        """By line, such as `7/2`, the trace that was told."""

    def tell(self, records: Records, *, limit: int, emit: RunEmit) -> None:
        """Tell the traces that are missing, those of failed lines first; take back those of lines run again.

        Args:
            records: the run's journal.
            limit: how many lines get a trace at most.
            emit: told how far it is, and how many lines are left out.
        """
        if not limit:
            return
        wanted = _wanted(records, limit)
        if len(wanted) < len(records.entries):
            left = len(records.entries) - len(wanted)
            emit(Log(f"MLflow: {left:,} lines get no trace (PF_TRACES is {limit:,})"))
        known = {info.trace_id: info for info in found(self._store, self._experiment, self._run)}
        whole = {name for name, info in known.items() if _is_whole(info)}
        if len(wanted) - len(whole) > _MANY:
            emit(Log(f"MLflow: a trace for each of {len(wanted):,} lines; Ctrl-C leaves the rest for later"))
        current: set[str] = set()
        progress = Progress(emit, len(wanted), "traces")
        for group in self._groups(records, wanted, whole, current):
            self._tell(group)
            progress.at(len(current))
        stale = [] if len(wanted) < len(records.entries) else sorted(known.keys() - current)
        for at in range(0, len(stale), 100):
            self._store.client.delete_traces(self._experiment, trace_ids=stale[at : at + 100])

    def _groups(
        self, records: Records, wanted: set[Key], whole: set[str], current: set[str]
    ) -> Iterator[list[Trace]]:
        """What is missing, some at a time; `current` grows by every trace that the run should have."""
        group: list[Trace] = []
        for record in records.each():
            if key_of(record) not in wanted:
                continue
            trace_id = f"tr-{self._shared.identity(record):032x}"
            current.add(trace_id)
            self.ids[key_text(key_of(record))] = trace_id
            if trace_id in whole:
                continue
            group.append(trace_of(record, self._shared))
            if len(group) == GROUP:
                yield group
                group = []
        if group:
            yield group

    def _tell(self, group: list[Trace]) -> None:
        from mlflow.tracing.client import TracingClient

        client = TracingClient(self._store.uri)
        infos = list(each(client.start_trace, (trace.info for trace in group), self._store))
        if not _log_spans(client, self._experiment, group):
            for info, trace in zip(infos, group, strict=True):
                _upload(client, info, trace)


def found(store: Store, experiment: str, run: Run, *, source_run: str | None = None) -> Iterator[TraceInfo]:
    """The traces of a run that a store has, without their spans.

    Args:
        store: which store.
        experiment: where the run was told.
        run: ours.
        source_run: MLflow's, for those of its lines only.
    """
    token: str | None = None
    while True:
        page = store.client.search_traces(
            locations=[experiment],
            filter_string=f"tags.`{RUN_TAG}` = '{run.name}'",
            max_results=_PAGE,
            page_token=token,
            include_spans=False,
            **({"run_id": source_run} if source_run is not None else {}),
        )
        for trace in page:
            if trace.info.tags.get(CREATED_TAG) == str(run.created):
                yield trace.info
        token = page.token
        if not token:
            return


def _wanted(records: Records, limit: int) -> set[Key]:
    keys = [*records.keys(Status.Failed), *records.keys(Status.Completed)]
    keys += sorted(records.entries.keys() - set(keys))
    return set(keys[:limit])


def _is_whole(info: TraceInfo) -> bool:
    return _LOCATION_TAG in info.tags or _WHOLE_TAG in info.tags


def each(tell: Callable[[_Item], Any], items: Iterable[_Item], store: Store) -> Iterator[Any]:
    """What came of telling each item, in order: to a server several at once."""
    if not store.uri.startswith("http"):
        yield from map(tell, items)
        return
    with ThreadPoolExecutor(_AT_ONCE, "mlflow") as threads:
        yield from threads.map(tell, items)


def _log_spans(client: TracingClient, experiment: str, group: list[Trace]) -> bool:
    """Whether the store takes spans by themselves: one of files does not."""
    from mlflow.exceptions import RestException

    try:
        client.log_spans(experiment, [span for trace in group for span in trace.spans])
    except NotImplementedError:
        return False
    except RestException as error:
        if "span logging is not supported" in str(error):
            return False
        raise
    return True


def _upload(client: TracingClient, info: TraceInfo, trace: Trace) -> None:
    from mlflow.entities import TraceData

    client._upload_trace_data(info, TraceData(trace.spans))
    client.set_trace_tag(info.trace_id, _WHOLE_TAG, "yes")
