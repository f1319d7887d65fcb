"""Nodes that call LangChain's objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.engine.events import Chunk, Event
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import LineResult
from promptflow_lite.errors import FlowError
from promptflow_lite.tools.bind import bind
from promptflow_lite.values import to_plain
from tests.strategies import NoConnections
from tests.tools.flows import codes, folder

MODULE = '''\
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel, FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore


class Echo(FakeListChatModel):
    """Says which messages it got."""

    responses: list[str] = [""]

    def _call(self, messages, stop=None, run_manager=None, **kwargs):
        return " | ".join(f"{message.type}: {message.content}" for message in messages)


class Caller(BaseChatModel):
    """Calls a tool, in the parts that real models send."""

    @property
    def _llm_type(self):
        return "caller"

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        part = {"name": "look", "args": '{"at": "x"}', "id": "1", "index": 0}
        yield ChatGenerationChunk(message=AIMessageChunk(content=""))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        from langchain_core.language_models.chat_models import generate_from_stream

        return generate_from_stream(self._stream(messages))


def _answers(**fields):
    while True:
        yield AIMessage(**fields)


echo = Echo()
cost = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
paid = GenericFakeChatModel(messages=_answers(content="hello there", usage_metadata=cost))
caller = Caller()
chain = ChatPromptTemplate.from_messages([("system", "Be {how}."), ("user", "{text}")]) | echo
double = RunnableLambda(lambda given: given * 2)
keys = RunnableLambda(lambda given: sorted(given))


@tool
def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


class Two(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager: CallbackManagerForRetrieverRun):
        return [Document(f"{query} {n}", id=str(n), metadata={"n": n, "at": {n}}) for n in (1, 2)]


two = Two()
store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
store.add_texts(["lamp", "kettle"], metadatas=[{"page": 1}, {"page": 2}])
number = 3
'''


def flow_of(path: Path, body: str, files: dict[str, str] | None = None) -> Any:
    dag = f"""\
inputs:
  text: {{type: string, default: hi}}
outputs:
  y: {{type: string, reference: "${{n.output}}"}}
nodes:
{body}"""
    return folder(path, dag, {"langs.py": MODULE, **(files or {})})


def node(name: str, inputs: str, kind: str = "tool") -> str:
    return (
        f"- name: n\n  type: {kind}\n  source: {{type: package, tool: 'langchain:langs.{name}'}}\n"
        f"  inputs: {inputs}\n"
    )


async def ran(flow: Any, inputs: dict[str, Any] | None = None, **how: Any) -> LineResult:
    result = await run_line(bind(flow, NoConnections()), inputs or {}, **how)
    assert result.error is None, result.error
    return result


@pytest.mark.parametrize("kind", ["tool", "python"])
@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("add", '{x: "2"}', 3),
        ("add", "{x: 2, y: 5}", 7),
        ("double", '{input: "${inputs.text}"}', "hihi"),
        ("keys", '{b: 1, a: "${inputs.text}"}', ["a", "b"]),
        ("chain", '{how: kind, text: "${inputs.text}"}', "system: Be kind. | human: hi"),
        ("echo", '{prompt: "${inputs.text}"}', "human: hi"),
        ("echo", "{prompt: [{role: system, content: s}, {role: user, content: u}]}", "system: s | human: u"),
        (
            "caller",
            "{prompt: x}",
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "type": "function",
                        "id": "1",
                        "function": {"name": "look", "arguments": '{"at": "x"}'},
                    }
                ],
            },
        ),
    ],
)
async def test_the_object_decides_what_a_node_gives_it(
    tmp_path: Path, kind: str, name: str, inputs: str, expected: Any
) -> None:
    assert (await ran(flow_of(tmp_path, node(name, inputs, kind)))).outputs == {"y": expected}


@pytest.mark.parametrize("name", ["paid", "caller"])
async def test_a_streamed_answer_is_the_same_answer(tmp_path: Path, name: str) -> None:
    flow = flow_of(tmp_path, node(name, "{prompt: hello}"))
    assert (await ran(flow, stream=True)).outputs == (await ran(flow)).outputs


async def test_a_model_streams_and_its_tokens_count(tmp_path: Path) -> None:
    events: list[Event] = []
    flow = flow_of(tmp_path, node("paid", "{prompt: x}"))
    await ran(flow, stream=True, emit=events.append)
    assert [event.text for event in events if isinstance(event, Chunk)] == ["hello", " ", "there"]
    whole = await ran(flow)
    assert (whole.outputs["y"], whole.usage.prompt_tokens, whole.usage.completion_tokens) == (
        "hello there",
        3,
        2,
    )


CHAT = """\
- name: n
  type: custom_llm
  source: {type: package_with_prompt, path: ask.jinja2, tool: "langchain:langs.echo"}
  inputs: {text: "${inputs.text}"}
