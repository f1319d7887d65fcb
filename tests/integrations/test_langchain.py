"""A flow as a Runnable of LangChain's."""

from __future__ import annotations

import asyncio
import operator
from functools import reduce
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import collect_runs
from pydantic import ValidationError

from promptflow_lite.errors import FlowError, InputError, NodeError
from promptflow_lite.integrations.langchain import as_runnable
from tests.flows_of import echo, write

PARTS = """\
inputs:
  text: {type: string}
outputs:
  answer: {type: string, reference: "${say.output}"}
  asked: {type: string, reference: "${inputs.text}"}
nodes:
- name: say
  type: python
  source: {type: code, path: say.py}
  inputs: {text: "${inputs.text}"}
"""
SAY = """\
from promptflow_lite import tool


@tool
def say(text: str):
    for part in text.split():
        if part == "bad":
            raise ValueError("cannot say that")
        yield part
"""


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    return write(tmp_path / "parts", dag=PARTS, say__py=SAY)


async def test_a_flow_gives_its_outputs_by_name(tmp_path: Path) -> None:
    runnable = as_runnable(echo(tmp_path))
    assert await asyncio.to_thread(runnable.invoke, {"text": "a", "times": 2}) == {"text": "aa"}
    assert await runnable.ainvoke({"text": "b"}) == {"text": "b"}


def test_inputs_are_typed_by_the_flow(tmp_path: Path) -> None:
    schema = as_runnable(echo(tmp_path)).get_input_schema()
    assert schema(text="a").model_dump() == {"text": "a", "times": 1}
    with pytest.raises(ValidationError):
        schema(text="a", times="three")
    assert list(as_runnable(echo(tmp_path)).get_output_schema().model_fields) == ["text"]


def test_a_wrong_input_and_a_failing_node_raise(tmp_path: Path) -> None:
    runnable = as_runnable(echo(tmp_path))
    with pytest.raises(InputError, match=r"inputs\.text: missing"):
        runnable.invoke({"times": 2})
    with pytest.raises(NodeError, match="cannot echo that"):
        runnable.invoke({"text": "bad"})


def test_a_wrong_flow_is_told_when_the_runnable_is_made(tmp_path: Path) -> None:
    echo(tmp_path)
    (tmp_path / "echo.py").write_text("x = 1 / 0\n")
    with pytest.raises(FlowError):
        as_runnable(tmp_path)


def test_a_batch_keeps_the_order_and_can_hold_failures(tmp_path: Path) -> None:
    texts = ["a", "bad", "c"]
    done = as_runnable(echo(tmp_path)).batch([{"text": text} for text in texts], return_exceptions=True)
    assert [done[0], done[2]] == [{"text": "a"}, {"text": "c"}]
    assert isinstance(done[1], NodeError)


def test_a_stream_gives_text_as_it_comes_and_the_other_outputs_last(parts: Path) -> None:
    runnable = as_runnable(parts)
    streamed = list(runnable.stream({"text": "one two"}))
    assert streamed == [{"answer": "one"}, {"answer": "two"}, {"asked": "one two"}]
    assert reduce(operator.add, streamed) == runnable.invoke({"text": "one two"})


async def test_an_async_stream_ends_in_the_error_of_its_node(parts: Path) -> None:
    seen = []
    with pytest.raises(NodeError, match="cannot say that"):
        async for part in as_runnable(parts).astream({"text": "one bad"}):
            seen.append(part)
    assert seen == [{"answer": "one"}]


def test_a_stream_can_be_left(parts: Path) -> None:
    for part in as_runnable(parts).stream({"text": "one two three"}):
        assert part == {"answer": "one"}
        break


async def test_a_flow_composes_and_is_seen_by_callbacks(parts: Path) -> None:
    shout = RunnableLambda(lambda found: found["answer"].upper())
    with collect_runs() as seen:
        assert await (as_runnable(parts) | shout).ainvoke({"text": "a b"}) == "AB"
    assert [child.name for child in seen.traced_runs[0].child_runs] == ["parts", "RunnableLambda"]
