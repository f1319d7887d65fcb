"""What did the model say? An answer of the API as a node's output, or the reason why it is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.scope import NodeScope

__all__ = ["of_chat", "of_completion", "text_parts"]


def of_chat(answer: Mapping[str, Any], asked: Mapping[str, Any], scope: NodeScope | None) -> Any:
    """The text of the message; the whole message where functions or tools were offered.

    Args:
        answer: a chat completion.
        asked: the request it answers.
        scope: where the tokens are counted.

    Raises:
        ModelError: the model refused, was stopped by a filter, or broke off structured output.
    """
    choice = _choice(answer)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise _garbage("an answer whose choice has no message")
    _count(answer, scope)
    _note(choice.get("finish_reason"), scope)
    _check(choice.get("finish_reason"), message.get("refusal"), asked)
    if "tools" in asked or "functions" in asked:
        return _Said(message)
    content = message.get("content")
    return content if isinstance(content, str) else ""


class _Said(dict[str, Any]):
    """A message as the endpoint sent it; a field that it does not have is `None` to whoever asks for it.

    Prompt flow gives every field that the installed client library knows, mostly null: code that looks for
    `message["tool_calls"]` goes on working, and so does `"function_call" in message`.
    """

    def __missing__(self, name: str) -> None:
        if name not in _FIELDS:
            raise KeyError(name)


_FIELDS = frozenset({"annotations", "audio", "content", "function_call", "refusal", "role", "tool_calls"})


def of_completion(answer: Mapping[str, Any], asked: Mapping[str, Any], scope: NodeScope | None) -> str:
    """The text of the completion.

    Raises:
        ModelError: the model was stopped by a filter.
    """
    choice = _choice(answer)
    if not isinstance(choice.get("text"), str):
        raise _garbage("an answer whose choice has no text")
    _count(answer, scope)
    _note(choice.get("finish_reason"), scope)
    _check(choice.get("finish_reason"), None, asked)
    return str(choice["text"])


async def text_parts(
    events: AsyncIterator[Mapping[str, Any]], asked: Mapping[str, Any], scope: NodeScope | None
) -> AsyncIterator[str]:
    """The parts of a streamed text as they come.

    Raises:
        ModelError: as `of_chat`, after the parts that came; also when the stream ends before the answer does.
    """
    finish_reason: str | None = None
    refusal = ""
    async for event in events:
        if event.get("usage"):
            _count(event, scope)
        choices = event.get("choices")
        if not choices:
            continue
        choice = choices[0]
        delta = choice.get("delta") or choice
        finish_reason = choice.get("finish_reason") or finish_reason
        refusal += delta.get("refusal") or ""
        text = delta.get("content") or delta.get("text")
        if text:
            yield text
    if finish_reason is None:
        raise ModelError("the stream ended before the answer did", code="connection")
    _note(finish_reason, scope)
    _check(finish_reason, refusal, asked)


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _garbage("an answer without choices")
    return choices[0]


def _garbage(what: str) -> ModelError:
    return ModelError(f"the endpoint gave {what}", code="bad-answer", retryable=True)


def _count(answer: Mapping[str, Any], scope: NodeScope | None) -> None:
    if scope is None:
        return
    counted = scope.usage
    counted.calls += 1
    usage = answer.get("usage")
    if isinstance(usage, Mapping):
        counted.prompt_tokens += int(usage.get("prompt_tokens") or 0)
        counted.completion_tokens += int(usage.get("completion_tokens") or 0)
        details = usage.get("prompt_tokens_details")
        if details:
            counted.cached_tokens += int(details.get("cached_tokens") or 0)
    model = answer.get("model")
    if isinstance(model, str):
        scope.model = model


def _note(finish_reason: Any, scope: NodeScope | None) -> None:
    if scope is not None and isinstance(finish_reason, str):
        scope.finish_reason = finish_reason


def _check(finish_reason: Any, refusal: Any, asked: Mapping[str, Any]) -> None:
    if refusal:
        raise ModelError(f"the model refused: {str(refusal)[:500]}", code="refusal")
    if finish_reason == "content_filter":
        raise ModelError("the answer was withheld by the endpoint's content filter", code="content-filter")
    if finish_reason == "length" and _is_structured(asked):
        limit = asked.get("max_tokens") or asked.get("max_completion_tokens")
        raise ModelError(
            "the answer broke off before its JSON was complete",
            code="length",
            hint=f"raise max_tokens (now {limit})" if limit else "the model's context is full",
        )


def _is_structured(asked: Mapping[str, Any]) -> bool:
    return (asked.get("response_format") or {}).get("type") in ("json_schema", "json_object")
