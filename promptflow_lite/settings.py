"""What does the environment say about this process? Read once, handed down as a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["Settings", "settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process. Prompt flow's variable names are honoured where it had one."""

    home: Path
    """`PF_HOME`, or Prompt flow's `PF_HOME_DIRECTORY`; default `~/.promptflow-lite`."""
    line_timeout_s: float
    """`PF_LINE_TIMEOUT_SEC`: seconds one line of a run may take; default 600."""
    model: str | None
    """`PF_LOCAL_MODEL`: the embedded model that `local` serves when nothing else is said: name or path."""
    models: Path
    """`PF_MODELS`: where weights are cached; default `<home>/models`."""
    tracking: bool = True
    """`PF_TRACKING`: `off` tells no tracker (MLflow) of runs."""

    @property
    def connections(self) -> Path:
        """The folder of connection files."""
        return self.home / "connections"

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.home / "runs"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that `environ` describes."""
        home = environ.get("PF_HOME") or environ.get("PF_HOME_DIRECTORY")
        folder = Path(home).expanduser() if home else Path.home() / ".promptflow-lite"
        models = environ.get("PF_MODELS")
        return cls(
            home=folder,
            line_timeout_s=float(environ.get("PF_LINE_TIMEOUT_SEC") or 600),
            model=environ.get("PF_LOCAL_MODEL") or None,
            models=Path(models).expanduser() if models else folder / "models",
            tracking=(environ.get("PF_TRACKING") or "on").lower() not in ("off", "0", "false", "no"),
        )


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read from the environment at the first call."""
    return Settings.of(os.environ)
