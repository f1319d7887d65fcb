"""What a run has spent is known, bounded, and estimated before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import FlowError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.estimate import ANSWER, Range, estimate
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.job import Line
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.prices import Price, Prices
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore
from promptflow_lite.runs.tokens import counter
from promptflow_lite.settings import settings
from promptflow_lite.tools.bind import bind
from promptflow_lite.tools.scope import Usage
from tests.model_server import ModelServer
from tests.runs.flows import Connections, write_rows

TWO = """\
inputs:
  text: {type: string}
outputs:
  answer: {type: string, reference: "${second.output}"}
nodes:
- name: first
  type: llm
  api: chat
  connection: mine
  source: {type: code, path: ask.jinja2}
  inputs: {model: dear, max_tokens: 9, text: "${inputs.text}"}
- name: second
  type: llm
  api: chat
  connection: mine
  source: {type: code, path: ask.jinja2}
  inputs: {model: cheap, text: "${first.output}"}
"""
PRICES = "dear: {input: 10, output: 20}\ncheap: {input: 1, output: 2, cached_input: 0.5}\n"
TEXTS = [f"one two {number}" for number in range(20)]
# The scripted model counts words: `first` reads 3 and says 4 ("echo: one two 7"), `second` reads these 4.
A_LINE = (3 * 10 + 4 * 20 + 4 * 1 + 5 * 2) / 1e6


def flow(folder: Path) -> str:
    folder.mkdir()
    (folder / "flow.dag.yaml").write_text(TWO)
    (folder / "ask.jinja2").write_text("user:\n{{text}}\n")
    return str(folder)


def mine(server: ModelServer) -> Connections:
    return Connections(OpenAIConnection("mine", api_key="k", base_url=server.base_url))


async def run_over(
    server: ModelServer, folder: Path, events: list[RunEvent] | None = None, **asked: Any
) -> Run:
    data = write_rows(folder / "data.jsonl", [{"text": text} for text in TEXTS])
    return await run_batch(
        Run(name="it", flow=flow(folder / "flow"), data=str(data), **asked),
        store=RunStore(folder / "runs"),
        connections=mine(server),
        emit=(events if events is not None else []).append,
    )


@pytest.fixture
def prices(home: Path) -> None:
    (home / "prices.yaml").write_text(PRICES)


@pytest.mark.usefixtures("prices")
async def test_tokens_and_cost_are_known_of_nodes_lines_and_the_run(tmp_path: Path) -> None:
    with ModelServer() as server:
        run = await run_over(server, tmp_path)
    [record, *_] = Records.read(tmp_path / "runs" / "it" / JOURNAL).each()
    first, second = record["node_runs"]["first"]["usage"], record["node_runs"]["second"]["usage"]
    assert first["cost"] == pytest.approx((3 * 10 + 4 * 20) / 1e6)
    assert second["cost"] == pytest.approx((4 * 1 + 5 * 2) / 1e6)
    assert record["usage"]["cost"] == pytest.approx(A_LINE)
    assert run.cost == pytest.approx(20 * A_LINE)
    assert run.usage["total_tokens"] == 20 * (3 + 4 + 4 + 5)
    assert run.prices == ["prices.yaml"]


async def test_a_model_without_a_price_is_said_once(tmp_path: Path) -> None:
    events: list[RunEvent] = []
    with ModelServer() as server:
        run = await run_over(server, tmp_path, events)
    assert run.cost is None
    assert run.usage["calls"] == 40
    notes = [event.text for event in events if isinstance(event, Log) and "no price is known" in event.text]
    assert sorted(note.split("'")[1] for note in notes) == ["cheap", "dear"]


@pytest.mark.usefixtures("prices")
@pytest.mark.parametrize("budget", [{"max_tokens": 100}, {"max_cost": 6 * A_LINE}])
async def test_a_run_stops_at_its_budget_and_goes_on_with_a_larger_one(
    tmp_path: Path, budget: dict[str, Any]
) -> None:
    with ModelServer() as server:
        run = await run_over(server, tmp_path, concurrency=2, **budget)
        assert run.status is Status.Failed
        assert run.error is not None
        assert run.error["code"] == "budget"
        [name] = budget
        assert f"pf run resume it --{name.replace('_', '-')}" in run.error["message"]
        assert 6 <= run.lines.completed <= 6 + 2 + 1
        again = await resume_batch(
            "it",
            store=RunStore(tmp_path / "runs"),
            connections=mine(server),
            changes={name: budget[name] * 100},
        )
        assert again.lines.completed == 20
        assert server.count == 40
    assert again.cost == pytest.approx(20 * A_LINE)


@pytest.mark.usefixtures("prices")
async def test_an_answer_of_the_cache_costs_nothing_and_is_counted(tmp_path: Path) -> None:
    with ModelServer() as server:
        await run_over(server, tmp_path, cache=True)
        (tmp_path / "b").mkdir()
        run = await run_over(server, tmp_path / "b", cache=True)
        assert server.count == 40
    assert (run.usage["calls"], run.usage["reused"], run.cost) == (0, 40, None)
    assert run.lines.completed == 20


async def test_each_repeat_has_an_answer_of_its_own(tmp_path: Path) -> None:
    with ModelServer() as server:
        run = await run_over(server, tmp_path, cache=True, repeats=3)
        assert server.count == 3 * 40
    assert run.usage["reused"] == 0


def test_tokens_that_the_provider_had_kept_cost_less() -> None:
    price = Price(input=10, output=20, cached_input=1, source="x")
    assert price.of(Usage(1000, 100, 1, cached_tokens=600)) == pytest.approx((4000 + 600 + 2000) / 1e6)


def test_the_table_knows_the_models_of_the_endpoint_that_was_asked() -> None:
    prices = Prices()
    known = prices.find("gpt-4o-mini-2024-07-18", "https://api.openai.com/v1")
    assert known is not None
    assert (known.input, known.output, known.cached_input) == pytest.approx((0.15, 0.60, 0.075))
    assert prices.find("gpt-4o-mini", "http://127.0.0.1:1/v1") is not None
    assert prices.find("my-own-model", "http://127.0.0.1:1/v1") is None
    embedded = prices.find("qwen2.5-0.5b", "local")
    assert embedded is not None
    assert embedded.of(Usage(1000, 1000)) == 0


def test_the_users_prices_go_over_the_tables_and_hold_for_dated_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("gpt-4o: {input: 7, output: 8}\n")
    monkeypatch.setenv("PF_PRICES", str(path))
    settings.cache_clear()
    prices = Prices.of(settings())
    for model in ("gpt-4o", "gpt-4o-2024-08-06"):
        assert prices.find(model, None) == Price(7.0, 8.0, 7.0, "mine.yaml")
    other = prices.find("gpt-4o-mini", None)
    assert other is not None
    assert other.input == 0.15


def test_every_complaint_about_a_file_of_prices_has_its_place(home: Path) -> None:
    (home / "prices.yaml").write_text("a: {input: 1, output: 2}\nb: 3\nc: {input: -1, ouput: 2}\n")
    with pytest.raises(FlowError) as caught:
        Prices.of(settings())
    found = [(d.code, d.mark.line if d.mark else 0) for d in caught.value.diagnostics]
    assert found == [("bad-prices", 2), ("bad-prices", 3), ("bad-prices", 3), ("bad-prices", 3)]


@pytest.mark.usefixtures("prices")
def test_an_estimate_says_what_is_certain_and_what_is_at_most(tmp_path: Path) -> None:
    connections = Connections(OpenAIConnection("mine", api_key="k", base_url="http://127.0.0.1:9/v1"))
    bound = bind(load_flow(flow(tmp_path / "flow")), connections)
    lines = [Line(number, {"text": "x" * 40}) for number in range(10)]
    found = estimate(bound, lines, Prices.of(settings()))
    first, second = found.nodes["first (dear)"], found.nodes["second (cheap)"]
    assert first.calls == second.calls == Range(10, 10)
    assert first.prompt_tokens == Range(170, 170)  # 40 letters are 10 tokens, a message 4, an answer 3
    assert first.completion_tokens == Range(10, 90)
    assert second.prompt_tokens == Range(70, 160)  # between nothing and what `first` may say at most
    assert second.completion_tokens == Range(10, 10 * ANSWER)
    assert first.cost is not None
    assert first.cost.low == pytest.approx((170 * 10 + 10 * 20) / 1e6)
    assert first.cost.high == pytest.approx((170 * 10 + 90 * 20) / 1e6)
    assert any("max_tokens" in note for note in found.notes)


def test_tokens_of_japanese_are_not_counted_as_latin_ones() -> None:
    count, is_exact = counter("no-such-model")
    assert not is_exact
    assert count("hello world!") == 3
    assert count("こんにちは世界") == 7
    assert count("Привет") == 3
