"""What does the page know of each line? What went in, and what each run and its evaluations made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.evaluation.compare import Key
from promptflow_lite.evaluation.page.prompts import Prompts
from promptflow_lite.evaluation.page.texts import Texts
from promptflow_lite.evaluation.page.traces import outcome, trace
from promptflow_lite.evaluation.page.turns import turns_of
from promptflow_lite.evaluation.scores import ScoredRun
from promptflow_lite.flow.conversation import readable
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import Key as Place
from promptflow_lite.runs.records import loads
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore

__all__ = ["Lines", "name_of"]

_EXPECTED = ("ground_truth", "groundtruth", "expected", "expected_output", "reference", "target", "label")
"""Inputs of evaluations that say what the answer should have been."""


def name_of(key: Key) -> str:
    """A line's name on the page: its number or item, and its repeat after the first.

    >>> name_of(Key(7)), name_of(Key("q-1", 2))
    ('7', 'q-1/2')
    """
    return f"{key.item}/{key.repeat}" if key.repeat else str(key.item)


class Lines:
    """The lines of several runs, each line once.

    Args:
        store: where the runs are.
        runs: the runs.
        are_paired: their lines are the same ones; else each run has lines of its own, named after it.
    """

    def __init__(self, store: RunStore, runs: Sequence[ScoredRun], *, are_paired: bool) -> None:
        self._sources = [_Source(store, run, prefix="" if are_paired else f"{run.run.name}:") for run in runs]
        keys = dict.fromkeys(key for source in self._sources for key in source.keys)
        self.keys = sorted(keys, key=_in_order) if are_paired else list(keys)
        """Every line, in order."""

    def chosen(self, limit: int, notable: Collection[Key]) -> list[Key]:
        """At most `limit` of the keys, in order, the notable ones before all others."""
        wanted = set(notable)
        first = sorted(self.keys, key=lambda key: key not in wanted)  # stable: in order among themselves
        kept = set(first[:limit])
        return [key for key in self.keys if key in kept]

    def row(self, key: Key, texts: Texts) -> dict[str, Any]:
        """A line: `name`, `inputs`, `expected` where it is known, and by run what came of it."""
        found: dict[str, Any] = {}
        inputs: Mapping[str, Any] = {}
        expected: Any = None
        for source in self._sources:
            if key in source.keys:
                found[source.name], given = source.line(key, texts)
                inputs = inputs or given
                expected = source.expected(key) if expected is None else expected
        row = {
            "name": name_of(key),
            "inputs": {name: texts.add(value) for name, value in readable(inputs).items()},
            "runs": found,
        }
        return row if expected is None else {**row, "expected": texts.add(expected)}


class _Source:
    """A run's lines in its journal, and in those of the runs that evaluated it."""

    def __init__(self, store: RunStore, scored: ScoredRun, *, prefix: str) -> None:
        self.name = scored.run.name
        self.keys = {
            (Key(f"{prefix}{key.item}", key.repeat) if prefix else key): key for key in scored.places
        }
        """By the page's key the run's own."""
        self._scored = scored
        self._kept = _Kept(scored.run, store.folder(scored.run.name))
        self._evaluations = [_Kept(store.load(name), store.folder(name)) for name in scored.evaluations]

    def line(self, key: Key, texts: Texts) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """What came of a line, and its inputs."""
        own = self.keys[key]
        place = self._scored.places[own]
        record = self._kept.at(place) or {}
        scores = {
            metric: float(f"{by_line[own]:.6g}")
            for metric, by_line in self._scored.scores.items()
            if own in by_line
        }
        found = [(kept, one) for kept in self._evaluations if (one := kept.at(place)) is not None]
        evaluations = [
            {
                "run": kept.run.name,
                "inputs": {name: texts.add(value) for name, value in (one["inputs"] or {}).items()},
                **kept.outcome(one, texts),
            }
            for kept, one in found
        ]
        line = {**self._kept.outcome(record, texts), "scores": scores, "evaluations": evaluations}
        if record and (turns := turns_of(record, [one for _, one in found], texts)):
            line["turns"] = turns
        return line, record.get("inputs") or {}

    def expected(self, key: Key) -> Any:
        """What the answer should have been, where an evaluation was told; else `None`."""
        for kept in self._evaluations:
            inputs = (kept.at(self._scored.places[self.keys[key]]) or {}).get("inputs") or {}
            for name in _EXPECTED:
                if inputs.get(name) not in (None, ""):
                    return inputs[name]
        return None


class _Kept:
    """What a run's folder keeps of its lines: the journal, and the snapshot its prompts follow from."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self._records = Records.read(folder / JOURNAL)
        self._prompts = Prompts.of_run(run, folder)
        self._last: tuple[Place, dict[str, Any]] | None = None

    def at(self, place: Place) -> dict[str, Any] | None:
        """The record of a line; `None` where there is none."""
        entry = self._records.entries.get(place)
        if entry is None:
            return None
        if self._last is None or self._last[0] != place:
            with self._records.path.open("rb") as file:
                file.seek(entry.offset)
                self._last = place, loads(file.read(entry.length))
        return self._last[1]

    def outcome(self, record: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
        """How a line ended and, while there is room, its trace."""
        ended = outcome(record, texts)
        return ended if texts.is_full else {**ended, "trace": trace(record, self._prompts, texts)}


def _in_order(key: Key) -> tuple[str, str, int]:
    item = key.item
    return type(item).__name__, f"{item:>20}" if isinstance(item, int) else str(item), key.repeat
