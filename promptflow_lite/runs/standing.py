"""What does a run's `run.json` say while it is executed? The run as it begins, as it stands, as it ends."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

from promptflow_lite.engine.results import Status
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.tally import Tally
from promptflow_lite.tools.scope import Usage

__all__ = ["begun", "counted", "ended"]


def begun(run: Run) -> Run:
    """The run, executed by this process from now on."""
    now = time.time()
    return run.model_copy(
        update={
            "status": Status.Running,
            "created": run.created or now,
            "started": now,
            "ended": None,
            "error": None,
            "pid": os.getpid(),
        }
    )


def counted(run: Run, tally: Tally, *, lines: int, skipped: int, unscored: int, sources: set[str]) -> Run:
    """The run with what its lines came to.

    Args:
        run: the run.
        tally: of its lines.
        lines: how many there are to run.
        skipped: how many had nothing to run.
        unscored: completed lines in which an evaluator found nothing to score.
        sources: where the prices come from.
    """
    return run.model_copy(
        update={
            "lines": LineCounts(
                total=lines + skipped,
                completed=tally.completed - unscored,
                failed=tally.failed,
                skipped=skipped + unscored,
            ),
            "failures": dict(tally.reasons.most_common()),
            "usage": _counts(tally.usage),
            "cost": tally.usage.cost,
            "prices": sorted({*run.prices, *sources}),
        }
    )


def ended(run: Run, status: Status, error: Any, *, seconds: float) -> Run:
    """The run, executed by nobody.

    Args:
        run: the run.
        status: how it ended.
        error: why it did not complete, as JSON; `None` if it did.
        seconds: how long this execution took.
    """
    return run.model_copy(
        update={
            "status": status,
            "ended": time.time(),
            "seconds": run.seconds + seconds,
            "error": error,
            "pid": None,
        }
    )


def _counts(usage: Usage) -> dict[str, int]:
    counts = dataclasses.asdict(usage)
    del counts["cost"]
    return {**counts, "total_tokens": usage.total_tokens}
