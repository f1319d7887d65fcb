"""Which lines does a run have? Those of its sources joined by number, chosen, repeated; read anew each time.

Of a line, no more than its number is held: rows are read when the line is about to start.
"""

from __future__ import annotations

import random
import tempfile
from array import array
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from promptflow_lite.runs.data import Data, Placed, complain
from promptflow_lite.runs.job import Line
from promptflow_lite.runs.mapping import Plan, Scope
from promptflow_lite.runs.outcome import Outcome
from promptflow_lite.runs.records import Key, dumps, loads
from promptflow_lite.runs.rows import Row

__all__ = ["Choice", "Lines", "Sources"]

_SHOWN = 20


class Choice(Protocol):
    """Which of the lines shall run; the fields of a `Run`."""

    limit: int | None
    sample: float | None
    shuffle_seed: int | None
    repeats: int


@dataclass(frozen=True)
class Sources:
    """The data, the base run, or both, joined by line number."""

    data: Data | None
    base: Outcome | None

    def scopes(self) -> dict[str, Scope]:
        """What a mapping may refer to."""
        found: dict[str, Scope] = {}
        if self.data is not None:
            rows = self.data.rows
            found["data"] = Scope(
                self.data.name, self.data.columns, len(self.data.numbers), lambda: next(rows()).row
            )
        if self.base is not None:
            for scope, columns in self.base.columns().items():
                what = scope.removeprefix("run.")
                found[scope] = Scope(f"the {what} of {self.base.name}", columns, len(self.base.keys))
        return found

    def numbers(self) -> Sequence[int]:
        """The numbers that every source has, in the order of the first."""
        if self.base is None:
            return self.data.numbers if self.data is not None else ()
        if self.data is None:
            return array("q", dict.fromkeys(number for number, _ in self.base.keys))
        return array("q", (number for number in self.data.numbers if self.base.repeats_of(number)))

    def repeats_of(self, number: int, repeats: int) -> Sequence[int]:
        """Which repeats of a line there are: the base run's, or as many as are asked for."""
        return range(repeats) if self.base is None else self.base.repeats_of(number)

    def joined(self, wanted: Container[int]) -> Iterator[tuple[Key, Mapping[str, Row], Placed | None]]:
        """The rows of the wanted lines by scope, each repeat of the base run, and the row of the data."""
        if self.data is None:
            if self.base is not None:
                keys = [key for key in self.base.keys if key[0] in wanted]
                for key, rows in zip(keys, self.base.rows(keys), strict=True):
                    yield key, rows, None
            return
        for placed in self.data.rows():
            number, row = placed.number, placed.row
            if number not in wanted:
                continue
            if self.base is None:
                yield (number, 0), {"data": row}, placed
                continue
            keys = [(number, repeat) for repeat in self.base.repeats_of(number)]
            for key, rows in zip(keys, self.base.rows(keys), strict=True):
                yield key, {"data": row, **rows}, placed


class Lines:
    """The lines of a run, in the order in which they start.

    Args:
        sources: what they are made of.
        plan: the inputs they get.
        choice: which of them, how often.
        skip_incomplete: leave out, and report, a line whose rows lack a mapped column, instead of refusing
            the data: for evaluations, where a row without ground truth is nothing to score.

    Raises:
        InputError: `missing-column` with every row that lacks a column.
    """

    def __init__(
        self, sources: Sources, plan: Plan, choice: Choice, *, skip_incomplete: bool = False
    ) -> None:
        self._sources = sources
        self._plan = plan
        self._repeats = choice.repeats
        self.skipped: dict[int, str] = {}
        """Lines that lack something to work on, with the reason."""
        numbers = sources.numbers()
        if not plan.is_certain:
            self._look(numbers, skip_incomplete)
            numbers = array("q", (number for number in numbers if number not in self.skipped))
        self._numbers, self._is_shuffled = _chosen(numbers, choice)
        self._wanted: Container[int] = (
            self._numbers if isinstance(self._numbers, range) else frozenset(self._numbers)
        )
        self._count = sum(len(sources.repeats_of(n, self._repeats)) for n in self._numbers)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Line]:
        return self._shuffled() if self._is_shuffled else self._in_order()

    def keys(self) -> Container[Key]:
        """What the lines are told by."""
        return _Keys(self._wanted, self._sources, self._repeats)

    def _look(self, numbers: Sequence[int], skip_incomplete: bool) -> None:
        wanted = frozenset(numbers)
        complaints: list[str] = []
        count = 0
        for (number, _), rows, placed in self._sources.joined(wanted):
            lacks = self._plan.inputs(rows)[1]
            if not lacks:
                continue
            place = placed.place if placed is not None else f"line {number} of the base run"
            lacking = [f"{place}: {what}" for what in lacks]
            if skip_incomplete:
                self.skipped[number] = "; ".join(lacking)
                continue
            count += len(lacking)
            complaints += lacking[: max(0, _SHOWN - len(complaints))]
        complain(complaints, count, self._plan.code)

    def _in_order(self) -> Iterator[Line]:
        for key, rows, _ in self._sources.joined(self._wanted):
            inputs, _ = self._plan.inputs(rows)
            if self._sources.base is not None:
                yield Line(key[0], inputs, key[1])
            else:
                for repeat in range(self._repeats):
                    yield Line(key[0], inputs, repeat)

    def _shuffled(self) -> Iterator[Line]:
        """In the order of the seed: rows go through a temporary file, so that none has to be held."""
        with tempfile.TemporaryFile(prefix="pf-lines-") as spool:
            at: dict[int, list[int]] = {}
            for line in self._in_order():
                at.setdefault(line.number, []).append(spool.tell())
                spool.write(dumps([line.inputs, line.repeat]) + b"\n")
            for number in self._numbers:
                for offset in at[number]:
                    spool.seek(offset)
                    inputs, repeat = loads(spool.readline())
                    yield Line(number, inputs, repeat)


class _Keys:
    """The keys of lines, without a tuple for each."""

    def __init__(self, wanted: Container[int], sources: Sources, repeats: int) -> None:
        self._wanted = wanted
        self._sources = sources
        self._repeats = repeats

    def __contains__(self, key: Any) -> bool:
        number, repeat = key
        return number in self._wanted and repeat in self._sources.repeats_of(number, self._repeats)


def _chosen(numbers: Sequence[int], choice: Choice) -> tuple[Sequence[int], bool]:
    """The numbers of the lines that shall run, and whether they are out of order."""
    if choice.sample is None and choice.shuffle_seed is None:
        return numbers[: choice.limit], False
    order = list(range(len(numbers)))
    random.Random(choice.shuffle_seed or 0).shuffle(order)  # noqa: S311  (nothing secret)
    if choice.sample is not None:
        order = order[: _size(choice.sample, len(order))]
    if choice.shuffle_seed is None:
        order.sort()
    return array("q", (numbers[at] for at in order[: choice.limit])), choice.shuffle_seed is not None


def _size(sample: float, count: int) -> int:
    """How many a sample is: a number of lines, or, below 1, a part of them."""
    return int(sample) if sample >= 1 else max(1, round(sample * count))
