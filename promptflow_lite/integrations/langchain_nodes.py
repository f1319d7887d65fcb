"""What does a node call whose source is `langchain:package.module.name`? That object of LangChain's.

Registered as `langchain` among the tool sources. The object decides what its inputs are: a
tool has its arguments, a model a `prompt`, a retriever a `query`; any other Runnable takes what it is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import InputError, ToolError
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.integrations.langchain_retrieval import document_of, imported, retriever_of
from promptflow_lite.prompts.chat import PromptText, compile_chat
from promptflow_lite.tools.prompt import template_of
from promptflow_lite.tools.scope import current
from promptflow_lite.tools.tool import Made, Param, Tool

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

__all__ = ["make"]


def make(path: str, node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """What a node calls: the tool, the model, the retriever or the other Runnable at `path`.

    Raises:
        ToolError: it cannot be imported (`import-failed`), is not there (`unknown-tool`) or is no Runnable
            (`no-runnable`); or a `custom_llm` node names what is no model (`no-prompt-parameter`).
        FlowError: the node's template is not there, or is no template.
    """
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from langchain_core.vectorstores import VectorStore

    found = imported(path, flow.folder)
    if node.type == "custom_llm" and not isinstance(found, BaseLanguageModel):
        message = f"{path}: a custom_llm node calls a model, got {type(found).__name__}"
        raise ToolError(message, code="no-prompt-parameter")
    match found:
        case BaseLanguageModel():
            return Made(_of_model(path, found, node, flow))
        case BaseTool():
            return Made(Tool(path, partial(_use, found), _arguments_of(found), "async"))
        case BaseRetriever() | VectorStore():
            retrieve = retriever_of(found, path).retrieve
            return Made(Tool(path, retrieve, _SEARCHED, "async"))
        case Runnable():
            return Made(Tool(path, partial(_run, found), {}, "async", accepts_extra=True))
        case _:
            raise ToolError(f"{path}: expected a Runnable, got {type(found).__name__}", code="no-runnable")


def _of_model(path: str, model: Runnable[Any, Any], node: Node, flow: Flow) -> Tool:
    if node.type != "custom_llm":
        return Tool(path, lambda prompt: _run(model, input=_prompt(prompt)), _PROMPTED, "async")
    template = compile_chat(*template_of(node, flow))

    def ask(**values: Any) -> Any:
        return _run(model, input=_prompt(template.render_text(values)))

    return Tool(path, ask, {}, "async", accepts_extra=True)


_SEARCHED = {"query": Param("query", "string"), "top_k": Param("top_k", "int", required=False, default=3)}
_PROMPTED = {"prompt": Param("prompt")}


def _prompt(value: Any) -> Any:
    """What a model takes: messages where an author wrote role lines, else the text or messages given."""
    if isinstance(value, PromptText) and value.marks:
        messages = compile_chat("{{ prompt }}", "inputs.prompt").render({"prompt": value})
        return [message.to_openai() for message in messages]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return value
    raise InputError(f"prompt: expected text or messages, got {type(value).__name__}", code="bad-prompt")


async def _use(tool: BaseTool, **arguments: Any) -> Any:
    return _plain(await tool.ainvoke(arguments))


async def _run(runnable: Runnable[Any, Any], **inputs: Any) -> Any:
    """What a Runnable gives: its text part by part where the node's output is wanted so."""
    given = inputs["input"] if list(inputs) == ["input"] else inputs
    scope = current.get()
    if scope is None or not scope.stream:
        answer = await runnable.ainvoke(given)
        _count(answer)
        return _plain(answer)
    parts = runnable.astream(given)
    first = await anext(parts, None)
    while _is_silent(first) and (part := await anext(parts, None)) is not None:
        first = first + part
    if _is_text(first):
        return _texts(first, parts)
    return _plain(await _sum(first, parts))


async def _texts(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[str]:
    _count(first)
    yield _text(first)
    async for part in rest:
        _count(part)
        yield _text(part)


async def _sum(first: Any, rest: AsyncIterator[Any]) -> Any:
    """LangChain's parts add up; of those that do not, the last one counts, as in LangChain."""
    total = first
    async for part in rest:
        try:
            total = total + part
        except TypeError:
            total = part
    _count(total)
    return total


def _is_text(part: Any) -> bool:
    from langchain_core.messages import BaseMessage

    return isinstance(part, str) or (isinstance(part, BaseMessage) and not getattr(part, "tool_calls", None))


def _is_silent(part: Any) -> bool:
    """A message's first part may say neither whether text follows nor whether a call of a tool does."""
    return hasattr(part, "tool_call_chunks") and not part.tool_call_chunks and not part.text


def _text(part: Any) -> str:
    return part if isinstance(part, str) else str(part.text)


def _count(answer: Any) -> None:
    """Count the tokens that a model's message says it cost."""
    scope, usage = current.get(), getattr(answer, "usage_metadata", None)
    if scope is not None and usage:
        scope.usage.calls += 1
        scope.usage.prompt_tokens += usage["input_tokens"]
        scope.usage.completion_tokens += usage["output_tokens"]


def _plain(value: Any) -> Any:
    """LangChain's messages as text, its documents as ours; a message that calls tools in OpenAI's shape."""
    from langchain_core.documents import Document as Theirs
    from langchain_core.messages import BaseMessage, convert_to_openai_messages

    match value:
        case BaseMessage():
            return convert_to_openai_messages(value) if getattr(value, "tool_calls", None) else _text(value)
        case Theirs():
            return document_of(value)
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


_JSON_TYPES = {
    "integer": "int",
    "number": "double",
    "boolean": "bool",
    "string": "string",
    "array": "list",
}


def _arguments_of(tool: BaseTool) -> dict[str, Param]:
    """The arguments that a model would give; those that LangChain injects are not among them."""
    schema: Any = tool.tool_call_schema
    described: Mapping[str, Any] = schema if isinstance(schema, dict) else schema.model_json_schema()
    required = described.get("required", [])
    return {
        name: Param(
            name, _JSON_TYPES.get(about.get("type"), "object"), name in required, about.get("default")
        )
        for name, about in described.get("properties", {}).items()
    }
