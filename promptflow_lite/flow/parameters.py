"""Which inputs of an llm node are parameters of the call? Every other one is a variable of its template.

Prompt flow: promptflow-tools `openai.py`, `aoai.py` (flow-language 3.1). `tools.parameters` says how each is
read.
"""

from __future__ import annotations

__all__ = ["APIS", "MODEL_NAMES"]

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
