"""How is a packed flow loaded? What `model_config` of MLflow's `load_model` may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from promptflow_lite.errors import UserError, near_miss

__all__ = ["ERROR", "Config"]

ERROR = "error"
"""The column that says why a line has no outputs, where `on_error` is `keep`."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How a model is loaded: `mlflow.pyfunc.load_model(uri, model_config={...})`."""

    variant: str = ""
    """`${node.variant}`; empty: the one it was packed with."""
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Overrides by node, as in `{"answer": {"connection": "my_azure"}}`."""
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    """Set over those that the flow sets itself."""
    init: Mapping[str, Any] = field(default_factory=dict)
    """What the class of a flex flow is made with."""
    concurrency: int = 16
    """Lines of one table in flight at once."""
    timeout_s: float = 600.0
    """Seconds a line may take."""
    on_error: str = "raise"
    """`raise` fails the whole table with its first failed line; `keep` gives nulls and the column `error`."""
    outputs: Sequence[str] = ()
    """The outputs to give; empty: all but those for evaluation only."""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Config:
        """The configuration, its keys known and its choices checked.

        Raises:
            UserError: a key or a value is none (code `bad-option`).
        """
        known = {f.name for f in fields(cls)}
        for key in said:
            if key not in known:
                hint = near_miss(key, known) or f"it takes {', '.join(sorted(known))}"
                raise UserError(f"model_config: unknown key {key!r}", code="bad-option", hint=hint)
        made = cls(**said)
        if made.on_error not in ("raise", "keep"):
            raise UserError(
                f"model_config: on_error: expected raise or keep, got {made.on_error!r}", code="bad-option"
            )
        return made
