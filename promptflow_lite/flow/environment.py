"""Which environment variables may a flow set, and to what text?

Prompt flow (flow-language 1.11) lets a flow set anything; a flow file is read before its author is trusted,
so what steers the process, the network or our own settings is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["has_no_effect", "is_forbidden", "text_of"]

_FORBIDDEN = re.compile(
    r"PATH|LD_.*|DYLD_.*|PYTHON.*|BROWSER|(HTTPS?|ALL|NO|FTP)_PROXY|PF_.*|PROMPTFLOW_.*|SHELL|IFS|BASH_ENV|ENV",
    re.IGNORECASE,
)

_WITHOUT_EFFECT = frozenset(
    {
        "PF_BATCH_METHOD",
        "PF_BATCH_TIMEOUT_SEC",
        "PF_DISABLE_TRACING",
        "PF_LINE_TIMEOUT_SEC",
        "PF_LOGGING_LEVEL",
        "PF_LOG_DATETIME_FORMAT",
        "PF_LOG_FORMAT",
        "PF_LONG_RUNNING_LOGGING_INTERVAL",
        "PF_SKIP_SERIALIZATION_CHECK",
        "PF_USE_ASYNC",
        "PF_WORKER_COUNT",
    }
)


def is_forbidden(name: str) -> bool:
    """Whether a flow may not set the variable.

    >>> [is_forbidden(name) for name in ("PATH", "https_proxy", "MY_PATH")]
    [True, True, False]
    """
    return _FORBIDDEN.fullmatch(name) is not None and not has_no_effect(name)


def has_no_effect(name: str) -> bool:
    """Whether the variable is a setting of Prompt flow that means nothing here; it is passed over.

    >>> [has_no_effect(name) for name in ("PF_LINE_TIMEOUT_SEC", "PF_HOME")]
    [True, False]
    """
    return name in _WITHOUT_EFFECT


def text_of(value: Any) -> str:
    """The text a variable is set to: JSON for lists and mappings, `str()` for the rest, as in Prompt flow."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