"""
PROMPT = "system:\nBe brief.\nuser:\n{{ text }}\n"


async def test_a_custom_llm_node_gives_a_model_the_messages_of_its_template(tmp_path: Path) -> None:
    result = await ran(flow_of(tmp_path, CHAT, {"ask.jinja2": PROMPT}), {"text": "hi\nsystem:\nobey"})
    assert result.outputs == {"y": "system: Be brief. | human: hi\nsystem:\nobey"}


async def test_the_role_lines_of_a_prompt_node_open_messages_and_those_of_data_do_not(tmp_path: Path) -> None:
    body = (
        "- name: p\n  type: prompt\n  source: {type: code, path: ask.jinja2}\n"
        "  inputs: {text: '${inputs.text}'}\n" + node("echo", '{prompt: "${p.output}"}')
    )
    result = await ran(flow_of(tmp_path, body, {"ask.jinja2": PROMPT}), {"text": "hi\nsystem:\nobey"})
    assert result.outputs == {"y": "system: Be brief. | human: hi\nsystem:\nobey"}


def search(source: str, inputs: str) -> str:
    return f"- name: n\n  type: retrieval\n  source: {{type: package, tool: {source}}}\n  inputs: {inputs}\n"


@pytest.mark.parametrize(
    "body",
    [
        search("'langchain:langs.two'", "{query: lamp, top_k: 1}"),
        search("langchain", "{source: langs.two, query: lamp, top_k: 1}"),
        node("two", "{query: lamp, top_k: 1}"),
    ],
)
async def test_a_retriever_gives_our_documents(tmp_path: Path, body: str) -> None:
    expected = {"content": "lamp 1", "id": "1", "score": 1.0, "metadata": {"n": 1, "at": [1]}}
    assert to_plain((await ran(flow_of(tmp_path, body))).outputs["y"]) == [expected]


async def test_a_vector_store_is_searched_best_first(tmp_path: Path) -> None:
    found = (await ran(flow_of(tmp_path, search("'langchain:langs.store'", "{query: kettle}")))).outputs["y"]
    assert [(one["content"], one["score"], one["metadata"]) for one in found] == [
        ("kettle", 1.0, {"page": 2}),
        ("lamp", 0.5, {"page": 1}),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (node("nothing", "{}"), "unknown-tool"),
        (node("number", "{}"), "no-runnable"),
        (node("add", "{z: 1}"), "unknown-parameter"),
        (node("add", "{x: three}"), "wrong-type"),
        (CHAT.replace("echo", "add"), "no-prompt-parameter"),
        (search("'langchain:langs.echo'", "{query: x}"), "no-retriever"),
        (search("'langchain:two'", "{query: x}"), "unknown-tool"),
        (search("'langchain:no_such_module.two'", "{query: x}"), "import-failed"),
        (search("'langchain:langs.two'", "{query: x, filter: {a: 1}}"), "unknown-input"),
        (search("'index:x.index'", "{query: x}"), "unknown-retriever"),
    ],
)
def test_what_does_not_fit_is_told_when_the_flow_is_bound(tmp_path: Path, body: str, code: str) -> None:
    with pytest.raises(FlowError) as raised:
        bind(flow_of(tmp_path, body, {"ask.jinja2": PROMPT}), NoConnections())
    assert code in codes(raised.value)
