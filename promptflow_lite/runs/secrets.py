"""What of a run's values may be kept? Those of a secret's name are not, unless they only refer to one."""

from __future__ import annotations

import re
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.flow.refs import Ref
from promptflow_lite.runs.run import Run

__all__ = ["masked", "may_be_secret", "refuse_forgotten"]

_MASK = "***"
_NAME = re.compile("key|token|secret|passw|credential|connection_string", re.IGNORECASE)


def may_be_secret(name: str, value: Any) -> bool:
    """Whether a value of that name may be a secret: a text that is no reference."""
    return isinstance(value, str) and bool(_NAME.search(name)) and not Ref.is_reference(value)


def masked(run: Run) -> dict[str, Any]:
    """The fields of a run that may hold secrets, as they may be kept."""
    return {
        "environment_variables": _masked(run.environment_variables),
        "init": _masked(run.init),
    }


def refuse_forgotten(run: Run) -> None:
    """Nothing, where the run has all of its values.

    Raises:
        InputError: some were not kept when the run was, and are not given again (code `variable-not-kept`).
    """
    forgotten = [name for name, value in run.environment_variables.items() if value == _MASK]
    if forgotten:
        raise InputError(
            f"the values of these variables were not kept: {', '.join(forgotten)}",
            code="variable-not-kept",
            hint=f"give them again, as in --environment-variables {forgotten[0]}=...",
        )
    if _MASK in _texts(run.init):
        raise InputError(
            "a secret in the init of this run was not kept",
            code="variable-not-kept",
            hint="name a connection in it, or write ${env:NAME}, and start a new run",
        )


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, name) for item in value]
    return _MASK if may_be_secret(name, value) else value


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return {text for part in parts for text in _texts(part)}
    return {value} if isinstance(value, str) else set()
