"""Which inputs of an llm node are parameters of the call, and what is sent for them?

Prompt flow: promptflow-tools `openai.py`, `aoai.py` (flow-language 3.1). Every other input is a variable of
the template. `max_completion_tokens`, which newer models of OpenAI ask for, is ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["CHAT", "COMPLETION", "DEFAULTS", "MODEL_NAMES", "Parameter"]

Parameter = Callable[[Any], Any]
"""Reads a value; `None` sends nothing. Raises ValueError with what was expected."""

MODEL_NAMES = ("deployment_name", "model")


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(f"expected a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected a number, got {value!r}") from None


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"expected a whole number, got {value!r}")
    return int(number)


def _tokens(value: Any) -> int | None:
    return None if str(value).lower() == "inf" else _whole(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ValueError(f"expected true or false, got {value!r}")


def _decoded(value: Any) -> Any:
    """A value, or the JSON text of one, as Prompt flow's editor writes it."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"expected JSON, got {value[:60]!r} ({error})") from None
    return value


def _list(value: Any) -> list[Any]:
    decoded = _decoded(value)
    if not isinstance(decoded, list):
        raise ValueError(f"expected a list or its JSON text, got {value!r}")
    return decoded


def _mapping(value: Any) -> dict[str, Any]:
    decoded = _decoded(value)
    if not isinstance(decoded, dict):
        raise ValueError(f"expected an object or its JSON text, got {value!r}")
    return decoded


def _choice(value: Any) -> Any:
    decoded = _decoded(value)
    if not isinstance(decoded, str | dict):
        raise ValueError(f"expected a word such as 'auto' or an object, got {value!r}")
    return decoded


def _stop(value: Any) -> Any:
    decoded = _decoded(value)
    if not isinstance(decoded, str | list):
        raise ValueError(f"expected a text or a list of texts, got {value!r}")
    return decoded


_COMMON: Mapping[str, Parameter] = {
    "temperature": _number,
    "top_p": _number,
    "stop": _stop,
    "max_tokens": _tokens,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "logit_bias": _mapping,
    "user": str,
    "seed": _whole,
}

CHAT: Mapping[str, Parameter] = MappingProxyType(
    {
        **_COMMON,
        "max_completion_tokens": _tokens,
        "response_format": _mapping,
        "tools": _list,
        "tool_choice": _choice,
        "functions": _list,
        "function_call": _choice,
    }
)
"""The parameters of `chat/completions`."""

COMPLETION: Mapping[str, Parameter] = MappingProxyType(
    {**_COMMON, "suffix": str, "n": _whole, "logprobs": _whole, "echo": _flag, "best_of": _whole}
)
"""The parameters of `completions`."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "chat": {"temperature": 1.0, "top_p": 1.0},
        "completion": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 16},
    }
)
"""What Prompt flow sends where a node says nothing; an explicit `null` leaves it to the endpoint."""
