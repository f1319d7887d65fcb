"""A run from end to end: lines, aggregation, evaluation, stopping, going on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.engine.events import LineEnded
from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.errors import InputError
from promptflow_lite.evaluation import summary
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.events import RunEvent, RunStarted
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.stop import Stop
from promptflow_lite.runs.store import RunStore
from tests.model_server import ModelServer
from tests.runs.flows import Connections, read_rows, score_flow, shout_flow, write_rows

LLM = """\
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
  inputs: {model: scripted, text: "${inputs.text}"}
"""
TEXTS = [f"t{number}" for number in range(12)]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return shout_flow(tmp_path / "shout")


def _data(folder: Path, texts: Sequence[str] = TEXTS) -> str:
    return str(write_rows(folder / "data.jsonl", [{"text": text} for text in texts]))


def _calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().split() if path.exists() else []


async def _run(store: RunStore, run: Run, **how: Any) -> Run:
    return await run_batch(run, store=store, connections=Connections(), **how)


async def test_a_run_keeps_every_line_and_its_metrics(tmp_path: Path, store: RunStore, flow: Path) -> None:
    run = await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path)))
    assert run.status is Status.Completed
    assert run.lines == LineCounts(total=12, completed=12)
    assert run.metrics == {"count": 12, "letters": sum(2 * len(text) for text in TEXTS)}
    assert store.load("a") == run
    folder = store.folder("a")
    assert read_rows(folder / "outputs.jsonl") == [
        {"line_number": number, "shout": text.upper() * 2} for number, text in enumerate(TEXTS)
    ]
    assert json.loads((folder / "metrics.json").read_text()) == run.metrics
    assert (
        json.loads((folder / "aggregation.json").read_text())["node_runs"]["count"]["status"] == "Completed"
    )
    assert (folder / "snapshot" / "shout.py").is_file()
    assert len(list(folder.iterdir())) <= 10


async def test_a_failed_line_is_kept_with_its_reason_and_stops_nothing(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    data = _data(tmp_path, ["a", "bad", "c", "bad2"])
    run = await _run(store, Run(name="a", flow=str(flow), data=data))
    assert (run.status, run.lines) == (Status.Completed, LineCounts(total=4, completed=2, failed=2))
    assert list(run.failures.values()) == [2]
    assert run.metrics["count"] == 2
    assert [row["line_number"] for row in read_rows(store.folder("a") / "outputs.jsonl")] == [0, 2]
    assert "cannot shout bad2" in (store.folder("a") / "log.txt").read_text()


async def test_an_input_of_the_wrong_type_fails_its_line(tmp_path: Path, store: RunStore, flow: Path) -> None:
    data = str(
        write_rows(tmp_path / "d.jsonl", [{"text": "a", "times": "three"}, {"text": "b", "times": "1"}])
    )
    run = await _run(store, Run(name="a", flow=str(flow), data=data))
    assert run.lines == LineCounts(total=2, completed=1, failed=1)
    assert _calls(tmp_path) == ["b"]


async def test_what_is_wrong_with_the_request_is_said_before_anything_runs(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    data = str(write_rows(tmp_path / "d.jsonl", [{"text": "a"}, {"txt": "b"}]))
    with pytest.raises(InputError):
        await _run(store, Run(name="a", flow=str(flow), data=data))
    assert store.names() == []
    assert _calls(tmp_path) == []


async def test_no_more_lines_are_in_flight_than_asked_for(tmp_path: Path, store: RunStore) -> None:
    slow = shout_flow(tmp_path / "slow", seconds=0.05)
    began = asyncio.get_running_loop().time()
    await _run(store, Run(name="a", flow=str(slow), data=_data(tmp_path), concurrency=4))
    assert asyncio.get_running_loop().time() - began >= 0.15  # 12 lines, 4 at a time


async def test_a_line_is_told_of_only_after_it_is_in_the_journal(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    seen: list[bool] = []

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded):
            numbers = [row["line_number"] for row in read_rows(store.folder("a") / "lines.jsonl")]
            seen.append(event.result.line_number in numbers)

    await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path)), emit=listen)
    assert seen == [True] * 12


async def test_only_the_first_lines(tmp_path: Path, store: RunStore, flow: Path) -> None:
    run = await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path), limit=3))
    assert run.lines == LineCounts(total=3, completed=3)


async def test_too_many_failures_stop_the_run(tmp_path: Path, store: RunStore, flow: Path) -> None:
    data = _data(tmp_path, ["bad"] * 500)
    run = await _run(store, Run(name="a", flow=str(flow), data=data, concurrency=1, error_threshold=2))
    assert run.status is Status.Failed
    assert run.error is not None
    assert run.error["code"] == "error-threshold"
    assert 2 < run.lines.failed < 8


async def test_an_aggregation_that_breaks_is_seen_and_can_be_done_again(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    good = (flow / "count.py").read_text()
    (flow / "count.py").write_text(good.replace("return texts", "raise ValueError('no')"))
    run = await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path)))
    assert (run.status, run.metrics["count"]) == (Status.Failed, 12)
    (flow / "count.py").write_text(good)
    again = await resume_batch("a", store=store, connections=Connections(), force=True)
    assert again.status is Status.Completed
    assert len(_calls(tmp_path)) == 12


# Evaluation


async def _scored(tmp_path: Path, store: RunStore, **how: Any) -> Run:
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    asked = Run(name="score", flow=str(score_flow(tmp_path / "score")), run="base", column_mapping=mapping)
    return await _run(store, asked, **how)


async def test_a_run_is_scored_line_by_line(tmp_path: Path, store: RunStore, flow: Path) -> None:
    await _run(store, Run(name="base", flow=str(flow), data=_data(tmp_path, ["a", "bad", "c"])))
    run = await _scored(tmp_path, store)
    assert run.lines == LineCounts(total=3, completed=2, skipped=1)
    assert run.data == str(tmp_path / "data.jsonl")
    folder = store.folder("score")
    assert read_rows(folder / "outputs.jsonl") == [
        {"line_number": 0, "right": 1},
        {"line_number": 2, "right": 1},
    ]
    assert json.loads((folder / "skipped.json").read_text()) == {"1": "the line failed in base"}


async def test_an_evaluation_without_aggregation_is_summarized(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    await _run(store, Run(name="base", flow=str(flow), data=_data(tmp_path, ["a", "bad", "c"])))

    def summarize(lines: Sequence[LineResult]) -> dict[str, Any]:
        return {"right": sum(line.outputs["right"] for line in lines), "scored": len(lines), "skipped": 0}

    run = await _scored(tmp_path, store, summarize=summarize)
    assert run.metrics == {"right": 2, "scored": 2, "skipped": 1, "failed": 0}


async def test_what_an_evaluator_counts_is_what_the_run_counts(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    await _run(store, Run(name="base", flow=str(flow), data=_data(tmp_path, ["a", "bad", "c", "d", "e"])))
    grader = score_flow(tmp_path / "score")
    (grader / "score.py").write_text(
        "from promptflow_lite import tool\n\n\n@tool\n"
        "def score(answer: str, truth: str) -> object:\n"
        "    return {'a': 1, 'c': None}[truth] if truth != 'e' else 0\n"
    )
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    asked = Run(name="score", flow=str(grader), run="base", column_mapping=mapping)
    run = await _run(store, asked, summarize=summary.of)
    # a and e are scored, c has nothing to score, bad failed before, d makes the grader fail
    assert run.lines == LineCounts(total=5, completed=2, failed=1, skipped=2)
    assert run.metrics == {"right": 0.5, "scored": 2, "skipped": 2, "failed": 1}


async def test_lines_that_take_too_long_in_all_are_left_to_a_resume(tmp_path: Path, store: RunStore) -> None:
    slow = shout_flow(tmp_path / "slow", seconds=0.1)
    asked = Run(name="a", flow=str(slow), data=_data(tmp_path), concurrency=2, batch_timeout_s=0.25)
    run = await _run(store, asked)
    assert run.error is not None
    assert (run.status, run.error["code"]) == (Status.Failed, "batch-timeout")
    assert 0 < run.lines.completed == len(_calls(tmp_path)) < 12
    changes = {"batch_timeout_s": None}
    resumed = await resume_batch("a", store=store, connections=Connections(), changes=changes)
    assert (resumed.status, resumed.lines.completed) == (Status.Completed, 12)


async def test_a_row_that_runs_again_is_a_line_of_its_own(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    run = await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path, ["a", "b"]), repeats=3))
    assert run.lines == LineCounts(total=6, completed=6)
    assert run.metrics["count"] == 6
    assert read_rows(store.folder("a") / "outputs.jsonl") == [
        {"line_number": number, "repeat": repeat, "shout": text * 2}
        for number, text in enumerate("AB")
        for repeat in range(3)
    ]
    scored = await _run(
        store,
        Run(
            name="score",
            flow=str(score_flow(tmp_path / "score")),
            run="a",
            column_mapping={"answer": "${run.outputs.shout}", "truth": "${data.text}"},
        ),
    )
    assert scored.lines == LineCounts(total=6, completed=6)


async def test_a_repeated_run_goes_on_with_the_repeats_that_are_missing(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    asked = Run(name="a", flow=str(flow), data=_data(tmp_path, ["a", "b"]), repeats=3)
    await _run(store, asked)
    journal = store.folder("a") / "lines.jsonl"
    kept = [line for line in journal.read_text().splitlines(keepends=True) if '"repeat":1' not in line]
    assert len(kept) == 4
    journal.write_text("".join(kept))
    store.save(store.load("a").model_copy(update={"status": Status.Canceled}))
    resumed = await resume_batch("a", store=store, connections=Connections())
    assert resumed.lines == LineCounts(total=6, completed=6)
    assert len(_calls(tmp_path)) == 8


async def test_data_that_changes_while_it_runs_ends_the_run_and_is_said(
    tmp_path: Path, store: RunStore
) -> None:
    flow = shout_flow(tmp_path / "slow", seconds=0.1)
    rows = [{"text": text, "more": "x" * 100_000} for text in TEXTS]
    data = write_rows(tmp_path / "data.jsonl", rows)

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded) and data.stat().st_size > 1_000_000:
            write_rows(data, rows[:1])

    with pytest.raises(InputError) as caught:
        await _run(store, Run(name="a", flow=str(flow), data=str(data), concurrency=1), emit=listen)
    assert caught.value.code == "data-changed"
    run = store.load("a")
    assert (run.status, run.error and run.error["code"]) == (Status.Failed, "data-changed")
    assert 0 < run.lines.completed < 12
    write_rows(data, rows)
    resumed = await resume_batch("a", store=store, connections=Connections())
    assert (resumed.status, resumed.lines.completed) == (Status.Completed, 12)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"txt": "a"}', "no column 'text'; it has: txt; map it, as in --column-mapping"),
        ('{"text": "a"}\n{}', "1 of 2 whole rows have no 'text' for the input 'text'"),
    ],
)
async def test_bad_records_and_missing_columns_are_told_at_once(
    tmp_path: Path, store: RunStore, row: str, told: str
) -> None:
    flow = shout_flow(tmp_path / "shout")
    path = tmp_path / "data.jsonl"
    path.write_text(f"{row}\nno JSON\n[1]\n")
    with pytest.raises(InputError) as caught:
        await _run(store, Run(name="a", flow=str(flow), data=str(path)))
    columns, *records = caught.value.message.splitlines()
    assert told in columns
    first = row.count("\n") + 2
    assert [record.split(": ")[0] for record in records] == [f"{path}:{first}", f"{path}:{first + 1}"]
    assert caught.value.code == "bad-data"
    assert _calls(tmp_path) == []


async def test_bad_records_are_skipped_when_asked_and_counted(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n{"txt": "b"}\n{"text": "c"}\n')
    run = await _run(store, Run(name="a", flow=str(flow), data=str(path), skip_bad_lines=True))
    assert run.lines == LineCounts(total=4, completed=2, skipped=2)
    skipped = json.loads((store.folder("a") / "skipped.json").read_text())
    assert [f"d.jsonl:{n}" in skipped[key] for n, key in ((2, "1"), (3, "2"))] == [True, True]


async def test_data_that_changed_since_the_base_run_is_not_joined(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    await _run(store, Run(name="base", flow=str(flow), data=_data(tmp_path)))
    _data(tmp_path, TEXTS[::-1])
    with pytest.raises(InputError) as caught:
        await _scored(tmp_path, store)
    assert caught.value.code == "data-changed"


# Stopping and going on


async def test_a_run_that_is_asked_to_stop_finishes_what_is_in_flight(
    tmp_path: Path, store: RunStore
) -> None:
    slow = shout_flow(tmp_path / "slow", seconds=0.1)
    stop = Stop()

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded):
            stop.ask("canceled")

    asked = Run(name="a", flow=str(slow), data=_data(tmp_path), concurrency=3)
    run = await _run(store, asked, stop=stop, emit=listen)
    assert run.status is Status.Canceled
    assert run.lines.completed == len(_calls(tmp_path)) < 12
    resumed = await resume_batch("a", store=store, connections=Connections())
    assert (resumed.status, resumed.lines.completed) == (Status.Completed, 12)
    assert sorted(_calls(tmp_path)) == sorted(TEXTS)
    assert resumed.metrics["count"] == 12


async def test_lines_in_flight_get_only_so_much_time(tmp_path: Path, store: RunStore) -> None:
    stuck = shout_flow(tmp_path / "stuck", seconds=60)
    stop = Stop(grace_s=0.1)

    def listen(event: RunEvent) -> None:
        if isinstance(event, RunStarted):
            asyncio.get_running_loop().call_later(0.1, stop.ask, "canceled")

    async with asyncio.timeout(10):
        run = await _run(store, Run(name="a", flow=str(stuck), data=_data(tmp_path)), stop=stop, emit=listen)
    assert (run.status, run.lines.completed) == (Status.Canceled, 0)


async def test_a_canceled_task_leaves_a_canceled_run_that_goes_on(tmp_path: Path, store: RunStore) -> None:
    slow = shout_flow(tmp_path / "slow", seconds=0.1)
    asked = Run(name="a", flow=str(slow), data=_data(tmp_path), concurrency=2)

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded):
            task.cancel()

    task = asyncio.create_task(_run(store, asked, emit=listen))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.load("a").status is Status.Canceled
    before = _calls(tmp_path)
    assert 0 < len(before) < 12
    resumed = await resume_batch("a", store=store, connections=Connections())
    assert resumed.lines.completed == 12
    assert len(_calls(tmp_path)) <= 12 + 2  # those in flight at the cancel run again


async def test_going_on_with_a_finished_run_does_nothing(tmp_path: Path, store: RunStore, flow: Path) -> None:
    run = await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path)))
    assert await resume_batch("a", store=store, connections=Connections()) == run
    assert len(_calls(tmp_path)) == 12


async def test_failed_lines_run_again_when_asked(tmp_path: Path, store: RunStore, flow: Path) -> None:
    await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path, ["a", "bad", "c"])))
    (flow / "shout.py").write_text((flow / "shout.py").read_text().replace('"bad"', '"worse"'))
    run = await resume_batch("a", store=store, connections=Connections(), retry_failed=True, force=True)
    assert run.lines == LineCounts(total=3, completed=3)
    assert run.failures == {}
    assert sorted(_calls(tmp_path)) == ["a", "bad", "bad", "c"]


@pytest.mark.parametrize("part", ["flow", "data"])
async def test_a_change_is_named_before_going_on(
    tmp_path: Path, store: RunStore, flow: Path, part: str
) -> None:
    stop = Stop()
    stop.ask("canceled")
    await _run(store, Run(name="a", flow=str(flow), data=_data(tmp_path)), stop=stop)
    if part == "flow":
        (flow / "shout.py").write_text((flow / "shout.py").read_text() + "\n# changed\n")
    else:
        _data(tmp_path, [*TEXTS, "more"])
    with pytest.raises(InputError) as caught:
        await resume_batch("a", store=store, connections=Connections())
    assert caught.value.code == "run-changed"
    assert f"{part} (" in caught.value.message
    assert ("shout.py" if part == "flow" else "data.jsonl") in caught.value.message
    forced = await resume_batch("a", store=store, connections=Connections(), force=True)
    assert forced.status is Status.Completed


async def test_a_new_run_takes_over_the_completed_lines_of_another(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    data = _data(tmp_path, ["a", "bad", "c"])
    first = await _run(store, Run(name="a", flow=str(flow), data=data))
    second = await _run(store, Run(name="b", flow=str(flow), data=data), reuse=first)
    assert second.lines == first.lines
    assert sorted(_calls(tmp_path)) == ["a", "bad", "bad", "c"]
    with pytest.raises(InputError):
        await _run(store, Run(name="c", flow=str(flow), data=data, limit=1), reuse=first)


async def test_outputs_are_the_same_bytes_whether_interrupted_or_not(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    data = _data(tmp_path)
    await _run(store, Run(name="whole", flow=str(flow), data=data))
    stop = Stop()

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded) and event.result.line_number == 5:
            stop.ask("canceled")

    await _run(store, Run(name="cut", flow=str(flow), data=data, concurrency=1), stop=stop, emit=listen)
    journal = store.folder("cut") / "lines.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    await resume_batch("cut", store=store, connections=Connections())
    for name in ("outputs.jsonl", "metrics.json"):
        assert (store.folder("cut") / name).read_bytes() == (store.folder("whole") / name).read_bytes()


async def test_the_value_of_a_secret_variable_is_not_kept(
    tmp_path: Path, store: RunStore, flow: Path
) -> None:
    variables = {"MY_API_KEY": "sk-very-secret", "REGION": "west"}
    stop = Stop()
    stop.ask("canceled")
    asked = Run(name="a", flow=str(flow), data=_data(tmp_path), environment_variables=variables)
    run = await _run(store, asked, stop=stop)
    assert run.environment_variables == {"MY_API_KEY": "***", "REGION": "west"}
    kept = b"".join(path.read_bytes() for path in store.folder("a").rglob("*") if path.is_file())
    assert b"sk-very-secret" not in kept
    with pytest.raises(InputError) as caught:
        await resume_batch("a", store=store, connections=Connections())
    assert caught.value.code == "variable-not-kept"
    resumed = await resume_batch(
        "a", store=store, connections=Connections(), environment_variables={"MY_API_KEY": "sk-very-secret"}
    )
    assert resumed.status is Status.Completed


# Models


def _llm(folder: Path, server: ModelServer, key: str) -> tuple[Path, Connections]:
    folder.mkdir()
    (folder / "ask.jinja2").write_text("user:\n{{text}}\n")
    (folder / "flow.dag.yaml").write_text(LLM)
    return folder, Connections(OpenAIConnection("mine", base_url=server.base_url, api_key=key))


async def test_tokens_are_counted(tmp_path: Path, store: RunStore) -> None:
    with ModelServer() as server:
        flow, connections = _llm(tmp_path / "llm", server, "sk-right-key")
        asked = Run(name="a", flow=str(flow), data=_data(tmp_path))
        run = await run_batch(asked, store=store, connections=connections)
        assert run.lines.completed == server.count == 12
    assert run.usage["calls"] == 12
    assert run.usage["total_tokens"] == run.usage["prompt_tokens"] + run.usage["completion_tokens"] > 0


async def test_a_wrong_key_stops_the_run_at_its_first_lines_and_is_not_kept(
    tmp_path: Path, store: RunStore
) -> None:
    with ModelServer(api_key="sk-right-key") as server:
        flow, connections = _llm(tmp_path / "llm", server, "sk-wrong-key-123456")
        asked = Run(name="a", flow=str(flow), data=_data(tmp_path, TEXTS * 10), concurrency=4)
        run = await run_batch(asked, store=store, connections=connections)
        assert (run.status, run.error and run.error["code"]) == (Status.Failed, "auth")
        assert server.count < 60
        mended = Connections(OpenAIConnection("mine", base_url=server.base_url, api_key="sk-right-key"))
        resumed = await resume_batch("a", store=store, connections=mended, retry_failed=True)
    assert (resumed.status, resumed.lines.completed) == (Status.Completed, 120)


async def test_a_key_that_an_endpoint_echoes_is_not_kept(tmp_path: Path, store: RunStore) -> None:
    with ModelServer("your key is sk-echoed-123456") as server:
        flow, connections = _llm(tmp_path / "llm", server, "sk-echoed-123456")
        await run_batch(
            Run(name="a", flow=str(flow), data=_data(tmp_path)), store=store, connections=connections
        )
    kept = b"".join(path.read_bytes() for path in store.folder("a").rglob("*") if path.is_file())
    assert b"sk-echoed-123456" not in kept
    assert b"your key is ***" in kept
