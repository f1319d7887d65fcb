"""Which environment variables may a flow set, and to what text?

Prompt flow (flow-language 1.11) lets a flow set anything; a flow file is read before its author is trusted,
so what steers the process, the network or our own settings is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["is_forbidden", "text_of"]

_FORBIDDEN = re.compile(
    r"PATH|LD_.*|DYLD_.*|PYTHON.*|BROWSER|(HTTPS?|ALL|NO|FTP)_PROXY|PF_.*|PROMPTFLOW_.*|SHELL|IFS|BASH_ENV|ENV",
    re.IGNORECASE,
)


def is_forbidden(name: str) -> bool:
    """Whether a flow may not set the variable.

    >>> [is_forbidden(name) for name in ("PATH", "https_proxy", "MY_PATH")]
    [True, True, False]
    """
    return _FORBIDDEN.fullmatch(name) is not None


def text_of(value: Any) -> str:
    """The text a variable is set to: JSON for lists and mappings, `str()` for the rest, as in Prompt flow."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
