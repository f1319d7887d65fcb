"""Where are this process's runs? Under its home; new ones where `pf config set run.output_path` says."""

from __future__ import annotations

from pathlib import Path

from promptflow_lite import config
from promptflow_lite.runs.store import RunStore
from promptflow_lite.settings import settings

__all__ = ["run_store"]


def run_store() -> RunStore:
    """The runs of this process's home."""
    home = settings().home
    return RunStore(settings().runs, elsewhere=lambda flow: config.run_output(home, flow, working=Path.cwd()))
