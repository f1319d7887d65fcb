"""What did the base run give? Inputs and outputs of its completed lines, read from its journal one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from promptflow_lite.engine.results import Status
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import Key, loads
from promptflow_lite.runs.rows import Row
from promptflow_lite.runs.store import JOURNAL

__all__ = ["Outcome"]


class Outcome:
    """The completed lines of a run that another run builds on.

    Args:
        name: of the run.
        folder: where it is kept.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._records = Records.read(folder / JOURNAL)
        self.keys = self._records.keys(Status.Completed)
        """The completed lines, in order."""
        self.failed = self._records.keys(Status.Failed)
        self._repeats: dict[int, list[int]] = {}
        for number, repeat in self.keys:
            self._repeats.setdefault(number, []).append(repeat)

    def repeats_of(self, number: int) -> list[int]:
        """Which repeats of a line were completed."""
        return self._repeats.get(number, [])

    def columns(self) -> dict[str, dict[str, int]]:
        """How many lines have each input and output, by scope."""
        inputs: Counter[str] = Counter()
        outputs: Counter[str] = Counter()
        for rows in self.rows(self.keys):
            inputs.update(dict.fromkeys(rows["run.inputs"], 1))
            outputs.update(dict.fromkeys(rows["run.outputs"], 1))
        return {"run.outputs": outputs, "run.inputs": inputs}

    def rows(self, keys: Iterator[Key] | list[Key]) -> Iterator[Mapping[str, Row]]:
        """The inputs and outputs of lines, by scope, in the order of `keys`."""
        if not self._records.entries:
            return
        with self._records.path.open("rb") as journal:
            for key in keys:
                entry = self._records.entries[key]
                journal.seek(entry.offset)
                record = loads(journal.read(entry.length))
                yield {"run.inputs": record["inputs"], "run.outputs": record["outputs"]}
