"""Which inputs of an llm node are parameters of the call? Every other one is a variable of its template.

Prompt flow: promptflow-tools `openai.py`, `aoai.py` (flow-language 3.1). `tools.parameters` says how each is
read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["APIS", "MODEL_NAMES", "takes_prompt"]

MODEL_NAMES = frozenset({"deployment_name", "model"})

_SHARED = frozenset(
    {
        "temperature",
        "top_p",
        "stop",
        "max_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "user",
    }
)

APIS = {
    "chat": _SHARED
    | MODEL_NAMES
    | {
        "max_completion_tokens",
        "function_call",
        "functions",
        "tool_choice",
        "tools",
        "response_format",
        "seed",
    },
    "completion": _SHARED | MODEL_NAMES | {"suffix", "n", "logprobs", "echo", "best_of", "seed"},
}
"""By `api`, the names that the call takes."""


def takes_prompt(inputs: Mapping[str, Any], variables: Collection[str]) -> bool:
    """Whether an input named `prompt` takes the place of the node's template, as in Prompt flow.

    Args:
        inputs: of an llm node.
        variables: what its template reads. One that reads `prompt` itself gets it as any other variable.
    """
    return "prompt" not in variables and inputs.get("prompt") not in (None, "")
