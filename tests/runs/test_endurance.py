"""A run against an endpoint that fails in every way ends with every line done, or failed for good reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.engine.events import Log, Throttled
from promptflow_lite.engine.results import Status
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.events import RunEvent, ignore
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import JOURNAL, RunStore
from tests.model_server import Fault, ModelServer, Reply, admitting, storm
from tests.runs.flows import Connections, write_rows

FLOW = """\
inputs:
  text: {type: string}
outputs:
  answer: {type: string, reference: "${ask.output}"}
nodes:
- name: ask
  type: llm
  api: chat
  connection: mine
  source: {type: code, path: ask.jinja2}
  inputs: {model: gpt-4o-mini, max_tokens: 9, text: "${inputs.text}"}
"""


def flow(folder: Path) -> str:
    folder.mkdir()
    (folder / "flow.dag.yaml").write_text(FLOW)
    (folder / "ask.jinja2").write_text("user:\n{{text}}\n")
    return str(folder)


async def run_over(
    server: ModelServer,
    folder: Path,
    texts: list[str],
    *,
    stop: Stop | None = None,
    emit: Callable[[RunEvent], None] = ignore,
    **asked: Any,
) -> tuple[Run, dict[str, Any]]:
    """The run, and the record of each line by its text."""
    data = write_rows(folder / "data.jsonl", [{"text": text} for text in texts])
    connection = OpenAIConnection("mine", api_key="k", base_url=server.base_url, timeout=2.0)
    store = RunStore(folder / "runs")
    run = await run_batch(
        Run(name="it", flow=flow(folder / "flow"), data=str(data), **asked),
        store=store,
        connections=Connections(connection),
        stop=stop,
        emit=emit,
    )
    records = Records.read(store.folder("it") / JOURNAL).each()
    return run, {record["inputs"]["text"]: record for record in records}


@pytest.mark.parametrize(("share", "lines", "seed"), [(0.05, 200, 1), (0.2, 60, 2), (0.5, 24, 3)])
async def test_every_line_completes_through_a_storm_of_faults(
    tmp_path: Path, share: float, lines: int, seed: int
) -> None:
    texts = [f"t{number}" for number in range(lines)]
    with ModelServer(trouble=storm(share, seed)) as server:
        run, records = await run_over(server, tmp_path, texts, concurrency=64)
        assert server.faulty > share * lines / 2
    assert (run.status, run.lines.completed, run.failures) == (Status.Completed, lines, {})
    assert {text: record["outputs"]["answer"] for text, record in records.items()} == {
        text: f"echo: {text}" for text in texts
    }
    assert run.usage["calls"] == lines


async def test_what_trying_again_cannot_mend_is_the_lines_failure_with_the_providers_facts(
    tmp_path: Path,
) -> None:
    final = {
        "filtered": Fault.error(400, "content_filter", "filtered"),
        "too long": Fault.error(400, "context_length_exceeded", "too long"),
        "poor": Fault.error(429, "insufficient_quota", "pay first"),
        "unknown": Fault.error(404, "model_not_found", "no such model"),
    }
    asked: dict[str, int] = {}

    def trouble(body: Mapping[str, Any], now: float) -> Fault | None:
        text = body["messages"][0]["content"]
        asked[text] = asked.get(text, 0) + 1
        return final.get(text)

    def answer(body: Mapping[str, Any]) -> str | Reply:
        text = body["messages"][0]["content"]
        return Reply(None, refusal="I will not") if text == "refused" else f"echo: {text}"

    with ModelServer(answer, trouble=trouble) as server:
        run, records = await run_over(server, tmp_path, ["fine", *final, "refused"])
    codes = {text: record["error"] and record["error"]["code"] for text, record in records.items()}
    assert codes == {
        "fine": None,
        "filtered": "content-filter",
        "too long": "context-length",
        "poor": "quota",
        "unknown": "model-not-found",
        "refused": "refusal",
    }
    assert records["poor"]["error"]["details"]["status"] == 429
    assert records["filtered"]["error"]["details"]["code"] == "content_filter"
    assert set(asked.values()) == {1}
    assert run.failures == {code: 1 for code in codes.values() if code}


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [(401, "invalid_api_key", "auth"), (429, "insufficient_quota", "quota"), (403, None, "auth")],
)
async def test_what_no_line_can_get_over_stops_the_run_on_its_first_lines(
    tmp_path: Path, status: int, said: str | None, code: str
) -> None:
    with ModelServer(trouble=lambda body, now: Fault.error(status, said, "no")) as server:
        run, _ = await run_over(server, tmp_path, [f"t{number}" for number in range(100)], concurrency=2)
        assert server.count < 12
    assert run.status is Status.Failed
    assert run.error is not None
    assert run.error["code"] == code
    assert "pf run resume it" in run.error["message"]


@pytest.mark.parametrize("workers", [None, 2])
async def test_a_throttled_run_completes_says_so_and_is_seldom_refused(
    tmp_path: Path, workers: int | None
) -> None:
    events: list[RunEvent] = []
    with ModelServer(trouble=admitting(40.0, burst=0.5, retry_after=False)) as server:
        texts = [f"t{number}" for number in range(240)]
        run, _ = await run_over(server, tmp_path, texts, emit=events.append, concurrency=32, workers=workers)
        asked, refused = server.count, server.faulty
    assert run.lines.completed == 240
    assert refused < 0.35 * asked, "the first ten seconds, in which the rate is learned, are in here"
    told = [event for event in events if isinstance(event, Throttled)]
    assert told
    assert told[0].name == "mine"


async def test_a_long_pause_is_said_with_its_end_and_not_to_the_line(tmp_path: Path) -> None:
    stop = Stop(grace_s=0.1)
    events: list[RunEvent] = []

    def hear(event: RunEvent) -> None:
        events.append(event)
        if isinstance(event, Log) and "asks to be left alone until" in event.text:
            stop.ask("canceled")

    with ModelServer(faults=[Fault.error(429, None, "later", retry_after="3600")]) as server:
        run, records = await run_over(server, tmp_path, ["a", "b"], concurrency=1, stop=stop, emit=hear)
    assert run.status is Status.Canceled
    [said] = [event.text for event in events if isinstance(event, Log)]
    assert "mine asks to be left alone until" in said
    assert "pf run resume it" in said
    assert said in (tmp_path / "runs" / "it" / "log.txt").read_text()
    assert records == {}
