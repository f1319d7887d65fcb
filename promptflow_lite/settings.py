"""What does the environment say about this process? Read once, handed down as a value."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from promptflow_lite.errors import UserError

__all__ = ["Settings", "settings"]

_TRACES = 1000
"""A trace costs about 10 ms: the end of a run waits ten seconds for MLflow, and no longer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process. Prompt flow's variable names are honoured where it had one."""

    home: Path
    """`PF_HOME`, or Prompt flow's `PF_HOME_DIRECTORY`; default `~/.promptflow-lite`."""
    line_timeout_s: float
    """`PF_LINE_TIMEOUT_SEC`: seconds one line of a run may take; default 600."""
    batch_timeout_s: float | None
    """`PF_BATCH_TIMEOUT_SEC`: seconds the lines of a run may take in all; `None` for any time."""
    model: str | None
    """`PF_LOCAL_MODEL`: the embedded model that `local` serves when nothing else is said: name or path."""
    models: Path
    """`PF_MODELS`: where weights are cached; default `<home>/models`."""
    caching: bool = False
    """`PF_CACHE`: `on` keeps the answers of models, and asks for none that is kept."""
    prices: Path | None = None
    """`PF_PRICES`: a file of prices that go over the known ones; default `<home>/prices.yaml`."""
    tracking: bool = True
    """`PF_TRACKING`: `off` tells no tracker (MLflow) of runs."""
    traces: int = _TRACES
    """`PF_TRACES`: how many lines of a run MLflow is told as traces; `off` is none, `all` every one."""
    step_summary: Path | None = None
    """`GITHUB_STEP_SUMMARY`: the file where a step of a GitHub workflow sums itself up in Markdown."""
    serve_keys: tuple[str, ...] = field(default=(), repr=False)
    """`PF_SERVE_KEY`: the key that callers of `pf flow serve` need, or two with a comma between them."""
    response_fields: tuple[str, ...] | None = None
    """`PROMPTFLOW_RESPONSE_INCLUDED_FIELDS`: a JSON list of the outputs that `/score` gives."""

    @property
    def connections(self) -> Path:
        """The folder of connection files."""
        return self.home / "connections"

    @property
    def cache(self) -> Path:
        """The folder of what can be made again."""
        return self.home / "cache"

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.home / "runs"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that `environ` describes."""
        home = environ.get("PF_HOME") or environ.get("PF_HOME_DIRECTORY")
        folder = Path(home).expanduser().absolute() if home else Path.home() / ".promptflow-lite"
        models = environ.get("PF_MODELS")
        summary = environ.get("GITHUB_STEP_SUMMARY")
        return cls(
            home=folder,
            line_timeout_s=float(environ.get("PF_LINE_TIMEOUT_SEC") or 600),
            batch_timeout_s=float(environ.get("PF_BATCH_TIMEOUT_SEC") or 0) or None,
            model=environ.get("PF_LOCAL_MODEL") or None,
            models=Path(models).expanduser() if models else folder / "models",
            caching=(environ.get("PF_CACHE") or "off").lower() not in ("off", "0", "false", "no"),
            prices=Path(environ["PF_PRICES"]).expanduser() if environ.get("PF_PRICES") else None,
            tracking=(environ.get("PF_TRACKING") or "on").lower() not in ("off", "0", "false", "no"),
            traces=_traces(environ.get("PF_TRACES")),
            step_summary=Path(summary) if summary else None,
            serve_keys=tuple(
                key.strip() for key in environ.get("PF_SERVE_KEY", "").split(",") if key.strip()
            ),
            response_fields=_names(environ, "PROMPTFLOW_RESPONSE_INCLUDED_FIELDS"),
        )


def _traces(text: str | None) -> int:
    match (text or "").lower():
        case "" | "on" | "true" | "yes":
            return _TRACES
        case "off" | "0" | "false" | "no":
            return 0
        case "all":
            return sys.maxsize
        case word if word.isdecimal():
            return int(word)
    raise UserError(f"PF_TRACES: expected how many lines, or on, off, all; got {text!r}", code="bad-option")


def _names(environ: Mapping[str, str], variable: str) -> tuple[str, ...] | None:
    text = environ.get(variable)
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{variable}: expected a JSON list of names, got {text!r}", code="bad-option")
    return tuple(found)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read from the environment at the first call."""
    return Settings.of(os.environ)
