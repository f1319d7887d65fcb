"""Why shall a run take no more lines? Too many failed, the first tell that none can do, money, time."""

from __future__ import annotations

from promptflow_lite.engine.results import Failure, LineResult
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.spending import spent_up
from promptflow_lite.tools.scope import Usage

__all__ = ["BATCH_TIMEOUT", "Early"]

BATCH_TIMEOUT = "batch-timeout"
_HOPELESS = {"auth", "quota", "model-not-found"}
"""Codes of `tools.failure` that are about the endpoint and not about the line."""
_FIRST_LINES = 5


class Early:
    """What speaks against going on.

    Args:
        run: with its limits.
        lines: how many it has.
    """

    def __init__(self, run: Run, lines: int) -> None:
        self._run = run
        self._enough = min(_FIRST_LINES, lines)
        self._first: list[str] = []
        """How the first lines of this execution ended: codes of failures, nothing for the completed ones."""
        self._hopeless: Failure | None = None
        self.failed = 0
        """Failed lines, those too that are not safe yet: whoever waits for the disk pays for more of them."""

    def after(self, result: LineResult, spent: Usage) -> Failure | None:
        """Why no line shall follow on this one; `None` where it may.

        Args:
            result: of the line.
            spent: by all lines until now.
        """
        self.failed += result.error is not None
        self._look_at_first(result)
        return spent_up(self._run, spent) or self.too_many_failed()

    def too_many_failed(self) -> Failure | None:
        """That the failures are more than the run may have, or say that none of the others can complete."""
        limit = self._run.error_threshold
        if limit is None:
            return self._hopeless
        if not 0 <= limit < self.failed:
            return None
        return Failure("error-threshold", f"{self.failed} lines failed; error_threshold is {limit}")

    def reason(self, spent: Usage, asked: str | None) -> Failure | None:
        """Why the run ended before its lines did; `None` where a person asked for it.

        Args:
            spent: by its lines.
            asked: why it was asked to stop.
        """
        return self.too_many_failed() or spent_up(self._run, spent) or self._too_long(asked)

    def _too_long(self, asked: str | None) -> Failure | None:
        if asked != BATCH_TIMEOUT:
            return None
        message = f"the lines took longer than {self._run.batch_timeout_s:g} s"
        return Failure(BATCH_TIMEOUT, f"{message}; pf run resume {self._run.name}  goes on")

    def _look_at_first(self, result: LineResult) -> None:
        """A wrong key fails every line alike: the first few say so, before they are safe, for calls cost."""
        if len(self._first) == _FIRST_LINES or self._run.error_threshold is not None:
            return
        self._first.append(result.error.code if result.error else "")
        if len(self._first) == self._enough and _HOPELESS.issuperset(self._first):
            code = self._first[0]
            message = (
                f"the first {len(self._first)} lines failed with {code}, which no other line would escape"
            )
            hint = f"mend it, then  pf run resume {self._run.name} --retry-failed"
            self._hopeless = Failure(code, f"{message}; {hint}")
